"""Token exchange (RFC 8693): what is sent, what is accepted, and whose token it is."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.config.identities import OAuthIdentity
from agent.config.token_exchange import TokenExchange as Config
from agent.credentials.cache import TokenCache
from agent.credentials.credential import Injection
from agent.credentials.exchange import Exchange
from agent.credentials.exchange_assembly import token_exchange
from agent.credentials.keyring import SigningKey
from agent.credentials.ledger import Ledger
from agent.credentials.mint import Minter, Rules
from agent.credentials.oauth import OAuthClient
from agent.credentials.token_exchange import GRANT, TokenExchange
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind
from agent.moment import Moment
from tests.credentials.conftest import (
    NOW,
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
TYPE = "urn:ietf:params:oauth:token-type:"
ACCESS = f"{TYPE}access_token"
Make = Callable[..., TokenExchange]


def exchanged(token: str, **more: Any) -> Scripted:
    return granted(token, **({"issued_token_type": ACCESS} | more))


def for_whom(form: dict[str, str]) -> Scripted:
    """A server that tells in each token for whom it is; for ourselves by client credentials."""
    if form["grant_type"] == "client_credentials":
        return granted(f"own-{form.get('scope', '')}")
    return exchanged(f"for-{form['subject_token']}")


@pytest.fixture
def exchange(cache: TokenCache, clock: FakeClock) -> Exchange:
    return Exchange(cache, Ledger(clock), clock, lambda: 0.5)


@pytest.fixture
def make(sts: FakeSts, tmp_path: Path, exchange: Exchange) -> Make:
    sts.script = for_whom
    (tmp_path / "secret").write_text("canary-secret")
    signing = SigningKey.of(ec.generate_private_key(ec.SECP256R1()))
    rules = Rules("https://gateway.shop.internal", "shop/task-api", 300.0, 8, "shop.internal")
    minter = Minter(rules, lambda now: signing, lambda: "id")

    def made(**written: Any) -> TokenExchange:
        identity = OAuthIdentity.model_validate(
            {
                "tokenUrl": f"{sts.url}/realm/token",
                "clientId": "task-api",
                "secretFile": str(tmp_path / "secret"),
                "caFile": str(sts.ca_file),
            }
        )
        values = {"identity": "keycloak", "audience": "billing"} | written
        client = OAuthClient("keycloak", identity)
        config = Config.model_validate({k: v for k, v in values.items() if v is not None})
        return token_exchange("billing", config, {"keycloak": client}, minter, exchange)

    return made


def bearer(got: Injection | Denial) -> str:
    assert isinstance(got, Injection), got
    ((name, value),) = got.headers
    assert name == "authorization"
    return value.removeprefix("Bearer ")


def reason(got: Injection | Denial) -> Reason:
    assert isinstance(got, Denial), got
    return got.reason


# What is sent


@pytest.mark.must(27, 28)
def test_the_callers_own_token_is_the_subject(sts: FakeSts, make: Make) -> None:
    got = make().obtain(caller("alice"), MOMENT)
    assert bearer(got) == "for-alice"
    assert isinstance(got, Injection)
    assert got.acts_as is Kind.USER
    assert sts.forms == [
        {
            "grant_type": GRANT,
            "subject_token": "alice",
            "subject_token_type": ACCESS,
            "requested_token_type": ACCESS,
            "audience": "billing",
        }
    ]
    assert sts.headers[0]["Authorization"].startswith("Basic ")


def test_the_words_of_the_configuration_become_the_ones_of_the_rfc(
    sts: FakeSts, make: Make
) -> None:
    sts.script = lambda form: exchanged("t", issued_token_type=f"{TYPE}jwt")
    credential = make(
        audience=None,
        resource="https://billing.example/",
        scopes=["b", "a"],
        subjectTokenType="urn:example:badge",
        requestedTokenType="jwt",
    )
    assert bearer(credential.obtain(caller("alice"), MOMENT)) == "t"
    assert sts.forms[0] == {
        "grant_type": GRANT,
        "subject_token": "alice",
        "subject_token_type": "urn:example:badge",
        "requested_token_type": f"{TYPE}jwt",
        "resource": "https://billing.example/",
        "scope": "b a",
    }


def test_an_actor_by_client_credentials_is_asked_for_once(sts: FakeSts, make: Make) -> None:
    credential = make(actor={"clientCredentials": {"scopes": ["act"]}})
    for name in ("alice", "bob", "carol"):
        assert bearer(credential.obtain(caller(name), MOMENT)) == f"for-{name}"
    grants = [form["grant_type"] for form in sts.forms]
    assert grants == ["client_credentials", GRANT, GRANT, GRANT]
    assert {form.get("actor_token") for form in sts.forms[1:]} == {"own-act"}
    assert {form.get("actor_token_type") for form in sts.forms[1:]} == {ACCESS}


@pytest.mark.must(30)
def test_a_minted_actor_is_about_ourselves_and_nobody_else(sts: FakeSts, make: Make) -> None:
    make(actor={"internal": {"audience": "sso", "scopes": ["act"]}}).obtain(caller("alice"), MOMENT)
    form = sts.forms[0]
    claims = jwt.decode(form["actor_token"], options={"verify_signature": False})
    assert form["actor_token_type"] == f"{TYPE}jwt"
    assert (claims["sub"], claims["aud"], claims["idtyp"]) == ("shop/task-api", "sso", "app")
    assert (claims["scope"], claims["act"]) == ("act", {"sub": "shop/task-api"})
    assert "txn-1" not in json.dumps(claims)
    make(actor="internal").obtain(caller("bob"), MOMENT)
    later = jwt.decode(sts.forms[1]["actor_token"], options={"verify_signature": False})
    assert later["aud"] == f"{sts.url}/realm/token"  # where none is written


def test_an_actor_in_a_file_is_read_each_time(
    sts: FakeSts, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    credential = make(actor={"file": str(file)})
    assert reason(credential.obtain(caller("alice"), MOMENT)) is Reason.CREDENTIAL_ERROR
    assert f"destination 'billing': the file {file} cannot be read" in caplog.text
    assert not sts.forms
    for content in ("one", "two"):
        file.write_text(content)
        credential.obtain(caller(content), MOMENT)
        assert sts.forms[-1]["actor_token"] == content


# Whose token is exchanged


@pytest.mark.must(28)
@pytest.mark.parametrize(
    ("who", "wanted"),
    [
        (None, Reason.NO_SUBJECT),
        (anonymous(), Reason.NO_SUBJECT),
        (app(), Reason.USER_REQUIRED),
        (caller(expires_at=NOW), Reason.EXPIRED_TOKEN),
        (caller(issuer_kind=IssuerKind.INTERNAL), Reason.DESTINATION_NOT_ALLOWED),
    ],
    ids=["nobody", "anonymous", "an app", "expired", "internal"],
)
def test_without_a_user_whose_token_may_go_there_nothing_is_asked(
    sts: FakeSts, make: Make, who: Any, wanted: Reason
) -> None:
    credential = make(actor={"clientCredentials": {}})
    assert reason(credential.obtain(who, MOMENT)) is wanted
    assert not sts.forms


@pytest.mark.must(28)
def test_only_the_named_issuers_tokens_are_shown(sts: FakeSts, make: Make) -> None:
    credential = make(issuers=["mesh"])
    mesh = {"issuer_name": "mesh", "issuer_kind": IssuerKind.INTERNAL}
    assert bearer(credential.obtain(caller("inside", **mesh), MOMENT)) == "for-inside"
    assert reason(credential.obtain(caller(), MOMENT)) is Reason.DESTINATION_NOT_ALLOWED
    assert len(sts.forms) == 1


@pytest.mark.must(28)
def test_either_falls_back_to_our_own_token_and_says_so(sts: FakeSts, make: Make) -> None:
    credential = make(subject="either", scopes=["s"])
    for who, token, kind in (
        (caller("alice"), "for-alice", Kind.USER),
        (app(), "own-s", Kind.APP),
        (None, "own-s", Kind.APP),
    ):
        got = credential.obtain(who, MOMENT)
        assert isinstance(got, Injection)
        assert (bearer(got), got.acts_as) == (token, kind)
    own = [form for form in sts.forms if form["grant_type"] == "client_credentials"]
    assert own == [{"grant_type": "client_credentials", "scope": "s", "audience": "billing"}]


@pytest.mark.must(28)
def test_a_user_who_is_refused_never_becomes_the_application(sts: FakeSts, make: Make) -> None:
    sts.script = lambda form: refused() if "subject_token" in form else granted("own")
    got = make(subject="either").obtain(caller("alice"), MOMENT)
    assert reason(got) is Reason.INVALID_TOKEN


@pytest.mark.parametrize("subject", ["app", "either"])
def test_a_token_of_our_own_is_exchanged_for_ourselves(
    sts: FakeSts, make: Make, tmp_path: Path, subject: str
) -> None:
    file = tmp_path / "sa-token"
    file.write_text("service-account")
    credential = make(subject=subject, own={"file": str(file)})
    for _ in range(3):
        got = credential.obtain(None, MOMENT)
        assert isinstance(got, Injection)
        assert (bearer(got), got.acts_as) == ("for-service-account", Kind.APP)
    (form,) = sts.forms
    assert form["subject_token_type"] == f"{TYPE}jwt"


@pytest.mark.must(27)
def test_a_thousand_interleaved_users_get_each_their_own(sts: FakeSts, make: Make) -> None:
    credential = make(actor={"clientCredentials": {}})
    users = [f"user-{n % 100}" for n in range(1000)]
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda one: credential.obtain(caller(one), MOMENT), users))
    assert [bearer(one) for one in got] == [f"for-{name}" for name in users]


@pytest.mark.must(41)
def test_many_calls_for_one_user_make_one_request(sts: FakeSts, make: Make) -> None:
    credential = make()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: credential.obtain(caller("alice"), MOMENT), range(500)))
    assert len(sts.forms) == 1


@pytest.mark.must(27)
def test_what_makes_another_token_has_another_place(sts: FakeSts, make: Make) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"audience": "other"},
        {"resource": "https://x.example"},
        {"scopes": ["s"]},
        {"subjectTokenType": "jwt"},
        {"actor": "internal"},
        {"actor": {"internal": {"audience": "x"}}},
    ]
    for written in variants:
        make(**written).obtain(caller("alice"), MOMENT)
    assert len(sts.forms) == len(variants)


@pytest.mark.must(27)
def test_two_tokens_of_our_own_have_two_places(sts: FakeSts, make: Make, tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        (tmp_path / name).write_text(name)
        got = make(subject="app", own={"file": str(tmp_path / name)}).obtain(None, MOMENT)
        assert bearer(got) == f"for-{name}"
    assert len(sts.forms) == 2


# How long it serves


@pytest.mark.must(27, 30)
def test_it_never_outlives_the_callers_token(
    sts: FakeSts, make: Make, exchange: Exchange, clock: FakeClock
) -> None:
    credential = make()
    who = caller("alice", expires_at=NOW + 100)
    got = credential.obtain(who, MOMENT)
    assert isinstance(got, Injection)
    assert got.expires_at == NOW + 100
    assert exchange.ledger.row("billing").expires_at == NOW + 100
    clock.now = NOW + 99
    assert bearer(credential.obtain(who, Moment(clock.now, 10.0))) == "for-alice"
    assert len(sts.forms) == 1  # another would not serve longer
    clock.now = NOW + 100
    got = credential.obtain(who, Moment(clock.now, 10.0))
    assert reason(got) is Reason.EXPIRED_TOKEN


@pytest.mark.must(38)
def test_what_is_in_hand_serves_though_the_actor_is_refused(
    sts: FakeSts, make: Make, clock: FakeClock
) -> None:
    credential = make(actor={"clientCredentials": {}})
    who = caller("alice", expires_at=NOW + 9000)
    credential.obtain(who, MOMENT)
    sts.script = lambda form: Scripted(503, "down")
    clock.now = NOW + 3590
    credential.renew(clock.now)
    assert bearer(credential.obtain(who, Moment(clock.now, 10.0))) == "for-alice"
    clock.now = NOW + 3600
    got = credential.obtain(who, Moment(clock.now, 10.0))
    assert reason(got) is Reason.ISSUER_UNAVAILABLE


def test_one_users_refusal_is_remembered_briefly_and_is_nobody_elses(
    sts: FakeSts, make: Make, clock: FakeClock
) -> None:
    sts.script = lambda form: (
        refused(error="invalid_grant") if form["subject_token"] == "bad" else for_whom(form)
    )
    credential = make()
    for _ in range(5):
        assert reason(credential.obtain(caller("bad"), MOMENT)) is Reason.INVALID_TOKEN
    assert bearer(credential.obtain(caller("good"), MOMENT)) == "for-good"
    assert len(sts.forms) == 2
    clock.now += 6
    sts.script = for_whom
    assert bearer(credential.obtain(caller("bad"), Moment(clock.now, 10.0))) == "for-bad"


# What comes back


@pytest.mark.parametrize(
    "body",
    [
        {"issued_token_type": None},
        {"issued_token_type": f"{TYPE}refresh_token"},
        {"issued_token_type": f"{TYPE}id_token"},
        {"issued_token_type": f"{TYPE}jwt"},
        {"token_type": "N_A"},
        {"token_type": "DPoP"},
        {"token_type": None},
        {"token_type": ["Bearer"]},
    ],
    ids=str,
)
def test_another_token_than_was_asked_for_goes_nowhere(
    sts: FakeSts, make: Make, body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sts.script = lambda form: exchanged("canary", **body)
    assert reason(make().obtain(caller("alice"), MOMENT)) is Reason.INTERNAL_ERROR
    assert f"destination 'billing': '{sts.url}/realm/token' issued " in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("scripted", "wanted"),
    [
        (Scripted(429, "slow", Retry_After="7"), Reason.RATE_LIMITED),
        (Scripted(503, "<html>"), Reason.ISSUER_UNAVAILABLE),
        (Scripted(200, "<html>"), Reason.ISSUER_UNAVAILABLE),
        (Scripted(200, {"issued_token_type": ACCESS}), Reason.ISSUER_UNAVAILABLE),
        (Scripted(302, "", Location="https://attacker.example"), Reason.ISSUER_UNAVAILABLE),
        (Scripted(reset=True), Reason.ISSUER_UNAVAILABLE),
        (exchanged("evil\r\nx-auth-kind: user"), Reason.ISSUER_UNAVAILABLE),
    ],
)
def test_a_server_in_trouble_is_said_to_be(
    sts: FakeSts, make: Make, scripted: Scripted, wanted: Reason
) -> None:
    sts.script = lambda form: scripted
    got = make().obtain(caller("alice"), MOMENT)
    assert reason(got) is wanted
    assert isinstance(got, Denial)
    assert got.retry_after == (7 if wanted is Reason.RATE_LIMITED else 1)


@pytest.mark.must(45)
@pytest.mark.parametrize("scripted", [exchanged("canary-new"), refused(), Scripted(500, "canary")])
def test_no_token_and_no_secret_is_logged_or_shown(
    sts: FakeSts, make: Make, scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    sts.script = lambda form: scripted
    credential = make()
    with caplog.at_level(logging.DEBUG):
        got = credential.obtain(caller("canary-user"), MOMENT)
    assert "canary" not in caplog.text + repr(got) + repr(vars(credential))
