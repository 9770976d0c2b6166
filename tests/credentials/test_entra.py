"""msal against a real TLS server whose every answer the test chooses."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.config.identities import EntraIdentity
from agent.credentials.entra import EntraClient
from demo.idp import certificates, jose
from tests.credentials.conftest import (
    CLIENT,
    OTHER_TENANT,
    TENANT,
    FakeSts,
    Scripted,
    granted,
    refused,
)

SCOPES = ("api://notification/.default",)
OBO = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "client-secret"
    path.write_text("first-secret\n")
    return path


def identity(sts: FakeSts, **proof: Path) -> EntraIdentity:
    return EntraIdentity.model_validate(
        {
            "tenant": TENANT,
            "clientId": CLIENT,
            "authority": sts.url,
            "caFile": str(sts.ca_file),
            **{name: str(path) for name, path in proof.items()},
        }
    )


@pytest.fixture
def entra(sts: FakeSts, secret_file: Path) -> EntraClient:
    return EntraClient("task-api", identity(sts, secretFile=secret_file))


def _obo(entra: EntraClient, assertion: str = "user-token", tenant: str = TENANT) -> Any:
    return entra.on_behalf_of(tenant, assertion, SCOPES, "", 10.0)


def _tokens(sts: FakeSts) -> list[str]:
    return [path for path in sts.paths if path.endswith("/token")]


def test_on_behalf_of_asks_the_users_own_tenant(sts: FakeSts, entra: EntraClient) -> None:
    assert _obo(entra, tenant=OTHER_TENANT).status == 200
    assert sts.paths == [
        f"/{OTHER_TENANT}/v2.0/.well-known/openid-configuration",
        f"/{OTHER_TENANT}/oauth2/v2.0/token",
    ]
    (form,) = sts.forms
    assert form["grant_type"] == OBO
    assert form["requested_token_use"] == "on_behalf_of"
    assert (form["client_id"], form["client_secret"]) == (CLIENT, "first-secret")
    assert form["assertion"] == "user-token"
    assert set(form["scope"].split()) >= set(SCOPES)
    assert "offline_access" not in form["scope"]  # nobody here would use a refresh token


@pytest.mark.parametrize(
    "tenant", ["common", "organizations", "Consumers", "", "../x", "a/b", "a?b", "a#b", "x" * 300]
)
def test_a_tenant_that_is_none_is_never_asked(
    sts: FakeSts, entra: EntraClient, tenant: str
) -> None:
    assert _obo(entra, tenant=tenant).status == 0
    assert sts.paths == []


def test_client_credentials_ask_the_home_tenant(sts: FakeSts, entra: EntraClient) -> None:
    assert entra.for_client(SCOPES, 10.0).status == 200
    assert _tokens(sts) == [f"/{TENANT}/oauth2/v2.0/token"]
    assert sts.forms[0]["grant_type"] == "client_credentials"
    assert sts.forms[0]["scope"] == SCOPES[0]


@pytest.mark.must(27, 28)
def test_msal_never_gives_one_flows_token_to_the_other(sts: FakeSts, entra: EntraClient) -> None:
    """Measured: a shared msal cache returns a user's token for client credentials."""
    sts.script = lambda form: granted(f"for-{form.get('assertion', 'the-app')}", scope=SCOPES[0])
    asked = [
        _obo(entra, "alice"),
        entra.for_client(SCOPES, 10.0),
        _obo(entra, "ed"),
        entra.for_client(SCOPES, 10.0),
        _obo(entra, "alice"),
    ]
    assert [answer.body["access_token"] for answer in asked if answer.body] == [
        "for-alice",
        "for-the-app",
        "for-ed",
        "for-the-app",
        "for-alice",
    ]
    assert len(sts.forms) == 5  # no cache of msal's stands in between
    assert len({id(slot.client) for slot in entra._slots.values()}) == 2


@pytest.mark.must(27)
def test_threads_with_many_users_and_tenants_never_cross(sts: FakeSts, entra: EntraClient) -> None:
    sts.script = lambda form: granted(f"for-{form['assertion']}")
    tenants = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(4)]

    def ask(number: int) -> bool:
        answer = _obo(entra, f"user-{number}", tenants[number % 4])
        return bool(answer.body and answer.body["access_token"] == f"for-user-{number}")

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))
    assert len(sts.forms) == 200
    assert len([path for path in sts.paths if "openid" in path]) == 4  # one client a tenant


