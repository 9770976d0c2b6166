"""Which way a managed identity's token takes, and what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config.attache import Attache
from agent.config.identities import Identity
from agent.credentials.answers import Answer
from agent.credentials.assembly import Credentials
from agent.credentials.azure import Platform
from agent.credentials.credential import Injection
from agent.credentials.managed_identity import Unset, workload_identities
from agent.errors import Denial, Reason
from agent.identity.principal import Kind
from agent.moment import Moment
from tests.credentials.conftest import CLIENT, NOW, TENANT, FakeClock, FakeSts, granted

MOMENT = Moment(NOW, 10.0)
Build = Callable[..., Credentials]


def config(credential: Any, **identity: Any) -> Attache:
    entra = {"tenant": TENANT, "clientId": CLIENT}
    return Attache.model_validate(
        {
            "workload": {"name": "task-api"},
            "listeners": {"outbound": {}},
            "identities": [{"name": "us", "entra": entra | identity}] if identity else [],
            "destinations": [
                {
                    "name": "audit",
                    "hosts": ["audit:80"],
                    "credential": {"managedIdentity": credential},
                }
            ],
        }
    )


ENVIRONMENT = {
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": "of-the-pod",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/token",
}
AUDIT = {"scopes": ["api://audit/.default"]}


@pytest.mark.parametrize(
    ("source", "without", "client"),
    [
        ("auto", (), "of-the-pod"),
        ("auto", ("AZURE_FEDERATED_TOKEN_FILE",), None),
        ("auto", ("AZURE_TENANT_ID",), None),
        ("auto", ("AZURE_CLIENT_ID",), "AZURE_CLIENT_ID not set"),
        ("platform", (), None),
        ("workload", (), "of-the-pod"),
        ("workload", ("AZURE_TENANT_ID", "AZURE_CLIENT_ID"), "AZURE_TENANT_ID and AZURE_CLIENT_ID"),
    ],
)
def test_workload_identity_is_a_choice_that_is_said(
    source: str, without: tuple[str, ...], client: str | None
) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in without}
    found = workload_identities(config(AUDIT | {"source": source}), environment).get("audit")
    if client is None:
        assert found is None
    elif isinstance(found, Unset):
        assert client in found.sentence
    else:
        assert found is not None
        assert found.entra is not None
        assert found.entra.client_id == client
        assert found.entra.federated_token_file == Path("/var/run/token")


def test_a_written_client_id_wins_over_the_pods() -> None:
    found = workload_identities(config(AUDIT | {"clientId": "mine"}), ENVIRONMENT)["audit"]
    assert isinstance(found, Identity)
    assert found.entra
    assert found.entra.client_id == "mine"


@pytest.fixture
def build(clock: FakeClock, executor: Any, monkeypatch: pytest.MonkeyPatch) -> Build:
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)

    def built(config: Attache) -> Credentials:
        return Credentials.build(config, clock, None, executor, lambda: 0.5)

    return built


@pytest.mark.parametrize(
    ("credential", "identity", "expected"),
    [
        (AUDIT, {}, ("", "api://audit")),
        ({"resource": "https://vault.azure.net"}, {}, ("", "https://vault.azure.net")),
        (AUDIT | {"clientId": "mi"}, {}, ("mi", "api://audit")),
        (AUDIT | {"identity": "us"}, {"managedIdentity": {"clientId": "u"}}, ("u", "api://audit")),
        (AUDIT | {"identity": "us"}, {"managedIdentity": {}}, ("", "api://audit")),
    ],
)
def test_the_platform_is_asked_once_for_all(
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    credential: dict[str, Any],
    identity: dict[str, Any],
    expected: tuple[str, str],
) -> None:
    asked: list[tuple[str, str]] = []

    def token(self: Platform, resource: str, seconds: float) -> Answer:
        asked.append((self.client_id, resource))
        return Answer(200, {"access_token": "mi-token", "expires_in": 3600})

    monkeypatch.setattr(Platform, "token", token)
    credentials = build(config(credential, **identity))
    for _ in range(3):
        got = credentials.by_destination["audit"].obtain(None, MOMENT)
        assert isinstance(got, Injection)
        assert got.headers == (("authorization", "Bearer mi-token"),)
        assert got.acts_as is Kind.APP
    assert asked == [expected]
    (row,) = credentials.status()["destinations"]
    assert (row["kind"], row["source"]) == ("managedIdentity", "platform")


def test_the_pods_workload_identity_is_asked_for_the_resource(
    build: Build, sts: FakeSts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("service-account-token")
    for name, value in (ENVIRONMENT | {"AZURE_FEDERATED_TOKEN_FILE": str(file)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{sts.url}/")
    sts.script = lambda form: granted("workload-token")
    credentials = build(config(AUDIT | {"caFile": str(sts.ca_file)}))
    got = credentials.by_destination["audit"].obtain(None, MOMENT)
    assert isinstance(got, Injection)
    assert got.headers == (("authorization", "Bearer workload-token"),)
    assert sts.forms[0]["scope"] == "api://audit/.default"
    assert sts.forms[0]["client_assertion"] == "service-account-token"
    assert sts.forms[0]["client_id"] == "of-the-pod"
    assert credentials.status()["destinations"][0]["source"] == "workload"
    file.unlink()
    assert "workload identity of destination audit" in credentials.missing()[0]


def test_a_workload_identity_that_is_not_there_is_named_and_denied(build: Build) -> None:
    credentials = build(config(AUDIT | {"source": "workload"}))
    got = credentials.by_destination["audit"].obtain(None, MOMENT)
    assert isinstance(got, Denial)
    assert (got.reason, got.status) == (Reason.CREDENTIAL_ERROR, 503)
    assert credentials.missing()[0].startswith("destination 'audit': this pod has no workload")
