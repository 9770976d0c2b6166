"""Who is calling with an internal token (DESIGN.md §7, SECURITY.md 11, 30)."""

from pathlib import Path
from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Verified

ISS, OTHER = "https://gateway.shop.internal", "https://orders.shop.internal"
NOW = 1_800_000_000.0
GATEWAY = "shop/gateway"
CLAIMS: dict[str, Any] = {
    "iss": ISS,
    "aud": "task-api",
    "sub": "stable-subject",
    "client_id": GATEWAY,
    "act": {"sub": GATEWAY, "act": {"sub": "shop/edge"}},
    "scope": "tasks.read tasks.write",
    "tid": "t1",
    "oid": "user-oid",
    "txn": "txn-1",
    "hops": 2,
    "jti": "j1",
    "iat": NOW - 10,
    "exp": NOW + 290,
}
AT: dict[str, Any] = {"typ": "at+jwt"}


def config(file: Path) -> dict[str, Any]:
    internal = {
        "trustDomain": "shop.internal",
        "issuers": [ISS, OTHER],
        "audience": "task-api",
        "jwks": {"file": str(file)},
    }
    return {"name": "mesh", "internal": internal}


@pytest.fixture
def trusted(tmp_path: Path, ring: Any) -> Path:
    file = tmp_path / "jwks.json"
    file.write_bytes(
        ring.jwks(
            ring.jwk("ec256", workload=GATEWAY),
            ring.jwk("ec256-b", workload="shop/orders"),
            ring.jwk("ec256", kid="nobody"),
        )
    )
    return file


@pytest.fixture
def mesh(build: Any, web: Any, trusted: Path) -> Any:
    return build(web, config(trusted))


def reason(found: Any) -> Reason | None:
    return found.reason if isinstance(found, Denial) else None


def chain(length: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for index in range(length):
        found = {"act": {"sub": GATEWAY if index == length - 1 else f"w{index}"} | found}
    return found


def test_a_caller_comes_with_the_chain_that_brought_it(mesh: Any, ring: Any) -> None:
    found = mesh.verify(ring.mint("ec256", CLAIMS | {"roles": ["R"], "acrs": ["c1"]}, **AT))
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.kind, principal.issuer_kind) == (Kind.USER, IssuerKind.INTERNAL)
    assert (principal.tenant, principal.subject) == ("t1", "user-oid")
    assert principal.actors == (GATEWAY, "shop/edge")
    assert (principal.client, principal.txn, principal.hops) == (GATEWAY, "txn-1", 2)
    assert (principal.scopes, principal.roles) == ({"tasks.read", "tasks.write"}, {"R"})
    assert principal.auth_contexts == {"c1"}


@pytest.mark.parametrize(
    ("said", "kind", "subject", "tenant", "actors"),
    [
        ({"oid": None, "tid": None}, Kind.USER, "stable-subject", "", (GATEWAY, "shop/edge")),
        ({"act": None}, Kind.USER, "user-oid", "t1", (GATEWAY,)),
        ({"sub": GATEWAY, "oid": None}, Kind.APP, GATEWAY, "t1", (GATEWAY, "shop/edge")),
        ({"idtyp": "user"}, Kind.USER, "user-oid", "t1", (GATEWAY, "shop/edge")),
        ({"iss": OTHER}, Kind.USER, "user-oid", "t1", (GATEWAY, "shop/edge")),
        (chain(12), Kind.USER, "user-oid", "t1", (GATEWAY, *(f"w{n}" for n in range(10, -1, -1)))),
    ],
)
def test_optional_parts_may_be_left_out(
    mesh: Any, ring: Any, said: Any, kind: Kind, subject: str, tenant: str, actors: Any
) -> None:
    found = mesh.verify(ring.mint("ec256", CLAIMS | said, **AT))
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.kind, principal.subject, principal.tenant) == (kind, subject, tenant)
    assert principal.actors == actors


