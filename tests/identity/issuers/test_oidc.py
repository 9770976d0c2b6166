"""Who is calling with a token of an OpenID Connect issuer."""

from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Verified

ISS = "https://login.partner.example/realm"
NOW = 1_800_000_000.0
CLAIMS: dict[str, Any] = {
    "iss": ISS,
    "aud": "orders",
    "sub": "alice",
    "client_id": "spa",
    "iat": NOW - 10,
    "exp": NOW + 300,
}
CONFIG = {"name": "partner", "oidc": {"issuer": ISS, "audiences": ["orders", "orders-2"]}}


@pytest.fixture
def partner(build: Any, web: Any, ring: Any) -> Any:
    web.publish(ISS, ISS, ring.jwks("rsa", "ec256"))
    return build(web, CONFIG)


def test_a_user_is_known_by_subject_and_issuer(partner: Any, ring: Any) -> None:
    claims = CLAIMS | {"scope": "read write", "roles": ["Admin"], "email": "a@example"}
    found = partner.verify(ring.mint("rsa", claims))
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.kind, principal.subject, principal.tenant) == (Kind.USER, "alice", "")
    assert (principal.issuer, principal.issuer_name) == (ISS, "partner")
    assert (principal.issuer_kind, principal.realm) == (IssuerKind.OIDC, ISS)
    assert (principal.client, principal.expires_at) == ("spa", NOW + 300)
    assert (principal.scopes, principal.roles) == ({"read", "write"}, {"Admin"})
    assert principal.claims["email"] == "a@example"
    assert (found.key_id, found.not_before) == ("rsa", NOW - 10)
    with pytest.raises(TypeError):
        principal.claims["email"] = "b@example"


@pytest.mark.parametrize(
    ("said", "kind", "subject", "client"),
    [
        ({}, Kind.USER, "alice", "spa"),
        ({"client_id": None}, Kind.USER, "alice", ""),
        ({"client_id": None, "azp": "web"}, Kind.USER, "alice", "web"),
        ({"sub": "spa"}, Kind.APP, "spa", "spa"),
        ({"sub": None}, Kind.APP, "spa", "spa"),
        ({"sub": None, "client_id": None, "azp": "web"}, Kind.APP, "web", "web"),
        ({"sub": "web", "client_id": None, "azp": "web"}, Kind.APP, "web", "web"),
        ({"sub": "x@clients", "gty": "client-credentials"}, Kind.APP, "x@clients", "spa"),
        ({"gty": "password"}, Kind.USER, "alice", "spa"),
        ({"tid": "t1"}, Kind.USER, "alice", "spa"),
    ],
)
def test_an_application_is_told_from_a_user(
    partner: Any, ring: Any, said: dict[str, Any], kind: Kind, subject: str, client: str
) -> None:
    found = partner.verify(ring.mint("ec256", CLAIMS | said))
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.kind, principal.subject, principal.client) == (kind, subject, client)
    assert principal.tenant == said.get("tid", "")


@pytest.mark.parametrize(
    ("said", "scopes", "roles"),
    [
        ({}, set(), set()),
        ({"scope": "a b"}, {"a", "b"}, set()),
        ({"scp": "a b"}, {"a", "b"}, set()),
        ({"scp": ["a", "b"]}, {"a", "b"}, set()),
        ({"scope": "a", "scp": ["b"]}, {"a", "b"}, set()),
        ({"roles": ["R"]}, set(), {"R"}),
        ({"realm_access": {"roles": ["K"]}}, set(), {"K"}),
        ({"roles": ["R"], "realm_access": {"roles": ["K"]}}, set(), {"R", "K"}),
        ({"realm_access": {"roles": "K"}}, set(), set()),
        ({"realm_access": ["K"]}, set(), set()),
        ({"realm_access": {"roles": [1]}}, set(), set()),
    ],
)
def test_scopes_and_roles_are_read_in_every_dialect(
    partner: Any, ring: Any, said: dict[str, Any], scopes: set[str], roles: set[str]
) -> None:
    found = partner.verify(ring.mint("rsa", CLAIMS | said))
    assert isinstance(found, Verified)
    assert (found.principal.scopes, found.principal.roles) == (scopes, roles)


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_an_access_token_may_name_its_type(partner: Any, ring: Any, typ: str | None) -> None:
    assert isinstance(partner.verify(ring.mint("rsa", CLAIMS, typ=typ)), Verified)


@pytest.mark.must(11)
@pytest.mark.parametrize(
    "typ", ["ID", "id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "rt+jwt", "at-jwt"]
)
def test_a_token_of_another_type_is_refused(partner: Any, ring: Any, typ: str) -> None:
    found = partner.verify(ring.mint("rsa", CLAIMS, typ=typ))
    assert isinstance(found, Denial)
    assert found.reason is Reason.INVALID_TOKEN


@pytest.mark.must(11)
@pytest.mark.parametrize(
    "said",
    [
        {"at_hash": "x"},
        {"c_hash": "x"},
        {"s_hash": "x"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"typ": "Logout"},
        {"typ": 1},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"cnf": {"jkt": "x"}},
        {"sub": None, "client_id": None},
        {"sub": "", "client_id": ""},
        {"sub": 1},
        {"client_id": ["spa"]},
        {"azp": None, "scope": ["a"]},
        {"scp": {"a": 1}},
        {"scp": [1]},
        {"roles": "Admin"},
        {"roles": [["Admin"]]},
    ],
    ids=str,
)
def test_what_is_no_access_token_is_refused(partner: Any, ring: Any, said: dict[str, Any]) -> None:
    found = partner.verify(ring.mint("rsa", CLAIMS | said))
    assert isinstance(found, Denial)
    assert found.reason is Reason.INVALID_TOKEN


def test_keycloaks_bearer_type_passes(partner: Any, ring: Any) -> None:
    assert isinstance(partner.verify(ring.mint("rsa", CLAIMS | {"typ": "Bearer"})), Verified)


@pytest.mark.must(8, 10)
@pytest.mark.parametrize(
    "iss", [ISS + "/", ISS.upper(), ISS + "x", "", "https://login.partner.example", ISS + "#"]
)
def test_another_issuer_is_untrusted_however_near(partner: Any, ring: Any, iss: str) -> None:
    found = partner.verify(ring.mint("rsa", CLAIMS | {"iss": iss}))
    assert isinstance(found, Denial)
    assert found.reason is Reason.UNTRUSTED_ISSUER


@pytest.mark.parametrize("issuer", ["https://op.example", "https://op.example/"])
def test_a_trailing_slash_is_part_of_the_issuer_but_not_of_the_address(
    build: Any, web: Any, ring: Any, issuer: str
) -> None:
    web.publish("https://op.example", issuer, ring.jwks("rsa"))
    world = build(web, {"name": "op", "oidc": {"issuer": issuer, "audiences": ["orders"]}})
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS | {"iss": issuer})), Verified)
    other = issuer.rstrip("/") if issuer.endswith("/") else issuer + "/"
    denied = world.verify(ring.mint("rsa", CLAIMS | {"iss": other}))
    assert isinstance(denied, Denial)
    assert denied.reason is Reason.UNTRUSTED_ISSUER
