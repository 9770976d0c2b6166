"""Who is calling, once proven: `Principal` and the `Verified` token that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, NewType

RawToken = NewType("RawToken", str)
"""A bearer token as it came in, a compact JWS or opaque, not yet checked by anyone."""


class Kind(StrEnum):
    """Whether a person stands behind the token, or a program acting as itself."""

    USER = "user"
    APP = "app"


class IssuerKind(StrEnum):
    """Which rules made this principal; credentials ask (OBO takes only Entra users)."""

    ENTRA = "entra"
    B2C = "b2c"
    OIDC = "oidc"
    INTERNAL = "internal"
    INTROSPECTION = "introspection"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified. Times are UTC seconds since the epoch.

    `(realm, subject)` identifies the caller for good: `subject` is the Entra object id, or `sub`
    elsewhere; `tenant` is the token's tenant or empty; the realm is the tenant or else the issuer.
    `actors` is the chain of workloads that passed the request on, latest first (RFC 8693 §4.1).
    `client` is the application that obtained the token. `txn` and `hops` come from internal tokens.
    """

    kind: Kind
    subject: str
    tenant: str
    issuer: str
    issuer_name: str
    issuer_kind: IssuerKind
    client: str
    scopes: frozenset[str]
    roles: frozenset[str]
    expires_at: float
    claims: Mapping[str, Any] = field(repr=False)
    actors: tuple[str, ...] = ()
    txn: str = ""
    hops: int = 0
    auth_contexts: frozenset[str] = frozenset()
    _rights: int = field(default=0, init=False, compare=False, repr=False)

    @property
    def rights(self) -> tuple[object, ...]:
        """What tells principals, and those with other rights, apart."""
        return (
            *(self.issuer, self.tenant, self.subject, self.kind, self.client),
            *(self.scopes, self.roles, self.actors, self.auth_contexts),
        )

    @property
    def rights_hash(self) -> int:
        """The hash of `rights`, computed once. Never 0."""
        if not self._rights:
            object.__setattr__(self, "_rights", hash(self.rights) or 1)
        return self._rights

    @property
    def realm(self) -> str:
        """Where `subject` is unique: the tenant, or the issuer where there is none."""
        return self.tenant or self.issuer


class Verified(NamedTuple):
    """Proof that a token's signature, issuer, audience and form were checked.

    Only `agent.identity.verifier` and `agent.identity.introspection` make one. Its time window
    still has to be asked on every use. `token_hash` is the SHA-256 of the token as it came in;
    `key_id` is empty where a server vouched for it and no key.
    """

    token: RawToken
    token_hash: bytes
    principal: Principal
    key_id: str
    not_before: float

    def __repr__(self) -> str:
        return f"Verified({self.token_hash.hex()[:16]}, {self.principal!r})"
