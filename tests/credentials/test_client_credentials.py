"""Our own token: from any OAuth server over real TLS, and from Entra."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.config.identities import EntraIdentity, OAuthIdentity
from agent.credentials.cache import TokenCache
from agent.credentials.client_credentials import ClientCredentials
from agent.credentials.credential import Injection
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.ledger import Ledger
from agent.credentials.oauth import OAuthClient
from agent.errors import Denial, Reason
from agent.identity.principal import Kind
from agent.moment import Moment
from tests.credentials.conftest import (
    CLIENT,
    NOW,
    TENANT,
    FakeClock,
    FakeSts,
    Scripted,
    anonymous,
    app,
    caller,
    granted,
    refused,
)

MOMENT = Moment(NOW, 10.0)
Make = Callable[..., ClientCredentials]


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("p@ss:wörd %\n")
    return path


@pytest.fixture
def counted() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def exchange(cache: TokenCache, clock: FakeClock, counted: list[tuple[str, str]]) -> Exchange:
    def count(identity: str, result: str) -> None:
        counted.append((identity, result))

    return Exchange(cache, Ledger(clock), clock, lambda: 0.5, count)


@pytest.fixture
def make(sts: FakeSts, secret_file: Path, exchange: Exchange) -> Make:
    def made(
        method: str = "client_secret_basic",
        scopes: tuple[str, ...] = ("audit.write",),
        audience: str = "",
        path: str = "/realm/token",
    ) -> ClientCredentials:
        identity = OAuthIdentity.model_validate(
            {
                "tokenUrl": sts.url + path,
                "clientId": "task api",
                "secretFile": str(secret_file),
                "authMethod": method,
                "caFile": str(sts.ca_file),
            }
        )
        return ClientCredentials(
            "audit", scopes, audience, OAuthClient("keycloak", identity), exchange
        )

    return made


def test_client_secret_basic_encodes_both_parts_before_joining_them(
    sts: FakeSts, make: Make
) -> None:
    got = make().obtain(caller(), MOMENT)
    assert isinstance(got, Injection)
    assert got.headers == (("authorization", "Bearer token"),)
    assert (got.acts_as, got.expires_at) == (Kind.APP, NOW + 3600)
    assert sts.forms == [{"grant_type": "client_credentials", "scope": "audit.write"}]
    scheme, _, pair = sts.headers[0]["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair).decode() == "task+api:p%40ss%3Aw%C3%B6rd+%25"


def test_each_request_is_counted_with_its_result_and_a_hit_is_none(
    sts: FakeSts, make: Make, secret_file: Path, counted: list[tuple[str, str]]
) -> None:
    for _ in range(3):
        make().obtain(None, MOMENT)
    secret_file.write_text("")
    make(audience="other").obtain(None, MOMENT)
    assert counted == [("keycloak", "ok"), ("keycloak", "credential_error")]


def test_client_secret_post_sends_them_in_the_form(sts: FakeSts, make: Make) -> None:
    make("client_secret_post", ()).obtain(None, MOMENT)
    assert sts.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "task api",
            "client_secret": "p@ss:wörd %",
        }
    ]
    assert "Authorization" not in sts.headers[0]


@pytest.mark.parametrize(
    ("audience", "sent"),
    [
        ("billing", {"audience": "billing"}),
        ("https://billing/", {"audience": "https://billing/", "resource": "https://billing/"}),
    ],
)
def test_an_audience_is_named_in_both_dialects(
    sts: FakeSts, make: Make, audience: str, sent: dict[str, str]
) -> None:
    make(scopes=(), audience=audience).obtain(None, MOMENT)
    assert sts.forms == [{"grant_type": "client_credentials"} | sent]


@pytest.mark.must(28, 41)
def test_whoever_calls_gets_our_one_token(sts: FakeSts, make: Make) -> None:
    credential = make()
    who = [caller("a"), caller("b"), app(), anonymous(), None] * 40
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda one: credential.obtain(one, MOMENT), who))
    assert {one.acts_as for one in got if isinstance(one, Injection)} == {Kind.APP}
    assert len(got) == 200
    assert not any(isinstance(one, Denial) for one in got)
    assert len(sts.forms) == 1


def test_two_destinations_of_one_identity_have_tokens_of_their_own(
    sts: FakeSts, make: Make
) -> None:
    sts.script = lambda form: granted(f"for-{form['scope']}")
    for scope in ("a", "b", "a"):
        got = make(scopes=(scope,)).obtain(None, MOMENT)
        assert isinstance(got, Injection)
        assert got.headers[0][1] == f"Bearer for-{scope}"
    assert len(sts.forms) == 2


@pytest.mark.parametrize(
    ("scripted", "reason"),
    [
        (refused(error="invalid_client", status=401), Reason.CREDENTIAL_ERROR),
        (refused(error="unauthorized_client"), Reason.CREDENTIAL_ERROR),
        (refused(error="invalid_scope"), Reason.INTERNAL_ERROR),
        (refused(error="invalid_target"), Reason.INTERNAL_ERROR),
        (refused(error="invalid_grant"), Reason.CREDENTIAL_ERROR),
        (refused(error="interaction_required", claims="{}"), Reason.CREDENTIAL_ERROR),
        (Scripted(429, "slow", Retry_After="3"), Reason.RATE_LIMITED),
        (Scripted(503, "<html>"), Reason.ISSUER_UNAVAILABLE),
        (Scripted(200, "<html>"), Reason.ISSUER_UNAVAILABLE),
        (granted("evil\r\nx-auth-kind: user"), Reason.ISSUER_UNAVAILABLE),
        (granted("t", token_type="DPoP"), Reason.ISSUER_UNAVAILABLE),
        (Scripted(reset=True), Reason.ISSUER_UNAVAILABLE),
        (Scripted(302, "", Location="https://attacker.example"), Reason.ISSUER_UNAVAILABLE),
    ],
)
def test_each_refusal_is_a_denial_that_never_blames_the_caller(
    sts: FakeSts,
    make: Make,
    scripted: Scripted,
    reason: Reason,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sts.script = lambda form: scripted
    got = make().obtain(caller(), MOMENT)
    assert isinstance(got, Denial)
    assert got.reason is reason
    assert got.status in (500, 503)
    assert "destination 'audit': " in caplog.text


def test_a_rotated_secret_is_used_within_five_seconds(
    sts: FakeSts, make: Make, secret_file: Path, clock: FakeClock
) -> None:
    sts.script = lambda form: (
        granted("t")
        if form["client_secret"] == "new"
        else refused(error="invalid_client", status=401)
    )
    credential = make("client_secret_post")
    assert isinstance(credential.obtain(None, MOMENT), Denial)
    secret_file.write_text("new")
    clock.now += 4.9
    assert isinstance(credential.obtain(None, Moment(clock.now, 10.0)), Injection)


@pytest.mark.must(38)
def test_an_outage_is_survived_by_the_token_in_hand(
    sts: FakeSts, make: Make, clock: FakeClock
) -> None:
    credential = make()
    credential.obtain(None, MOMENT)
    sts.script = lambda form: Scripted(503, "down")
    for second in range(3000, 3600, 30):
        clock.now = NOW + second
        assert isinstance(credential.obtain(None, Moment(clock.now, 10.0)), Injection)
    clock.now = NOW + 3600
    got = credential.obtain(None, Moment(clock.now, 10.0))
    assert isinstance(got, Denial)
    assert got.reason is Reason.ISSUER_UNAVAILABLE


def test_at_entra_an_audience_alone_asks_for_its_default_scope(
    sts: FakeSts, secret_file: Path, exchange: Exchange
) -> None:
    identity = EntraIdentity.model_validate(
        {
            "tenant": TENANT,
            "clientId": CLIENT,
            "authority": sts.url,
            "caFile": str(sts.ca_file),
            "secretFile": str(secret_file),
        }
    )
    client = EntraClient("task-api", identity)
    got = ClientCredentials("audit", (), "api://audit", client, exchange).obtain(None, MOMENT)
    assert isinstance(got, Injection)
    assert sts.forms[0]["scope"] == "api://audit/.default"


@pytest.mark.must(45)
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize(
    "scripted", [granted("canary-token"), refused(error="invalid_client"), Scripted(500, "canary")]
)
def test_no_secret_and_no_token_is_logged_or_shown(
    sts: FakeSts,
    make: Make,
    secret_file: Path,
    method: str,
    scripted: Scripted,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret_file.write_text("canary-secret")
    sts.script = lambda form: scripted
    credential: Any = make(method)
    with caplog.at_level(logging.DEBUG):
        got = credential.obtain(caller("canary-user-token"), MOMENT)
    encoded = base64.b64encode(b"task+api:canary-secret").decode()
    assert "canary" not in caplog.text + repr(got) + repr(vars(credential))
    assert encoded not in caplog.text