@pytest.mark.parametrize("throttle", [Scripted(429, "slow", Retry_After="30"), refused(50196)])
def test_one_users_429_does_not_reach_another_user(
    sts: FakeSts, entra: EntraClient, throttle: Scripted
) -> None:
    """msal's own throttle has no assertion in its key (ENTRA.md §3)."""
    sts.script = lambda form: throttle if form["assertion"] == "alice" else granted("t")
    first = _obo(entra, "alice")
    assert first.status in (429, 400)
    assert _obo(entra, "ed").status == 200
    assert len(sts.forms) == 2


def test_an_error_is_not_replayed_by_msal(sts: FakeSts, entra: EntraClient) -> None:
    left = [refused(65001), granted("t")]
    sts.script = lambda form: left.pop(0)
    assert [_obo(entra).status, _obo(entra).status] == [400, 200]


def test_what_msal_hides_is_captured(sts: FakeSts, entra: EntraClient) -> None:
    sts.script = lambda form: Scripted(429, "too many", Retry_After="17")
    answer = _obo(entra)
    assert (answer.status, answer.body, answer.retry_after) == (429, None, 17)


@pytest.mark.parametrize(
    ("scripted", "status"),
    [
        (Scripted(503, "<html>sorry</html>"), 503),
        (Scripted(500, {"error": "server_error"}), 500),
        (Scripted(200, "<html>captive portal</html>"), 200),
        (Scripted(200, "{}"), 200),
        (Scripted(200, '{"access_token": "cut'), 200),
        (Scripted(200, {"access_token": "t", "id_token": "x", "client_info": "!"}), 200),
        (Scripted(200, {"error": 7}), 200),
        (Scripted(reset=True), 0),
    ],
)
def test_no_answer_is_a_bug_of_ours(
    sts: FakeSts, entra: EntraClient, scripted: Scripted, status: int
) -> None:
    sts.script = lambda form: scripted
    for answer in (_obo(entra), entra.for_client(SCOPES, 10.0)):
        assert answer.status == status


def test_a_hang_ends_in_time(sts: FakeSts, entra: EntraClient) -> None:
    sts.script = sts.hang
    answer = entra.on_behalf_of(TENANT, "t", SCOPES, "", 0.3)
    assert (answer.status, answer.failure) == (0, "does not answer in time")


def test_one_tenants_hanging_discovery_holds_up_no_other(sts: FakeSts, entra: EntraClient) -> None:
    entered = threading.Event()

    def discovery(path: str) -> Scripted | None:
        if OTHER_TENANT not in path:
            return None
        entered.set()
        return sts.hang({})

    sts.discovery = discovery
    with ThreadPoolExecutor(2) as threads:
        stuck = [threads.submit(_obo, entra, "t", OTHER_TENANT) for _ in range(2)]
        assert entered.wait(10)
        assert _obo(entra).status == 200
        sts.released.set()
        assert all(future.result().status == 503 for future in stuck)


@pytest.mark.must(32)
@pytest.mark.parametrize(
    "changes",
    [
        {"token_endpoint": "https://attacker.example/t/token"},
        {"token_endpoint": "http://localhost/t/token"},
        {"token_endpoint": f"{{url}}/{OTHER_TENANT}/oauth2/v2.0/token"},
        {"issuer": "https://attacker.example/v2.0"},
        {"token_endpoint": 7},
        {"authorization_endpoint": None, "token_endpoint": None},
    ],
)
def test_discovery_cannot_send_our_secret_elsewhere(
    sts: FakeSts, entra: EntraClient, changes: dict[str, Any]
) -> None:
    document = {
        "issuer": f"{sts.url}/{TENANT}/v2.0",
        "authorization_endpoint": f"{sts.url}/{TENANT}/oauth2/v2.0/authorize",
        "token_endpoint": f"{sts.url}/{TENANT}/oauth2/v2.0/token",
    }
    for name, value in changes.items():
        document[name] = value.replace("{url}", sts.url) if isinstance(value, str) else value
    sts.discovery = lambda path: Scripted(200, document)
    answer = _obo(entra)
    assert answer.body is None
    assert sts.forms == []
    sts.discovery = lambda path: None
    entra._wire._documents.clear()
    assert _obo(entra).status == 200


def test_a_bad_discovery_document_is_not_kept(sts: FakeSts, entra: EntraClient) -> None:
    left = [Scripted(500, "x"), Scripted(200, "<html>"), Scripted(404, {"error": "x"}), None]
    sts.discovery = lambda path: left.pop(0)
    assert [_obo(entra).status for _ in range(4)] == [500, 200, 404, 200]


