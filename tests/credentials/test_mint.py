"""What internal tokens say: the rule as tables, and chains of mints."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
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
from agent.credentials.mint import (
    RESERVED,
    Grant,
    Minter,
    Rules,
    compose,
    enters_twice,
    too_many_hops,
)
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind
from agent.moment import Moment
from tests.credentials.conftest import NOW, TENANT, anonymous, app, caller, principal

RULES = Rules("https://gateway.shop.internal", "shop/task-api", 300.0, 8, "shop.internal")
GRANT = Grant("billing", ("billing.read", "billing.write"))


def claims_of(
    who: Caller | None,
    speaker: Kind | None = Kind.USER,
    grant: Grant = GRANT,
    rules: Rules = RULES,
    now: float = NOW,
) -> dict[str, Any]:
    claims = compose(rules, grant, who, speaker, now, "jti-1")
    assert isinstance(claims, dict), claims
    return claims


def denial_of(who: Caller | None, grant: Grant = GRANT, **rules: Any) -> Denial:
    got = compose(replace(RULES, **rules), grant, who, Kind.USER, NOW, "jti-1")
    assert isinstance(got, Denial)
    return got


def came_with(claims: dict[str, Any], **changes: Any) -> Caller:
    """The caller that the next workload sees when it is called with *claims*."""
    actors: list[str] = []
    act = claims.get("act")
    while act:
        actors.append(act["sub"])
        act = act.get("act")
    values: dict[str, Any] = {
        "kind": Kind(claims["idtyp"]),
        "subject": claims["sub"],
        "tenant": claims.get("tid", ""),
        "issuer": claims["iss"],
        "issuer_kind": IssuerKind.INTERNAL,
        "client": claims["client_id"],
        "scopes": frozenset(claims.get("scope", "").split()),
        "expires_at": float(claims["exp"]),
        "claims": claims,
        "actors": tuple(actors),
        "txn": claims["txn"],
        "hops": claims["hops"],
    }
    return caller(**({"txn": claims["txn"]} | values | changes))


def test_a_first_token_for_a_user_says_all_of_design_7() -> None:
    assert claims_of(caller()) == {
        "iss": "https://gateway.shop.internal",
        "aud": "billing",
        "sub": f"{TENANT}/user-1",
        "tid": TENANT,
        "oid": "user-1",
        "idtyp": "user",
        "txn": "txn-1",
        "scope": "billing.read billing.write",
        "client_id": "shop/task-api",
        "act": {"sub": "shop/task-api"},
        "hops": 1,
        "jti": "jti-1",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
    }


def test_our_own_token_speaks_for_nobody_else() -> None:
    claims = claims_of(None, Kind.APP)
    assert claims["sub"] == claims["client_id"] == "shop/task-api"
    assert (claims["idtyp"], claims["hops"], claims["txn"]) == ("app", 1, "jti-1")
    assert claims["act"] == {"sub": "shop/task-api"}
    assert not {"tid", "oid"} & set(claims)


@pytest.mark.parametrize(
    ("changes", "sub"),
    [
        ({}, f"{TENANT}/user-1"),
        ({"tenant": "", "issuer": "https://partner"}, "https://partner/user-1"),
        ({"subject": "a/b c%"}, f"{TENANT}/a%2Fb%20c%25"),
        ({"tenant": "", "issuer": "https://x/a", "subject": "b"}, "https://x/a/b"),
        ({"tenant": "", "issuer": "https://x", "subject": "a/b"}, "https://x/a%2Fb"),
    ],
)
def test_the_subject_is_one_string_for_one_person(changes: dict[str, Any], sub: str) -> None:
    assert claims_of(caller(**changes))["sub"] == sub


@pytest.mark.must(30)
def test_no_refresh_of_the_callers_token_changes_the_subject() -> None:
    first = claims_of(caller("token-1"))
    again = claims_of(caller("token-2", expires_at=NOW + 9000, scopes=frozenset({"other"})))
    assert first["sub"] == again["sub"]


@pytest.mark.must(30)
def test_along_a_chain_txn_and_subject_stay_hops_grow_and_actors_are_kept() -> None:
    claims = claims_of(caller())
    for step, workload in enumerate(("b", "c", "d"), start=2):
        grant = Grant(f"next-of-{workload}", ("billing.read",))
        claims = claims_of(came_with(claims), grant=grant, rules=replace(RULES, workload=workload))
        assert claims["hops"] == step
        assert (claims["sub"], claims["tid"], claims["oid"], claims["txn"]) == (
            f"{TENANT}/user-1",
            TENANT,
            "user-1",
            "txn-1",
        )
    assert claims["act"] == {
        "sub": "d",
        "act": {"sub": "c", "act": {"sub": "b", "act": {"sub": "shop/task-api"}}},
    }


@pytest.mark.must(30)
@pytest.mark.parametrize(
    ("configured", "held", "written"),
    [
        (("a", "b"), {"a", "b", "c"}, "a b"),
        (("a", "b"), {"b"}, "b"),
        (("a",), {"A"}, None),
        (("a",), set(), None),
        ((), {"a"}, ""),
    ],
)
def test_an_internal_callers_scopes_are_only_narrowed(
    configured: tuple[str, ...], held: set[str], written: str | None
) -> None:
    who = came_with(claims_of(caller()), actors=("other",), scopes=frozenset(held))
    if written is None:
        denial = denial_of(who, Grant("billing", configured))
        assert denial.reason is Reason.INSUFFICIENT_SCOPE
        assert (denial.required, denial.granted) == (configured, tuple(sorted(held)))
    else:
        claims = claims_of(who, grant=Grant("billing", configured))
        assert claims.get("scope", "") == written


@pytest.mark.must(30)
@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from("abcdef")), st.sampled_from([Kind.USER, Kind.APP])),
        min_size=1,
        max_size=8,
    ),
    st.floats(min_value=2, max_value=100_000),
)
def test_no_chain_of_mints_ever_widens_anything(
    steps: list[tuple[set[str], Kind]], life: float
) -> None:
    who: Caller = caller(expires_at=NOW + life)
    held: set[str] | None = None
    ends, now = NOW + life, NOW
    for number, (configured, speaker) in enumerate(steps):
        rules = replace(RULES, workload=f"w{number}")
        grant = Grant("next", tuple(sorted(configured)))
        claims = compose(rules, grant, who, speaker, now, "jti")
        if isinstance(claims, Denial):
            assert claims.reason in (Reason.INSUFFICIENT_SCOPE, Reason.EXPIRED_TOKEN)
            return
        scopes = set(claims.get("scope", "").split())
        assert held is None or scopes <= held
        assert now < claims["exp"] <= ends
        assert claims["txn"] == "txn-1"
        assert claims["hops"] == number + 1
        held, ends, now = scopes, float(claims["exp"]), now + 0.5
        who = came_with(claims)


@pytest.mark.must(30)
@pytest.mark.parametrize(
    ("left", "lives"), [(3600.0, 300), (300.0, 300), (120.9, 120), (1.0, 1), (0.9, None), (0, None)]
)
def test_a_token_never_outlives_the_callers(left: float, lives: int | None) -> None:
    who = caller(expires_at=NOW + left)
    if lives is None:
        assert denial_of(who).reason is Reason.EXPIRED_TOKEN
    else:
        assert claims_of(who)["exp"] == int(NOW) + lives


def test_the_request_ends_the_token_too() -> None:
    assert claims_of(caller()._replace(expires_at=NOW + 7))["exp"] == int(NOW) + 7


@pytest.mark.must(30)
@pytest.mark.parametrize(("hops", "refused"), [(0, False), (7, False), (8, True), (500, True)])
def test_the_chain_has_a_longest_length(hops: int, refused: bool) -> None:
    who = caller(issuer_kind=IssuerKind.INTERNAL, hops=hops, scopes=frozenset(GRANT.scopes or ()))
    if refused:
        assert denial_of(who).reason is Reason.CALL_LOOP
    else:
        assert claims_of(who)["hops"] == hops + 1
    assert (too_many_hops(principal(hops=hops), 8) is not None) == (hops > 8)


def test_a_chain_longer_than_its_hop_count_says_is_measured_itself() -> None:
    denial = too_many_hops(principal(hops=1, actors=tuple(f"w{n}" for n in range(9))), 8)
    assert denial
    assert denial.reason is Reason.CALL_LOOP


@pytest.mark.must(30)
def test_nobody_is_entered_twice() -> None:
    through_us = principal(actors=("other", "shop/task-api"))
    denial = enters_twice(through_us, "shop/task-api")
    assert denial
    assert denial.reason is Reason.CALL_LOOP
    assert enters_twice(through_us, "shop/task") is None
    assert denial_of(caller(actors=("shop/task-api",))).reason is Reason.CALL_LOOP


@pytest.mark.must(30)
def test_acting_for_ourselves_does_not_cut_the_chain() -> None:
    first = claims_of(caller(), grant=Grant("b", ("x",)))
    second = claims_of(came_with(first), Kind.APP, Grant("a", ("x",)), replace(RULES, workload="b"))
    assert (second["sub"], second["idtyp"]) == ("b", "app")
    assert (second["txn"], second["hops"]) == ("txn-1", 2)
    assert enters_twice(came_with(second).verified.principal, "shop/task-api")  # type: ignore[union-attr]


def test_an_anonymous_request_gives_its_transaction() -> None:
    claims = claims_of(anonymous("txn-0"), Kind.APP)
    assert (claims["txn"], claims["exp"]) == ("txn-0", int(NOW) + 300)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("Alice", True),
        (["Admin", "Editor"], True),
        ([], True),
        ("x" * 4094, True),
        ("x" * 4095, False),
        (["x" * 4000, "y" * 100], False),
        (7, False),
        (True, False),
        (None, False),
        ({"a": "b"}, False),
        (["a", 1], False),
    ],
)
@pytest.mark.must(13)
def test_texts_and_lists_of_texts_are_passed_on_within_bounds(value: object, kept: bool) -> None:
    claims = claims_of(caller(claims={"c": value}), grant=Grant("billing", (), ("c", "missing")))
    assert ("c" in claims) == kept
    assert "missing" not in claims


@pytest.mark.parametrize(
    ("value", "kept"), [(1000, True), (True, False), (-1, False), (10**30, False), ([1], False)]
)
def test_when_the_user_signed_in_may_be_passed_on(value: object, kept: bool) -> None:
    claims = claims_of(caller(claims={"auth_time": value}), grant=Grant("b", (), ("auth_time",)))
    assert ("auth_time" in claims) == kept
    assert "n" not in claims_of(caller(claims={"n": 1}), grant=Grant("b", (), ("n",)))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_copied_claim_takes_a_reserved_place(name: str) -> None:
    who = caller(claims={name: "forged"})
    plain = claims_of(who, grant=Grant("billing", ("s",)))
    assert claims_of(who, grant=Grant("billing", ("s",), (name,))) == plain


def test_a_users_claims_are_not_said_of_us() -> None:
    who = caller(claims={"roles": ["Admin"]})
    assert "roles" not in claims_of(who, Kind.APP, Grant("billing", (), ("roles",)))


def test_a_token_for_the_application_speaks_for_the_caller_and_takes_no_hop() -> None:
    grant = Grant("task-api", None, inside=True)
    at_the_end = caller(issuer_kind=IssuerKind.INTERNAL, hops=8, claims={"sub": "theirs"})
    assert claims_of(at_the_end, None, grant)["hops"] == 8
    claims = claims_of(app(), None, grant)
    assert (claims["sub"], claims["idtyp"], claims["scope"]) == (
        f"{TENANT}/app-1",
        "app",
        "access_as_user",
    )


# --- signing and the cache of the minter ----------------------------------------------------------


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.of(generate_private_key(SECP256R1()))


@pytest.fixture
def minter(key: SigningKey) -> Minter:
    ids = count()
    return Minter(RULES, lambda now: key, lambda: f"jti-{next(ids)}")


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, body, _ = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, body)]
    return read[0], read[1]


def test_the_header_is_typed_and_names_the_key(minter: Minter, key: SigningKey) -> None:
    minted = minter.mint(GRANT, caller(), Kind.USER, NOW)
    assert not isinstance(minted, Denial)
    header, claims = _read(minted.token)
    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": key.kid}
    assert minted.expires_at == claims["exp"]


def _mint(minter: Minter, who: Caller | None, grant: Grant = GRANT, now: float = NOW) -> str:
    minted = minter.mint(grant, who, Kind.USER if who else Kind.APP, now)
    assert not isinstance(minted, Denial)
    return minted.token


@pytest.mark.must(27, 30)
def test_a_minted_token_serves_again_only_for_the_very_same_transaction(minter: Minter) -> None:
    one = _mint(minter, caller("a", "txn-1"))
    assert _mint(minter, caller("a", "txn-1")) == one
    others = [
        _mint(minter, caller("a", "txn-2")),
        _mint(minter, caller("b", "txn-1")),
        _mint(minter, caller("a", "txn-1"), Grant("ledger", GRANT.scopes)),
        _mint(minter, caller("a", "txn-1"), Grant("billing", ("billing.read",))),
        _mint(minter, None),
        _mint(minter, None),
    ]
    assert len({one, *others}) == 7
    assert [_read(token)[1]["txn"] for token in others[:2]] == ["txn-2", "txn-1"]


def test_a_token_is_reissued_at_half_its_life_and_by_a_new_key(key: SigningKey) -> None:
    keys = [key]
    minter = Minter(RULES, lambda now: keys[0], lambda: "jti")
    one = _mint(minter, caller())
    assert _mint(minter, caller(), now=NOW + 149) == one
    assert _mint(minter, caller(), now=NOW + 150) != one
    two = _mint(minter, caller(), now=NOW + 151)
    keys[0] = SigningKey.of(generate_private_key(SECP256R1()))
    assert _mint(minter, caller(), now=NOW + 151) != two


@pytest.mark.must(30)
def test_a_token_in_hand_does_not_serve_a_caller_who_has_expired(minter: Minter) -> None:
    who = caller(expires_at=NOW + 20)
    _mint(minter, who)
    got = minter.mint(GRANT, who, Kind.USER, NOW + 20)
    assert isinstance(got, Denial)
    assert got.reason is Reason.EXPIRED_TOKEN


def test_without_a_key_the_call_is_denied_and_not_sent_bare() -> None:
    credential = InternalCredential(GRANT, "user", Minter(RULES, lambda now: None, lambda: "jti"))
    got = credential.obtain(caller(), Moment(NOW, 1.0))
    assert isinstance(got, Denial)
    assert (got.reason, got.status) == (Reason.CREDENTIAL_ERROR, 503)


@pytest.mark.parametrize(
    ("subject", "who", "wanted"),
    [
        ("user", caller(), Kind.USER),
        ("user", app(), Reason.USER_REQUIRED),
        ("user", None, Reason.NO_SUBJECT),
        ("app", caller(), Kind.APP),
        ("either", None, Kind.APP),
    ],
)
def test_the_injection_says_as_whom_it_speaks(
    minter: Minter, subject: Any, who: Caller | None, wanted: Kind | Reason
) -> None:
    got = InternalCredential(GRANT, subject, minter).obtain(who, Moment(NOW, 1.0))
    if isinstance(got, Injection):
        assert got.acts_as is wanted
        ((name, value),) = got.headers
        assert name == "authorization"
        assert _read(value.removeprefix("Bearer "))[1]["idtyp"] == wanted
    else:
        assert got.reason is wanted
