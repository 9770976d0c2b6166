"""How the access tokens of known servers are read; the claims are those of their documentation."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.principal import Kind, Verified

ISS = "https://op.example"
NOW = 1_800_000_000.0
TIMES = {"iss": ISS, "iat": NOW - 10, "exp": NOW + 300}
UUID = "f7c8e5d0-1c4e-4a55-9a86-0d6a3d1d5a11"

KEYCLOAK_USER: dict[str, Any] = {
    "aud": ["orders", "account"], "sub": UUID, "typ": "Bearer", "azp": "spa", "sid": "s",
    "acr": "1", "scope": "openid profile", "preferred_username": "alice",
    "realm_access": {"roles": ["admin"]},
    "resource_access": {"orders.api": {"roles": ["editor"]}},
}  # fmt: skip
KEYCLOAK_APP = KEYCLOAK_USER | {
    "azp": "Job", "sid": None, "preferred_username": "service-account-job",
    "clientHost": "10.0.0.1",
}  # fmt: skip
AUTH0_USER: dict[str, Any] = {
    "aud": ["orders", "https://t.auth0.com/userinfo"], "sub": "auth0|5f7c", "azp": "spa",
    "scope": "openid read", "permissions": ["read:orders"],
}  # fmt: skip
AUTH0_APP = AUTH0_USER | {"sub": "job@clients", "azp": "job", "gty": "client-credentials"}
AUTH0_APP_9068 = {"aud": "orders", "sub": "job@clients", "client_id": "job", "jti": "j"}
OKTA_USER: dict[str, Any] = {
    "aud": "orders", "ver": 1, "cid": "0oa1", "uid": "00u1", "scp": ["read"],
    "sub": "alice@x.example", "groups": ["Everyone", "Admins"],
}  # fmt: skip
OKTA_APP = {"aud": "orders", "ver": 1, "cid": "0oa1", "scp": ["read"], "sub": "0oa1"}
COGNITO_USER: dict[str, Any] = {
    "sub": UUID, "token_use": "access", "client_id": "5abc", "username": "alice",
    "scope": "orders/read", "auth_time": int(NOW) - 20, "cognito:groups": ["admins"], "version": 2,
}  # fmt: skip
COGNITO_APP = {"sub": "5abc", "token_use": "access", "client_id": "5abc", "scope": "orders/read"}
PROVIDER_USER = {"aud": "orders", "sub": "acc-1", "client_id": "spa", "scope": "read", "jti": "j"}
PROVIDER_APP = PROVIDER_USER | {"sub": "job", "client_id": "job"}
DUENDE_APP = {"aud": "orders", "client_id": "job", "scope": ["read"], "jti": "j"}
DUENDE_USER = DUENDE_APP | {"sub": "88421113", "auth_time": int(NOW) - 9, "idp": "local"}
AUTHENTIK_USER = {"aud": "orders", "sub": "9f8e", "azp": "spa", "uid": "u", "groups": ["ops"]}
DEX_USER: dict[str, Any] = {
    "aud": "orders",
    "sub": "CiQw",
    "email": "a@x.example",
    "groups": ["ops"],
}
KUBERNETES: dict[str, Any] = {
    "aud": ["orders"], "sub": "system:serviceaccount:shop:task-api", "jti": "j", "nbf": NOW - 10,
    "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "task-api", "uid": UUID}},
}  # fmt: skip
NAMESPACED = {"aud": "orders", "sub": "alice", "https://x.example/roles": ["admin"], "azp": "spa"}


def claims(**names: Any) -> dict[str, Any]:
    return {"claims": names}


# (token, what the operator writes) → (kind, subject, client, scopes, roles)
READ: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]] = {
    "keycloak user": (
        KEYCLOAK_USER, {}, (Kind.USER, UUID, "spa", {"openid", "profile"}, {"admin"}),
    ),
    "keycloak service account": (
        KEYCLOAK_APP, {}, (Kind.APP, UUID, "Job", {"openid", "profile"}, {"admin"}),
    ),
    "keycloak user with another's service account for a name": (
        KEYCLOAK_USER | {"preferred_username": "service-account-job"}, {},
        (Kind.USER, UUID, "spa", {"openid", "profile"}, {"admin"}),
    ),
    "keycloak client roles, the client's name holds a dot": (
        KEYCLOAK_USER, claims(roles="resource_access.orders.api.roles"),
        (Kind.USER, UUID, "spa", {"openid", "profile"}, {"editor"}),
    ),
    "keycloak realm and client roles": (
        KEYCLOAK_USER, claims(roles=["realm_access.roles", "resource_access.orders.api.roles"]),
        (Kind.USER, UUID, "spa", {"openid", "profile"}, {"admin", "editor"}),
    ),
    "auth0 user": (AUTH0_USER, {}, (Kind.USER, "auth0|5f7c", "spa", {"openid", "read"}, set())),
    "auth0 permissions": (
        AUTH0_USER, claims(scopes="permissions"),
        (Kind.USER, "auth0|5f7c", "spa", {"read:orders"}, set()),
    ),
    "auth0 app": (AUTH0_APP, {}, (Kind.APP, "job@clients", "job", {"openid", "read"}, set())),
    "auth0 app by RFC 9068": (AUTH0_APP_9068, {}, (Kind.APP, "job@clients", "job", set(), set())),
    "okta user": (OKTA_USER, {}, (Kind.USER, "alice@x.example", "0oa1", {"read"}, set())),
    "okta groups as roles, uid as subject": (
        OKTA_USER, claims(roles="groups", subject="uid"),
        (Kind.USER, "00u1", "0oa1", {"read"}, {"Everyone", "Admins"}),
    ),
    "okta app": (OKTA_APP, {}, (Kind.APP, "0oa1", "0oa1", {"read"}, set())),
    "cognito user": (
        COGNITO_USER,
        {"audiences": ["5abc"]} | claims(audience="client_id", roles="cognito:groups"),
        (Kind.USER, UUID, "5abc", {"orders/read"}, {"admins"}),
    ),
    "cognito app": (
        COGNITO_APP, {"audiences": ["5abc"]} | claims(audience="client_id"),
        (Kind.APP, "5abc", "5abc", {"orders/read"}, set()),
    ),
    "oidc-provider user": (PROVIDER_USER, {}, (Kind.USER, "acc-1", "spa", {"read"}, set())),
    "oidc-provider app": (PROVIDER_APP, {}, (Kind.APP, "job", "job", {"read"}, set())),
    "duende user": (
        DUENDE_USER, claims(scopes="scope"), (Kind.USER, "88421113", "job", {"read"}, set()),
    ),
    "duende app, without a subject": (
        DUENDE_APP, claims(scopes="scope"), (Kind.APP, "job", "job", {"read"}, set()),
    ),
    "authentik": (AUTHENTIK_USER, {}, (Kind.USER, "9f8e", "spa", set(), set())),
    "authentik, an issuer of machines only": (
        AUTHENTIK_USER, {"callers": "apps"}, (Kind.APP, "9f8e", "spa", set(), set()),
    ),
    "dex": (DEX_USER, claims(roles="groups"), (Kind.USER, "CiQw", "", set(), {"ops"})),
    "kubernetes": (
        KUBERNETES, claims(tenant="kubernetes.io.namespace"),
        (Kind.APP, "system:serviceaccount:shop:task-api", "", set(), set()),
    ),
    "a name that looks like a person": (
        KUBERNETES | {"sub": "system:serviceaccount:shop:x", "kubernetes.io": None}, {},
        (Kind.USER, "system:serviceaccount:shop:x", "", set(), set()),
    ),
    "a claim whose name is a URL": (
        NAMESPACED, claims(roles="https://x.example/roles"),
        (Kind.USER, "alice", "spa", set(), {"admin"}),
    ),
    "one role as a text": (
        NAMESPACED | {"role": "Global Admin"}, claims(roles="role"),
        (Kind.USER, "alice", "spa", set(), {"Global Admin"}),
    ),
    "SCIM's form of roles": (
        NAMESPACED | {"roles": [{"value": "a", "display": "A"}, "b"]}, {},
        (Kind.USER, "alice", "spa", set(), {"a", "b"}),
    ),
    "a client found elsewhere is still its own subject": (
        PROVIDER_APP | {"app": "x"}, claims(client="app"), (Kind.APP, "job", "x", {"read"}, set()),
    ),
    "a subject found elsewhere does not make a person": (
        PROVIDER_APP | {"name": "The Job"}, claims(subject="name"),
        (Kind.APP, "The Job", "job", {"read"}, set()),
    ),
}  # fmt: skip


@pytest.fixture
def verify(build: Any, web: Any, ring: Any) -> Any:
    web.publish(ISS, ISS, ring.jwks("rsa"))

    def one(token: dict[str, Any], said: Any = None, **header: Any) -> Verified | Denial:
        oidc = {"issuer": ISS, "audiences": ["orders"]} | (said or {})
        world = build(web, {"name": "op", "oidc": oidc})
        found: Verified | Denial = world.verify(ring.mint("rsa", TIMES | token, **header))
        return found

    return one


@pytest.mark.parametrize("name", READ)
def test_a_token_is_read_as_its_server_writes_it(verify: Any, name: str) -> None:
    token, said, expected = READ[name]
    found = verify(token, said)
    assert isinstance(found, Verified)
    who = found.principal
    assert (who.kind, who.subject, who.client, who.scopes, who.roles) == expected


def test_a_tenant_can_be_a_namespace(verify: Any) -> None:
    found = verify(KUBERNETES, claims(tenant="kubernetes.io.namespace"))
    assert found.principal.tenant == "shop"


@pytest.mark.must(8, 11)
@pytest.mark.parametrize(
    ("token", "said", "reason"),
    [
        (COGNITO_USER, {}, Reason.WRONG_AUDIENCE),
        (COGNITO_USER, claims(audience="client_id"), Reason.WRONG_AUDIENCE),
        (COGNITO_USER | {"aud": "5abc"}, claims(audience="client_id"), Reason.WRONG_AUDIENCE),
        (COGNITO_USER | {"token_use": "id", "aud": "orders"}, {}, Reason.INVALID_TOKEN),
        (PROVIDER_APP | {"idtyp": "user"}, {}, Reason.INVALID_TOKEN),
        (KEYCLOAK_USER | {"typ": "ID"}, {}, Reason.INVALID_TOKEN),
        (OKTA_USER | {"cid": 7}, {}, Reason.INVALID_TOKEN),
        (NAMESPACED, claims(roles="azp", scopes="https://x.example/roles", client="roles"), None),
        (NAMESPACED | {"x": 1}, claims(roles="x"), Reason.INVALID_TOKEN),
        (NAMESPACED | {"x": {"a": 1}}, claims(roles="x"), Reason.INVALID_TOKEN),
        (NAMESPACED | {"x": [{"name": "a"}]}, claims(roles="x"), Reason.INVALID_TOKEN),
        (NAMESPACED | {"x": [["a"]]}, claims(scopes="x"), Reason.INVALID_TOKEN),
        (NAMESPACED | {"x": 1}, claims(subject="x"), Reason.INVALID_TOKEN),
        (NAMESPACED | {"x": ["a"]}, claims(tenant="x"), Reason.INVALID_TOKEN),
    ],
    ids=str,
)
def test_what_is_missing_malformed_or_contradictory_is_refused(
    verify: Any, token: Any, said: Any, reason: Reason | None
) -> None:
    found = verify(token, said)
    assert (found.reason if isinstance(found, Denial) else None) is reason


# RFC 9068

PROFILE: dict[str, Any] = PROVIDER_USER | {
    "auth_time": int(NOW) - 20, "acr": "gold", "amr": ["pwd"],
    "roles": [{"value": "admin"}], "groups": ["g"], "entitlements": ["e"],
}  # fmt: skip


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_the_profile_takes_its_own_type_in_any_case(verify: Any, typ: str) -> None:
    found = verify(PROFILE, {"profile": "rfc9068"}, typ=typ)
    assert isinstance(found, Verified)
    assert (found.principal.roles, found.principal.scopes) == ({"admin"}, {"read"})
    assert found.principal.claims["acr"] == "gold"


@pytest.mark.must(11)
@pytest.mark.parametrize("typ", [None, "JWT", "application/jwt", "at-jwt", "id+jwt"])
def test_and_no_other(verify: Any, typ: str | None) -> None:
    found = verify(PROFILE, {"profile": "rfc9068"}, typ=typ)
    assert isinstance(found, Denial)
    assert found.reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    "said",
    [
        *({name: None} for name in ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")),
        {"sub": ""},
        {"jti": 1},
        {"jti": ""},
        {"client_id": "", "azp": "spa"},
        {"acr": 1},
        {"amr": "pwd"},
        {"auth_time": "yesterday"},
        {"auth_time": True},
        {"auth_time": -1},
        {"scope": ["read"]},
        {"roles": "admin"},
    ],
    ids=str,
)
def test_the_profile_asks_for_every_claim_that_the_rfc_requires(verify: Any, said: Any) -> None:
    found = verify(
        PROFILE | said, {"profile": "rfc9068"} | claims(audience="client_id"), typ="at+jwt"
    )
    assert isinstance(found, Denial)
    assert found.status == 401


def test_groups_and_entitlements_are_roles_where_the_operator_says_so(verify: Any) -> None:
    said = {"profile": "rfc9068"} | claims(roles=["roles", "groups", "entitlements"])
    assert verify(PROFILE, said, typ="at+jwt").principal.roles == {"admin", "g", "e"}
