"""Which credential each destination gets, what a reload keeps, and what is shown of it all."""

from __future__ import annotations

import doctest
import hashlib
import importlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.config.attache import Attache
from agent.credentials.assembly import Credentials
from agent.credentials.client_credentials import ClientCredentials
from agent.credentials.credential import Injection
from agent.credentials.forward import Forward
from agent.credentials.internal import InternalCredential
from agent.credentials.keyring import new_key
from agent.credentials.mint import Minted
from agent.credentials.none import NoCredential
from agent.credentials.obo import OnBehalfOf
from agent.credentials.token_exchange import TokenExchange
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind
from agent.moment import Moment
from demo.idp import jose
from tests.credentials.conftest import (
    CLIENT,
    NOW,
    TENANT,
    FakeClock,
    FakeSts,
    Scripted,
    app,
    caller,
    granted,
    refused,
)

Configure = Callable[..., Attache]


@pytest.fixture
def configure(sts: FakeSts, tmp_path: Path) -> Configure:
    secret = tmp_path / "secret"
    secret.write_text("canary-secret")
    new_key(tmp_path / "keys")

    def made(**changes: Any) -> Attache:
        def to(name: str, credential: Any) -> dict[str, Any]:
            return {"name": name, "hosts": [f"{name}:80"], "credential": credential}

        document = {
            "workload": {"name": "task-api", "namespace": "shop"},
            "listeners": {
                "inbound": {"port": 15006, "application": "127.0.0.1:8000"},
                "outbound": {"port": 15001},
            },
            "issuers": [
                {"name": "entra", "entra": {"tenants": [TENANT], "audiences": ["api://task-api"]}}
            ],
            "identities": [
                {
                    "name": "task-api",
                    "entra": {
                        "tenant": TENANT,
                        "clientId": CLIENT,
                        "authority": sts.url,
                        "caFile": str(sts.ca_file),
                        "secretFile": str(secret),
                    },
                },
                {
                    "name": "keycloak",
                    "oauth": {
                        "tokenUrl": f"{sts.url}/realm/token",
                        "clientId": "task-api",
                        "secretFile": str(secret),
                        "caFile": str(sts.ca_file),
                    },
                },
            ],
            "destinations": [
                to("plain", "none"),
                to("suite", {"forward": {}}),
                to("billing", {"internal": {"audience": "billing", "scopes": ["billing.read"]}}),
                to("ledger", {"internal": {"audience": "ledger", "subject": "either"}}),
                to("batch", {"internal": {"audience": "batch", "subject": "app"}}),
                to("notification", {"obo": {"identity": "task-api", "scopes": ["api://n/x"]}}),
                to("audit", {"clientCredentials": {"identity": "task-api", "scopes": ["s"]}}),
                to("crm", {"clientCredentials": {"identity": "keycloak", "scopes": ["s"]}}),
                to("partner", {"tokenExchange": {"identity": "keycloak", "audience": "partner"}}),
            ],
            "internalTokens": {
                "issuer": "https://gateway.shop.internal",
                "trustDomain": "shop.internal",
                "keys": str(tmp_path / "keys"),
            },
        }
        return Attache.model_validate(document | changes)

    return made


@pytest.fixture
def build(clock: FakeClock, executor: ThreadPoolExecutor) -> Callable[..., Credentials]:
    def built(config: Attache, previous: Credentials | None = None) -> Credentials:
        return Credentials.build(config, clock, previous, executor, lambda: 0.5)

    return built


Build = Callable[..., Credentials]
MOMENT = Moment(NOW, 20.0)


def test_each_destination_gets_the_kind_that_is_written(configure: Configure, build: Build) -> None:
    credentials = build(configure())
    assert {name: type(found) for name, found in credentials.by_destination.items()} == {
        "plain": NoCredential,
        "suite": Forward,
        "billing": InternalCredential,
        "ledger": InternalCredential,
        "batch": InternalCredential,
        "notification": OnBehalfOf,
        "audit": ClientCredentials,
        "crm": ClientCredentials,
        "partner": TokenExchange,
    }
    kinds = {d.name: d.credential.kind for d in configure().destinations}
    assert {name: c.kind for name, c in credentials.by_destination.items()} == kinds


def test_doubt_about_the_caller_denies_wherever_a_caller_matters(
    configure: Configure, build: Build
) -> None:
    config = configure()
    credentials = build(config)
    needing = {d.name for d in config.destinations if credentials.needs_caller(d)}
    assert needing == {"suite", "billing", "ledger", "notification", "partner"}


