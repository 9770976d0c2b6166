"""What a Txn-Token says, and when the one that came is passed on."""

from __future__ import annotations

import base64
import json
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from agent.context.caller import Caller
from agent.credentials.credential import Injection
from agent.credentials.internal import InternalCredential
from agent.credentials.keyring import SigningKey
from agent.credentials.mint import Grant, Minter, Rules, subject
from agent.credentials.transaction import Purpose, TransactionTokens, compose
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Verified
from agent.moment import Moment
from tests.credentials.conftest import NOW, TENANT, anonymous, app, caller

RULES = Rules("https://gateway.shop.internal", "shop/gateway", 300.0, 8, "shop.internal")
PURPOSE = Purpose(("orders.place", "orders.read"), ("amr", "name"))


def claims_of(who: Caller | None, speaker: Kind = Kind.USER, now: float = NOW) -> dict[str, Any]:
    claims = compose(RULES, PURPOSE, who, speaker, now, "jti-1")
    assert isinstance(claims, dict), claims
    return claims


def test_a_transaction_of_a_user_says_all_that_the_draft_asks_for() -> None:
    assert claims_of(caller()) == {
        "iss": "https://gateway.shop.internal",
        "aud": "shop.internal",
        "sub": f"{TENANT}/user-1",
        "txn": "txn-1",
        "scope": "orders.place orders.read",
        "req_wl": "shop/gateway",
        "rctx": {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "client_id": "sign-in",
        },
        "tctx": {"name": "Alice"},
        "iat": int(NOW),
        "exp": int(NOW) + 300,
    }


@pytest.mark.parametrize(
    ("who", "speaker", "sub", "txn"),
    [
        (None, Kind.APP, "shop/gateway", "jti-1"),
        (anonymous("txn-0"), Kind.APP, "shop/gateway", "txn-0"),
        (caller(), Kind.APP, "shop/gateway", "txn-1"),
        (app(), Kind.APP, "shop/gateway", "txn-1"),
    ],
)
def test_our_own_transaction_speaks_for_nobody_else(
    who: Caller | None, speaker: Kind, sub: str, txn: str
) -> None:
    claims = claims_of(who, speaker)
    assert (claims["sub"], claims["txn"], claims["req_wl"]) == (sub, txn, "shop/gateway")
    assert "tctx" not in claims


@pytest.mark.must(30)
@pytest.mark.parametrize(("left", "lives"), [(3600.0, 300), (20.5, 20), (0.9, None), (0, None)])
def test_a_transaction_never_outlives_its_callers_token(left: float, lives: int | None) -> None:
    got = compose(RULES, PURPOSE, caller(expires_at=NOW + left), Kind.USER, NOW, "jti")
    if lives is None:
        assert isinstance(got, Denial)
        assert got.reason is Reason.EXPIRED_TOKEN
    else:
        assert isinstance(got, dict)
        assert got["exp"] == int(NOW) + lives


@pytest.mark.must(30)
@given(
    held=st.sets(st.sampled_from(["orders.place", "orders.read", "x"])),
    wanted=st.lists(st.sampled_from(["orders.place", "orders.read", "y"]), min_size=1, unique=True),
    life=st.floats(min_value=1.5, max_value=10_000),
    speaker=st.sampled_from([Kind.USER, Kind.APP]),
)
def test_amid_a_chain_nothing_is_widened_and_the_subject_stays(
    held: set[str], wanted: list[str], life: float, speaker: Kind
) -> None:
    theirs = {"sub": f"{TENANT}/user-1", "tid": TENANT, "oid": "user-1"}
    who = caller(
        issuer_kind=IssuerKind.INTERNAL,
        scopes=frozenset(held),
        txn="txn-9",
        claims=theirs,
        actors=("shop/edge",),
        expires_at=NOW + life,
    )
    got = compose(RULES, Purpose(tuple(wanted)), who, speaker, NOW, "jti")
    if isinstance(got, Denial):
        assert got.reason is Reason.INSUFFICIENT_SCOPE
        assert not held & set(wanted)
        return
    assert set(got["scope"].split()) == held & set(wanted)
    assert got["txn"] == "txn-9"
    assert NOW < got["exp"] <= NOW + min(life, 300)
    assert got["sub"] == (theirs["sub"] if speaker is Kind.USER else "shop/gateway")


@pytest.fixture
def minter() -> Minter:
    key, ids = SigningKey.of(generate_private_key(SECP256R1())), count()
    return Minter(RULES, lambda now: key, lambda: f"jti-{next(ids)}")


def sent(minter: Minter, who: Caller | None, now: float = NOW) -> Injection | Denial:
    tokens = TransactionTokens(PURPOSE, minter)
    credential = InternalCredential(Grant("billing", ("billing.read",)), "user", minter, tokens)
    return credential.obtain(who, Moment(now, 1.0))


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, body, _ = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, body)]
    return read[0], read[1]


def test_it_goes_beside_the_internal_token_and_agrees_with_it(minter: Minter) -> None:
    got = sent(minter, caller())
    assert isinstance(got, Injection)
    headers = dict(got.headers)
    header, transaction = _read(headers["txn-token"])
    _, bearer = _read(headers["authorization"].removeprefix("Bearer "))
    assert header["typ"] == "txntoken+jwt"
    assert (transaction["txn"], transaction["sub"]) == (bearer["txn"], bearer["sub"])
    assert transaction["aud"] != bearer["aud"]
    assert got.expires_at == min(transaction["exp"], bearer["exp"])
    assert headers["txn-token"] not in repr(got)


@pytest.mark.must(27)
def test_one_transaction_has_one_token_and_another_has_another(minter: Minter) -> None:
    def token(who: Caller) -> str:
        got = sent(minter, who)
        assert isinstance(got, Injection)
        return dict(got.headers)["txn-token"]

    one = token(caller("a", "txn-1"))
    assert token(caller("a", "txn-1")) == one
    assert len({one, token(caller("a", "txn-2")), token(caller("b", "txn-1"))}) == 3


@pytest.mark.must(30)
def test_the_one_that_came_goes_on_unchanged_until_it_expires(minter: Minter) -> None:
    verified = caller("their.txn.token", expires_at=NOW + 60).verified
    assert isinstance(verified, Verified)
    who = caller()._replace(transaction=verified)
    got = sent(minter, who)
    assert isinstance(got, Injection)
    assert dict(got.headers)["txn-token"] == "their.txn.token"
    assert got.expires_at == NOW + 60
    late = sent(minter, who, NOW + 60)
    assert isinstance(late, Denial)
    assert late.reason is Reason.EXPIRED_TOKEN
    assert "their.txn.token" not in repr(who)


def test_its_subject_is_the_internal_tokens_for_every_caller() -> None:
    for who in (caller(), caller(tenant="", issuer="https://partner"), caller(subject="a/b")):
        assert who.verified
        assert claims_of(who)["sub"] == subject(who.verified.principal)["sub"]
