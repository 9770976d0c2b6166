"""What does the verifier ask of a configured issuer, whatever its kind?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from agent.errors import Denial, Reason
from agent.identity.claims import Claims, Window
from agent.identity.issuers.document import Document, Loaded
from agent.identity.jose import Header
from agent.identity.jwk import VerificationKey
from agent.identity.principal import IssuerKind, Principal

Issuers = Callable[[Document], str | None]
"""The issuer (or template) that a document names; None while it was never loaded, empty where
its server has said for long enough that there is no such document."""


class Signed(NamedTuple):
    """A token whose signature, times and audience hold; its issuer's own rules come next.

    `issuer` is its `iss`. Only `agent.identity.verifier` makes one.
    """

    issuer: str
    header: Header
    claims: Claims
    window: Window
    key: VerificationKey
    document: Document
    loaded: Loaded

    def __repr__(self) -> str:
        return f"Signed(issuer={self.issuer!r}, key={self.key.kid!r})"


class Entry(Protocol):
    """One configured issuer: the documents it trusts, and what it makes of a token."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> IssuerKind: ...

    @property
    def audiences(self) -> frozenset[str]: ...

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Claims that are compared with `audiences` where a token has no `aud`."""

    @property
    def documents(self) -> tuple[Document, ...]: ...

    def locate(self, iss: str, claims: Claims, issuers: Issuers) -> Document | Denial | None:
        """The document whose keys a token of *iss* needs; None if this is another's token.

        *claims* are not proven yet: they choose among this entry's keys and do no more.
        """

    def principal(self, signed: Signed) -> Principal | Denial:
        """Who is calling, by the rules of this kind of issuer."""

    def elsewhere(self, signed: Signed) -> Denial | None:
        """Why *signed*, of whatever kind of token, is none that this issuer may have said."""


_ACCESS_TYPES = frozenset({"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"})
# Claims of tokens that are not meant for an API: ID tokens (OpenID Connect Core §3.1.3.6,
# §3.3.2.11; FAPI 1.0 §5.2.2.1), logout tokens and security events (RFC 8417 §2.2).
_FOREIGN_CLAIMS = ("at_hash", "c_hash", "s_hash", "events")


def not_an_access_token(header: Header, claims: Claims) -> Denial | None:
    """SECURITY.md 11: ID, refresh and logout tokens of an external issuer are no credential."""
    if (header.typ or "").lower() not in _ACCESS_TYPES:  # RFC 8725 §3.11; RFC 9068 §4
        return Denial(Reason.INVALID_TOKEN, "The token's type is not that of an access token.")
    keycloak = claims.get("typ", "Bearer")  # Keycloak says ID, Refresh, Offline, Logout here
    if not isinstance(keycloak, str) or keycloak.lower() != "bearer":
        return Denial(Reason.INVALID_TOKEN, "The token is not an access token for bearers.")
    # Cognito says id or access here, Hydra refresh_token or access_token.
    if claims.get("token_use", "access") not in ("access", "access_token"):
        return Denial(Reason.INVALID_TOKEN, "The token is not an access token.")
    for name in _FOREIGN_CLAIMS:
        if name in claims:
            return Denial(Reason.INVALID_TOKEN, "The token is not an access token.")
    return bound(claims)


def bound(claims: Claims) -> Denial | None:
    """RFC 7800 §3.1: without a proof of the key in `cnf` it is a stolen token."""
    if "cnf" in claims:  # docs/decisions/014
        return Denial(Reason.INVALID_TOKEN, "The token is bound to a key; a bearer is not enough.")
    return None


def invalid(detail: str) -> Denial:
    """The denial of a token that breaks its issuer's rules."""
    return Denial(Reason.INVALID_TOKEN, detail)


def unavailable() -> Denial:
    """The denial while an issuer's keys are not there: not the caller's fault, so no 401."""
    return Denial(
        Reason.ISSUER_UNAVAILABLE, "The issuer's keys are not available yet.", retry_after=5
    )