def test_every_destination_speaks_with_its_own_token(
    sts: FakeSts, configure: Configure, build: Build
) -> None:
    def answer(form: dict[str, str]) -> Scripted:
        subject = form.get("assertion") or form.get("subject_token") or form["scope"]
        return granted(f"for-{subject}", issued_token_type=form.get("requested_token_type"))

    sts.script = answer
    credentials = build(configure())
    who = caller("user-token")
    sent: dict[str, str] = {}
    for name, credential in credentials.by_destination.items():
        got = credential.obtain(who, MOMENT)
        assert isinstance(got, Injection), (name, got)
        sent[name] = dict(got.headers).get("authorization", "")
    assert sent["plain"] == ""
    assert sent["suite"] == "Bearer user-token"
    assert sent["notification"] == sent["partner"] == "Bearer for-user-token"
    assert sent["audit"] == sent["crm"] == "Bearer for-s"
    for name in ("billing", "ledger", "batch"):
        jws = jose.parse(sent[name].removeprefix("Bearer "))
        assert jws
        assert (jws.claims["aud"], jws.claims["client_id"]) == (name, "shop/task-api")
        (key,) = credentials.jwks()["keys"]
        assert (jws.header["kid"], key["workload"]) == (key["kid"], "shop/task-api")


def test_a_reload_keeps_tokens_clients_and_keys(
    sts: FakeSts, configure: Configure, build: Build
) -> None:
    first = build(configure())
    for name in ("notification", "audit"):
        first.by_destination[name].obtain(caller(), MOMENT)
    asked = len(sts.forms)
    destinations = configure().model_dump(by_alias=True, mode="json")["destinations"][1:]
    for each in destinations:
        each["credential"] = {k: v for k, v in each["credential"].items() if v is not None}
    second = build(configure(destinations=destinations), first)
    first.retire(second)
    for name in ("notification", "audit"):
        assert isinstance(second.by_destination[name].obtain(caller(), MOMENT), Injection)
    assert len(sts.forms) == asked
    assert second.jwks() == first.jwks()
    assert list(second._clients.values()) == list(first._clients.values())


def test_a_changed_identity_gets_a_client_of_its_own(
    sts: FakeSts, configure: Configure, build: Build, tmp_path: Path
) -> None:
    first = build(configure())
    other = tmp_path / "other"
    other.write_text("other-secret")
    identities = configure().model_dump(by_alias=True, mode="json", exclude_none=True)["identities"]
    identities[0]["entra"]["secretFile"] = str(other)
    second = build(configure(identities=identities), first)
    first.retire(second)
    second.by_destination["notification"].obtain(caller(), MOMENT)
    assert sts.forms[-1]["client_secret"] == "other-secret"
    kept = [a is b for a, b in zip(first._clients.values(), second._clients.values(), strict=True)]
    assert kept == [False, True]


@pytest.mark.must(38)
def test_a_tick_renews_our_own_tokens_ahead_of_time_without_a_call(
    sts: FakeSts, configure: Configure, clock: FakeClock
) -> None:
    with ThreadPoolExecutor(4) as pool:
        credentials = Credentials.build(configure(), clock, None, pool, lambda: 0.5)
        credentials.tick(NOW)
        assert sts.forms == []  # nobody needs one yet
        credentials.by_destination["audit"].obtain(None, MOMENT)
        clock.now = NOW + 3600 * 0.84
        credentials.tick(clock.now)
        assert len(sts.forms) == 1
        clock.now = NOW + 3600 * 0.86
        credentials.tick(clock.now)
    assert len(sts.forms) == 2


@pytest.mark.must(30)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"actors": ("other", "shop/task-api")}, None),  # an external token's act is not ours
        ({"issuer_kind": IssuerKind.INTERNAL, "actors": ("other",)}, None),
        ({"issuer_kind": IssuerKind.INTERNAL, "hops": 8}, None),
        ({"issuer_kind": IssuerKind.INTERNAL, "hops": 9}, Reason.CALL_LOOP),
        (
            {"issuer_kind": IssuerKind.INTERNAL, "actors": ("other", "shop/task-api")},
            Reason.CALL_LOOP,
        ),
    ],
)
def test_the_chain_check_of_the_inbound_side(
    configure: Configure, build: Build, changes: dict[str, Any], reason: Reason | None
) -> None:
    verified = caller(**changes).verified
    assert verified
    denial = build(configure()).chain(verified)
    assert (denial.reason if denial else None) == reason


