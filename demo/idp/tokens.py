"""What stands in a token? Pure builders for access tokens v1 and v2 and for id tokens."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.idp.directory import App, Tenant, User, service_principal_id
from demo.idp.jose import Claims, b64url, unb64url
from demo.idp.settings import Names


@dataclass(frozen=True, slots=True)
class Client:
    """An app that proved who it is; `acr` is 0 for public, 1 for a secret, 2 for a key."""

    app: App
    acr: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """How a user signed in: methods (RFC 8176), and the contexts that these satisfied."""

    user: User
    methods: tuple[str, ...]
    contexts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Issuance:
    """What every token of one answer has in common. Times are UTC seconds since the epoch."""

    names: Names
    tenant: Tenant
    client: Client
    now: int
    lifetime: int
    uti: str
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The resource a token is for, under the identifier that was asked for."""

    resource: App
    identifier: str
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = field(default=())

    @property
    def version(self) -> int:
        """The version follows the resource's registration, not the endpoint used."""
        return self.resource.access_token_version

    @property
    def audience(self) -> str:
        """`aud`: always the GUID in v2, in v1 whatever the client asked for."""
        return self.resource.client_id if self.version == 2 else self.identifier


def pairwise(client_id: str, user_id: str) -> str:
    """Return `sub`: another one for the same user at each app."""
    return b64url(hashlib.sha256(f"{client_id}|{user_id}".encode()).digest())


def user_token(issuance: Issuance, sign_in: SignIn, target: Target) -> Claims:
    """Return the claims of a delegated access token."""
    user, version = sign_in.user, target.version
    claims = {
        **_common(issuance, target),
        **_person(user, version),
        "oid": user.id,
        "sub": pairwise(target.resource.client_id, user.id),
        "aio": _opaque(sign_in),
        "scp": " ".join(target.scopes),
    }
    if version == 1:
        claims["amr"] = list(sign_in.methods)
    if sign_in.contexts:
        claims["acrs"] = list(sign_in.contexts)
    if target.roles:
        claims["roles"] = list(target.roles)
    if user.email and (user.guest_from or "email" in target.resource.optional_claims):
        claims["email"] = user.email
    if user.guest_from:
        claims["acct"] = 1
        claims["idp"] = issuance.names.v1_issuer(user.guest_from)
    elif "acct" in target.resource.optional_claims:
        claims["acct"] = 0
    return claims


def app_token(issuance: Issuance, target: Target) -> Claims:
    """Return the claims of an app-only access token: no scp, and sub is the oid."""
    principal = service_principal_id(issuance.tenant.id, issuance.client.app.client_id)
    claims = {**_common(issuance, target), "oid": principal, "sub": principal, "aio": "E2NgYA=="}
    if target.version == 1:
        claims["idp"] = issuance.names.v1_issuer(issuance.tenant.id)
    if target.roles:
        claims["roles"] = list(target.roles)
    if "idtyp" in target.resource.optional_claims:
        claims["idtyp"] = "app"
    return claims


def id_token(
    issuance: Issuance, sign_in: SignIn, nonce: str | None, roles: Sequence[str]
) -> Claims:
    """Return the claims of a v2 id token for the client itself."""
    user, client = sign_in.user, issuance.client.app
    claims = {
        **_times(issuance),
        **_person(user, 2),
        "aud": client.client_id,
        "iss": issuance.names.v2_issuer(issuance.tenant.id),
        "tid": issuance.tenant.id,
        "oid": user.id,
        "sub": pairwise(client.client_id, user.id),
        "uti": issuance.uti,
        "ver": "2.0",
    }
    optional = {
        "nonce": nonce,
        "email": user.email,
        "roles": list(roles),
        "acrs": list(sign_in.contexts),
    }
    return claims | {name: value for name, value in optional.items() if value}


def signed_in_with(claims: Claims) -> tuple[str, ...]:
    """Read back how the user of one of our own tokens signed in."""
    try:
        methods = json.loads(unb64url(str(claims.get("aio", ""))))
    except ValueError:
        return ()
    return tuple(str(method) for method in methods) if isinstance(methods, list) else ()


def is_app_only(claims: Claims) -> bool:
    """Tell whether a token speaks for an app alone, by the rule of Entra's documentation."""
    if "idtyp" in claims:
        return bool(claims["idtyp"] == "app")
    return "scp" not in claims and claims.get("oid") == claims.get("sub")


def _common(issuance: Issuance, target: Target) -> Claims:
    names, tenant, client = issuance.names, issuance.tenant.id, issuance.client
    claims: Claims = {
        "aud": target.audience,
        "iss": names.v1_issuer(tenant) if target.version == 1 else names.v2_issuer(tenant),
        **_times(issuance),
        "tid": tenant,
        "uti": issuance.uti,
        "rh": f"1.{b64url(hashlib.sha256(tenant.encode()).digest()[:21])}.",
        "ver": f"{target.version}.0",
    }
    if target.version == 1:
        claims |= {"appid": client.app.client_id, "appidacr": client.acr}
    else:
        claims |= {"azp": client.app.client_id, "azpacr": client.acr}
    if issuance.capabilities:
        claims["xms_cc"] = list(issuance.capabilities)
    return claims


def _times(issuance: Issuance) -> dict[str, Any]:
    return {"iat": issuance.now, "nbf": issuance.now, "exp": issuance.now + issuance.lifetime}


def _person(user: User, version: int) -> Claims:
    if version == 1:
        return {"name": user.name, "upn": user.username, "unique_name": user.username}
    return {"name": user.name, "preferred_username": user.username}


def _opaque(sign_in: SignIn) -> str:
    # `aio` is where Entra keeps what it wants to find again when a token is reused.
    return b64url(json.dumps(sign_in.methods).encode())