@pytest.mark.must(11, 30)
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"sub": None}, Reason.INVALID_TOKEN),
        ({"sub": ""}, Reason.INVALID_TOKEN),
        ({"client_id": None}, Reason.INVALID_TOKEN),
        ({"jti": None}, Reason.INVALID_TOKEN),
        ({"txn": None}, Reason.INVALID_TOKEN),
        ({"txn": 7}, Reason.INVALID_TOKEN),
        ({"txn": "a\nb"}, Reason.INVALID_TOKEN),
        ({"txn": "x" * 129}, Reason.INVALID_TOKEN),
        ({"iat": None}, Reason.INVALID_TOKEN),
        ({"exp": None}, Reason.INVALID_TOKEN),
        ({"hops": None}, Reason.INVALID_TOKEN),
        ({"hops": 0}, Reason.INVALID_TOKEN),
        ({"hops": -1}, Reason.INVALID_TOKEN),
        ({"hops": True}, Reason.INVALID_TOKEN),
        ({"hops": 1.0}, Reason.INVALID_TOKEN),
        ({"hops": "2"}, Reason.INVALID_TOKEN),
        ({"hops": 65}, Reason.INVALID_TOKEN),
        ({"hops": 10**400}, Reason.INVALID_TOKEN),
        ({"aud": ["task-api"]}, Reason.INVALID_TOKEN),
        ({"aud": ["task-api", "billing"]}, Reason.INVALID_TOKEN),
        ({"aud": "billing"}, Reason.WRONG_AUDIENCE),
        ({"aud": None}, Reason.WRONG_AUDIENCE),
        ({"client_id": "shop/orders"}, Reason.INVALID_TOKEN),
        ({"client_id": "gateway"}, Reason.INVALID_TOKEN),
        ({"act": {"sub": "shop/other"}}, Reason.INVALID_TOKEN),
        ({"act": {}}, Reason.INVALID_TOKEN),
        ({"act": GATEWAY}, Reason.INVALID_TOKEN),
        ({"act": [GATEWAY]}, Reason.INVALID_TOKEN),
        ({"act": {"sub": GATEWAY, "act": None}}, Reason.INVALID_TOKEN),
        ({"act": {"sub": GATEWAY, "act": {"sub": 1}}}, Reason.INVALID_TOKEN),
        (chain(40), Reason.MALFORMED_TOKEN),
        ({"scope": ["a"]}, Reason.INVALID_TOKEN),
        ({"roles": "R"}, Reason.INVALID_TOKEN),
        ({"acrs": "c1"}, Reason.INVALID_TOKEN),
        ({"tid": 1}, Reason.INVALID_TOKEN),
        ({"oid": []}, Reason.INVALID_TOKEN),
        ({"idtyp": "app"}, Reason.INVALID_TOKEN),
        ({"idtyp": 1}, Reason.INVALID_TOKEN),
        ({"cnf": {"jkt": "x"}}, Reason.INVALID_TOKEN),
        ({"exp": NOW + 3700}, Reason.INVALID_TOKEN),
        ({"exp": NOW - 10}, Reason.INVALID_TOKEN),
        ({"exp": NOW - 20}, Reason.INVALID_TOKEN),
        ({"iss": ISS + "/"}, Reason.UNTRUSTED_ISSUER),
        ({"iss": "https://evil.shop.internal"}, Reason.UNTRUSTED_ISSUER),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_token_that_we_would_not_have_minted_is_refused(
    mesh: Any, ring: Any, said: Any, expected: Reason
) -> None:
    assert reason(mesh.verify(ring.mint("ec256", CLAIMS | said, **AT))) is expected


@pytest.mark.must(11)
@pytest.mark.parametrize("typ", [None, "JWT", "", "jwt", "at-jwt", "application/jwt"])
def test_only_an_access_token_by_its_type_is_internal(mesh: Any, ring: Any, typ: Any) -> None:
    assert reason(mesh.verify(ring.mint("ec256", CLAIMS, typ=typ))) is Reason.INVALID_TOKEN


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_a_media_type_is_read_in_any_case(mesh: Any, ring: Any, typ: str) -> None:
    assert isinstance(mesh.verify(ring.mint("ec256", CLAIMS, typ=typ)), Verified)


@pytest.mark.must(30)
@pytest.mark.parametrize(("key", "kid"), [("ec256-b", "ec256-b"), ("ec256", "nobody")])
def test_a_key_speaks_for_its_own_workload_only(mesh: Any, ring: Any, key: str, kid: str) -> None:
    found = mesh.verify(ring.mint(key, CLAIMS, kid=kid, **AT))
    assert reason(found) is Reason.INVALID_TOKEN
    assert "does not belong to its client" in found.detail


def test_the_longest_lifetime_is_an_hour_and_the_skew(mesh: Any, ring: Any) -> None:
    longest = CLAIMS | {"exp": CLAIMS["iat"] + 3660}
    assert isinstance(mesh.verify(ring.mint("ec256", longest, **AT)), Verified)
    longer = CLAIMS | {"exp": CLAIMS["iat"] + 3661}
    assert reason(mesh.verify(ring.mint("ec256", longer, **AT))) is Reason.INVALID_TOKEN


@pytest.mark.must(11)
def test_external_and_internal_tokens_never_stand_in_for_each_other(
    build: Any, web: Any, trusted: Path, ring: Any
) -> None:
    partner = "https://partner.example"
    # the worst case: both sides hold the same key under the same id
    web.publish(partner, partner, ring.jwks("ec256"))
    world = build(
        web,
        config(trusted),
        {"name": "partner", "oidc": {"issuer": partner, "audiences": ["task-api"]}},
    )
    external = {"iss": partner, "aud": "task-api", "sub": "u", "exp": NOW + 100}
    found = world.verify(ring.mint("ec256", external))
    assert isinstance(found, Verified)
    assert found.principal.issuer_kind is IssuerKind.OIDC
    assert reason(world.verify(ring.mint("ec256", external | {"iss": ISS}))) is (
        Reason.INVALID_TOKEN
    )
    disguised = world.verify(ring.mint("ec256", CLAIMS | {"iss": partner}, **AT))
    assert isinstance(disguised, Verified)  # a token of the partner's, whatever else it says
    principal = disguised.principal
    assert (principal.actors, principal.txn, principal.hops) == ((), "", 0)


def test_at_the_edge_an_internal_token_is_still_known_as_one(
    build: Any, web: Any, trusted: Path, ring: Any
) -> None:
    """It is `agent.flow.inbound` that refuses it there, once a loop could be called by its name."""
    found = build(web, config(trusted), edge=True).verify(ring.mint("ec256", CLAIMS, **AT))
    assert isinstance(found, Verified)
    assert found.principal.issuer_kind is IssuerKind.INTERNAL


def test_keys_may_come_over_https_too(build: Any, web: Any, ring: Any) -> None:
    url = "https://gateway.shop.internal/.well-known/jwks.json"
    web.documents[url] = ring.jwks(ring.jwk("ec256", workload=GATEWAY))
    spec = config(Path("/nowhere"))
    spec["internal"]["jwks"] = {"url": url}
    world = build(web, spec)
    assert isinstance(world.verify(ring.mint("ec256", CLAIMS, **AT)), Verified)