def test_a_rotated_secret_works_without_restart(
    sts: FakeSts, entra: EntraClient, secret_file: Path
) -> None:
    sts.script = lambda form: (
        granted("t")
        if form["client_secret"] == "second-secret"
        else refused(7000222, "invalid_client", 401)
    )
    assert [_obo(entra).status, entra.for_client(SCOPES, 10.0).status] == [401, 401]
    secret_file.write_text("second-secret\n")
    assert [_obo(entra).status, entra.for_client(SCOPES, 10.0).status] == [200, 200]
    assert len([path for path in sts.paths if "openid" in path]) == 1  # discovery is remembered


def test_a_missing_secret_asks_nobody_and_comes_back(
    sts: FakeSts, entra: EntraClient, secret_file: Path
) -> None:
    secret_file.unlink()
    answer = _obo(entra)
    assert answer.ours
    assert str(secret_file) in answer.failure
    assert sts.paths == []
    secret_file.write_text("back")
    assert _obo(entra).status == 200


def test_a_federated_token_is_reread_for_each_request_and_once_when_it_expired(
    sts: FakeSts, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("assertion-1")
    entra = EntraClient("task-api", identity(sts, federatedTokenFile=path))

    def script(form: dict[str, str]) -> Scripted:
        if form["client_assertion"] == "assertion-1":
            path.write_text("assertion-2")  # the kubelet renews it at this very moment
            return refused(700024, "invalid_client", 401)
        return granted("t")

    sts.script = script
    assert _obo(entra).status == 200
    assert [form["client_assertion"] for form in sts.forms] == ["assertion-1", "assertion-2"]
    sts.script = lambda form: refused(700024, "invalid_client", 401)
    assert _obo(entra).status == 401
    assert len(sts.forms) == 4  # once more, and no storm


def test_a_certificate_signs_for_the_token_endpoint_and_can_be_replaced(
    sts: FakeSts, tmp_path: Path
) -> None:
    path = tmp_path / "client.pem"
    entra = EntraClient("task-api", identity(sts, certificateFile=path))
    for _ in range(2):
        owner = certificates.self_signed("task-api", 1_700_000_000)
        key = owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + owner.certificate.public_bytes(Encoding.PEM))
        assert _obo(entra).status == 200
        jws = jose.parse(sts.forms[-1]["client_assertion"])
        assert jws
        assert jose.proves(jws, owner.certificate.public_key())
        assert jws.claims["aud"] == f"{sts.url}/{TENANT}/oauth2/v2.0/token"
        assert (jws.header["alg"], "x5t#S256" in jws.header) == ("PS256", True)
        assert "client_secret" not in sts.forms[-1]


@pytest.mark.must(42)
def test_clients_of_tenants_are_bounded(
    sts: FakeSts, entra: EntraClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.credentials.entra._MAX_CLIENTS", 3)
    for number in range(6):
        assert _obo(entra, tenant=f"{number:08d}-0000-4000-8000-000000000000").status == 200
    assert len(entra._slots) == 3


def test_a_region_in_the_environment_moves_nothing(
    sts: FakeSts, entra: EntraClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSAL_FORCE_REGION", "westus2")
    assert entra.for_client(SCOPES, 10.0).status == 200
    assert len(_tokens(sts)) == 1


@pytest.mark.must(45)
@pytest.mark.parametrize(
    "scripted",
    [
        granted("canary-token", id_token="canary.canary.canary", refresh_token="canary-refresh"),
        refused(7000215, "invalid_client", 401),
        Scripted(200, '{"access_token": "canary-token", "cut'),
        Scripted(502, "canary-page"),
        Scripted(reset=True),
    ],
)
def test_nothing_secret_is_logged_at_debug_level(
    sts: FakeSts, tmp_path: Path, caplog: pytest.LogCaptureFixture, scripted: Scripted
) -> None:
    path = tmp_path / "canary-free-name"
    path.write_text("canary-secret")
    sts.script = lambda form: scripted
    entra = EntraClient("task-api", identity(sts, secretFile=path))
    with caplog.at_level(logging.DEBUG):
        answers = [_obo(entra, "canary-assertion"), entra.for_client(SCOPES, 10.0)]
    assert caplog.records  # msal and urllib3 do log
    shown = caplog.text + repr(answers) + repr(entra)
    assert "canary-s" not in shown
    assert "canary-t" not in shown
    assert "canary-a" not in shown
    assert "canary-r" not in shown
    assert "canary.canary" not in shown
    assert "canary-page" not in shown