def test_the_application_is_given_a_token_of_ours_only_if_that_is_written(
    configure: Configure, build: Build
) -> None:
    assert build(configure()).swap is None
    swap = build(configure(inbound={"forward": "internal"})).swap
    assert swap
    for who, kind in ((caller("theirs"), "user"), (app(token="its"), "app")):
        minted = swap(who, MOMENT)
        assert isinstance(minted, Minted)
        assert minted.digest == hashlib.sha256(minted.token.encode()).digest()
        jws = jose.parse(minted.token)
        assert jws
        assert (jws.claims["aud"], jws.claims["idtyp"]) == ("task-api", kind)
        assert jws.claims["scope"] == "access_as_user"
    expired = swap(caller(expires_at=NOW), MOMENT)
    assert isinstance(expired, Denial)


def test_what_is_missing_is_named_and_an_outage_is_not(
    sts: FakeSts, configure: Configure, build: Build, tmp_path: Path, clock: FakeClock
) -> None:
    credentials = build(configure())
    sts.script = sts.hang
    assert credentials.missing() == []
    (tmp_path / "secret").unlink()
    sentences = credentials.missing()
    assert [sentence.split(":")[0] for sentence in sentences] == [
        "identity 'task-api'",
        "identity 'keycloak'",
    ]
    document = configure().internal_tokens
    assert document
    tokens = {"issuer": "https://i", "trustDomain": "d", "keys": str(tmp_path / "nowhere")}
    assert "no signing key" in build(configure(internalTokens=tokens)).missing()[0]


def test_the_status_tells_how_each_credential_fares(
    sts: FakeSts, configure: Configure, build: Build
) -> None:
    credentials = build(configure())
    credentials.by_destination["audit"].obtain(None, MOMENT)
    sts.script = lambda form: refused(7000222, "invalid_client", 401)
    credentials.by_destination["notification"].obtain(caller(), MOMENT)
    status = credentials.status()
    rows = {row["destination"]: row for row in status["destinations"]}
    assert rows["audit"]["tokenExpiresAt"] == "2027-01-15T09:00:00Z"
    assert (rows["audit"]["identity"], rows["audit"]["tenant"]) == ("task-api", TENANT)
    assert rows["audit"]["lastError"] is None
    assert "Rotate the secret" in rows["notification"]["lastError"]
    assert rows["notification"]["lastReason"] == "credential_error"
    assert (rows["notification"]["tenant"], rows["plain"]["identity"]) == ("the caller's", None)
    assert [key["state"] for key in status["keys"]] == ["signs"]
    json.dumps(status)


def test_start_and_stop_leave_no_thread_that_works(configure: Configure) -> None:
    credentials = Credentials.build(configure(), lambda: NOW)
    credentials.start()
    credentials.stop()
    got = credentials.by_destination["audit"].obtain(None, Moment(NOW, 5.0))
    assert isinstance(got, Denial)
    assert got.reason is Reason.ISSUER_UNAVAILABLE


@pytest.mark.must(45)
def test_a_canary_never_shows_in_any_output(
    sts: FakeSts,
    configure: Configure,
    build: Build,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shown = []
    key = next((tmp_path / "keys").iterdir()).read_text().splitlines()[1]
    with caplog.at_level(logging.DEBUG):
        credentials = build(configure(inbound={"forward": "internal"}))
        for script in (
            lambda form: granted("canary-token"),
            lambda form: refused(7000215, "invalid_client", 401, canary="canary"),
            lambda form: refused(500133),
        ):
            sts.script = script
            for number, credential in enumerate(credentials.by_destination.values()):
                got = credential.obtain(caller(f"canary-user-{len(shown)}-{number}"), MOMENT)
                shown.append(repr(got) + repr(credential))
                if isinstance(got, Injection) and got.headers and got.acts_as:
                    assert got.headers[0][1] not in shown[-1]
        shown.append(json.dumps(credentials.status()) + repr(vars(credentials)))
        shown.append(repr(vars(credentials.minter)) + repr(vars(credentials.keyring)))
    everything = caplog.text + "".join(shown)
    assert "canary-" not in everything
    assert "Bearer" not in everything
    assert key not in everything


@pytest.mark.parametrize("module", ["bulkhead", "shelf", "token", "wire"])
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    found = importlib.import_module(f"agent.credentials.{module}")
    results = doctest.testmod(found)
    assert results.attempted
    assert not results.failed
