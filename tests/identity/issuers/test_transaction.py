"""Which Txn-Tokens are believed (draft-ietf-oauth-transaction-tokens-10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.principal import Kind, RawToken, Verified
from tests.identity.conftest import Instant

ISS = "https://gateway.shop.internal"
NOW = 1_800_000_000.0
GATEWAY = "shop/gateway"
CLAIMS: dict[str, Any] = {
    "iss": ISS,
    "aud": "shop.internal",
    "sub": "t1/user",
    "txn": "txn-1",
    "scope": "orders.place",
    "req_wl": GATEWAY,
    "rctx": {"client_id": "web"},
    "tctx": {"amount": "7"},
    "iat": NOW - 10,
    "exp": NOW + 290,
}
TYPED = {"typ": "txntoken+jwt"}


@pytest.fixture
def world(build: Any, web: Any, ring: Any, tmp_path: Path) -> Any:
    file = tmp_path / "jwks.json"
    file.write_bytes(
        ring.jwks(
            ring.jwk("ec256", workload=GATEWAY),
            ring.jwk("ec256-b", workload="shop/orders"),
            ring.jwk("ec256", kid="nobody"),
        )
    )
    internal = {
        "trustDomain": "shop.internal",
        "issuers": [ISS],
        "audience": "task-api",
        "jwks": {"file": str(file)},
    }
    mesh = {"name": "mesh", "internal": internal | {"txnToken": "accept"}}
    return build(web, mesh)


def verify(world: Any, token: str) -> Verified | Denial:
    found: Verified | Denial = world.trust.verify_transaction(RawToken(token), Instant(NOW))
    return found


def test_a_transaction_tells_its_principal_and_who_began_it(world: Any, ring: Any) -> None:
    found = verify(world, ring.mint("ec256", CLAIMS, **TYPED))
    assert isinstance(found, Verified)
    p = found.principal
    assert (p.kind, p.subject, p.client, p.txn) == (Kind.USER, "t1/user", GATEWAY, "txn-1")
    assert p.scopes == {"orders.place"}
    own = verify(world, ring.mint("ec256", CLAIMS | {"sub": GATEWAY}, **TYPED))
    assert isinstance(own, Verified)
    assert own.principal.kind is Kind.APP


@pytest.mark.must(11, 30)
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        *(({name: None}, Reason.INVALID_TOKEN) for name in ("sub", "txn", "scope", "req_wl")),
        *(({name: ""}, Reason.INVALID_TOKEN) for name in ("sub", "txn", "scope", "req_wl")),
        *(({name: ["a"]}, Reason.INVALID_TOKEN) for name in ("sub", "txn", "scope", "req_wl")),
        ({"iat": None}, Reason.INVALID_TOKEN),
        ({"exp": None}, Reason.INVALID_TOKEN),
        ({"exp": NOW - 61}, Reason.EXPIRED_TOKEN),
        ({"exp": NOW + 4000}, Reason.INVALID_TOKEN),
        ({"txn": "a b"}, Reason.INVALID_TOKEN),
        ({"aud": "task-api"}, Reason.WRONG_AUDIENCE),
        ({"aud": "other.internal"}, Reason.WRONG_AUDIENCE),
        ({"aud": None}, Reason.WRONG_AUDIENCE),
        ({"aud": ["shop.internal", "other"]}, Reason.INVALID_TOKEN),
        ({"tctx": "text"}, Reason.INVALID_TOKEN),
        ({"rctx": [1]}, Reason.INVALID_TOKEN),
        ({"cnf": {"jkt": "x"}}, Reason.INVALID_TOKEN),
        ({"req_wl": "shop/orders"}, Reason.INVALID_TOKEN),
        ({"iss": "https://evil.internal"}, Reason.UNTRUSTED_ISSUER),
        ({"iss": None}, Reason.MALFORMED_TOKEN),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_transaction_that_we_would_not_have_begun_is_refused(
    world: Any, ring: Any, said: dict[str, Any], expected: Reason
) -> None:
    claims = {name: value for name, value in (CLAIMS | said).items() if value is not None}
    found = verify(world, ring.mint("ec256", claims, **TYPED))
    assert isinstance(found, Denial)
    assert found.reason is expected


@pytest.mark.must(11)
@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "txn_token", "txntoken", ""])
def test_nothing_but_its_own_type_is_a_transaction(world: Any, ring: Any, typ: str | None) -> None:
    found = verify(world, ring.mint("ec256", CLAIMS, typ=typ))
    assert isinstance(found, Denial)
    assert found.reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(("key", "kid"), [("ec256-b", "ec256-b"), ("ec256", "nobody")])
def test_a_key_begins_transactions_of_its_own_workload_only(
    world: Any, ring: Any, key: str, kid: str
) -> None:
    assert isinstance(verify(world, ring.mint(key, CLAIMS, kid=kid, **TYPED)), Denial)


@pytest.mark.must(11)
def test_a_transaction_is_no_access_token_and_an_access_token_no_transaction(
    world: Any, ring: Any
) -> None:
    access = CLAIMS | {"aud": "task-api", "client_id": GATEWAY, "jti": "j", "hops": 1}
    assert isinstance(world.verify(ring.mint("ec256", access, typ="at+jwt")), Verified)
    for typ, claims in (("txntoken+jwt", access), ("txntoken+jwt", CLAIMS)):
        assert isinstance(world.verify(ring.mint("ec256", claims, typ=typ)), Denial)
    both = access | {"aud": "shop.internal"}
    assert isinstance(verify(world, ring.mint("ec256", both, typ="at+jwt")), Denial)


def test_without_a_word_in_the_configuration_none_is_accepted(
    build: Any, web: Any, ring: Any, tmp_path: Path
) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(ring.jwks(ring.jwk("ec256", workload=GATEWAY)))
    internal = {"trustDomain": "shop.internal", "issuers": [ISS], "audience": "task-api"}
    world = build(web, {"name": "mesh", "internal": internal | {"jwks": {"file": str(file)}}})
    found = verify(world, ring.mint("ec256", CLAIMS, **TYPED))
    assert isinstance(found, Denial)
    assert found.reason is Reason.UNTRUSTED_ISSUER
