"""Which claims say who is calling, where each authorization server says it in its own words?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.config import issuers as config
from agent.errors import Denial
from agent.identity.alike import alike, one_set
from agent.identity.claims import Claims, at, text
from agent.identity.issuers.entry import invalid
from agent.identity.principal import IssuerKind, Kind, Principal

_SCOPES = ("scope", "scp")  # RFC 8693 §4.2; Okta and Entra
_ROLES = ("roles",)  # RFC 9068 §2.2.3.1
_KEYCLOAK_ROLES = "realm_access.roles"
_CLIENT = ("client_id", "azp", "cid")  # RFC 8693 §4.3; OpenID Connect Core §2; Okta
_SUBJECT = ("sub",)
_TENANT = ("tid",)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where one issuer's tokens say what; paths as `agent.identity.claims.at` reads them."""

    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    client: tuple[str, ...]
    subject: tuple[str, ...]
    tenant: tuple[str, ...]
    callers: config.Callers
    own_roles: bool  # the operator said where roles are

    @classmethod
    def of(cls, names: config.Claims, callers: config.Callers) -> Dialect:
        """What the operator says, and what is usual where they say nothing."""
        return cls(
            scopes=names.scopes or _SCOPES,
            roles=names.roles or _ROLES,
            client=names.client or _CLIENT,
            subject=names.subject or _SUBJECT,
            tenant=names.tenant or _TENANT,
            callers=callers,
            own_roles=names.roles is not None,
        )

    def principal(
        self, claims: Claims, *, issuer: str, name: str, kind: IssuerKind, expires_at: float
    ) -> Principal | Denial:
        """Make the caller of *claims*, which are proven; refuse what can be read two ways."""
        claims = alike(claims)
        clients = _named(claims, self.client)
        subject = _first(claims, self.subject)
        tenant = _first(claims, self.tenant)
        scopes = _several(claims, self.scopes, split=True)
        roles = self._roles(claims)
        for found in (clients, subject, tenant, scopes, roles):
            if isinstance(found, Denial):
                return found
        assert isinstance(clients, tuple)
        assert isinstance(subject, str)
        assert isinstance(tenant, str)
        assert isinstance(scopes, frozenset)
        assert isinstance(roles, frozenset)
        client = next(iter(clients), "")
        caller = self._kind(claims, subject, clients)
        if isinstance(caller, Denial):
            return caller
        if not subject and not client:
            return invalid("The token names neither a subject nor a client.")
        return Principal(
            kind=caller,
            subject=subject or client,
            tenant=tenant,
            issuer=issuer,
            issuer_name=name,
            issuer_kind=kind,
            client=client,
            scopes=one_set(scopes),
            roles=one_set(roles),
            expires_at=expires_at,
            claims=claims,
        )

    def _roles(self, claims: Claims) -> frozenset[str] | Denial:
        found = _several(claims, self.roles, split=False, single=self.own_roles)
        if isinstance(found, Denial) or self.own_roles:
            return found
        realm = at(claims, _KEYCLOAK_ROLES)  # nobody promised it: what is malformed says nothing
        if isinstance(realm, list) and all(isinstance(item, str) for item in realm):
            return found | frozenset(realm)
        return found

    def _kind(self, claims: Claims, subject: str, clients: tuple[str, ...]) -> Kind | Denial:
        """RFC 9068 §2.2: a client that acts as itself is the subject of its own token."""
        if self.callers != "told":
            return Kind.USER if self.callers == "users" else Kind.APP
        # Wherever the operator finds names and addresses, `sub` and the client tell this apart.
        known = {*clients, *(text(claims, name) for name in _CLIENT)} - {""}
        itself = subject in known or text(claims, "sub") in known
        app = not subject or itself or _says_app(claims, text(claims, "sub"), known)
        if claims.get("idtyp") == "user" and app:
            return invalid("The token contradicts itself about who is calling.")
        return Kind.APP if app else Kind.USER


def _says_app(claims: Claims, subject: str, clients: Collection[str]) -> bool:
    """The words by which known servers say that no person stands behind a token."""
    if claims.get("idtyp") == "app" or claims.get("gty") == "client-credentials":
        return True  # Entra's word, and Auth0's
    if any(subject == f"{client}@clients" for client in clients):
        return True  # Auth0 under its RFC 9068 profile
    if subject.startswith("system:serviceaccount:") and isinstance(
        claims.get("kubernetes.io"), Mapping
    ):
        return True
    # Keycloak gives a client's service account a user id, and its name to nobody else.
    named = text(claims, "preferred_username", "username")
    return any(named == f"service-account-{client}".lower() for client in clients)


def _named(claims: Claims, paths: tuple[str, ...]) -> tuple[str, ...] | Denial:
    """The texts at *paths*, those that are there and not empty."""
    found = []
    for path in paths:
        value = at(claims, path)
        if value is not None and not isinstance(value, str):
            return _misshapen(path, "a string")
        if value:
            found.append(value)
    return tuple(found)


def _first(claims: Claims, paths: tuple[str, ...]) -> str | Denial:
    found = _named(claims, paths)
    return found if isinstance(found, Denial) else next(iter(found), "")


def _several(
    claims: Claims, paths: tuple[str, ...], *, split: bool, single: bool = False
) -> frozenset[str] | Denial:
    """The values at all of *paths*: lists, or a text which is *split* at spaces, or *single*.

    An item is a text, or an object whose `value` is one (RFC 9068 §2.2.3.1, RFC 7643 §2.4).
    """
    found: set[str] = set()
    for path in paths:
        value = at(claims, path)
        if value is None and path not in claims:
            continue
        if isinstance(value, str) and (split or single):
            # RFC 6749 §3.3: a space and nothing else
            found.update(value.split(" ") if split else (value,))
            continue
        if not isinstance(value, list):
            return _misshapen(path, "a string or a list of strings" if split else "a list")
        for item in value:
            said = item.get("value") if isinstance(item, Mapping) and not split else item
            if not isinstance(said, str):
                return _misshapen(path, "a list of strings")
            found.add(said)
    return frozenset(found - {""})


def _misshapen(path: str, form: str) -> Denial:
    return invalid(f"The token's '{path}' is not {form}.")
