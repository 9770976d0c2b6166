"""Who is calling with a token that its own server has explained to us (RFC 7662 §2.2)?"""

from __future__ import annotations

from agent.config.issuers import Introspection
from agent.errors import Denial
from agent.identity.claims import (
    TEXT,
    Claims,
    Window,
    expired,
    misshapen,
    other_audience,
    premature,
    window,
)
from agent.identity.issuers.dialect import Dialect
from agent.identity.issuers.entry import invalid, not_an_access_token
from agent.identity.jose import Header
from agent.identity.principal import IssuerKind, Principal

_SHAPE = dict.fromkeys(("scope", "client_id", "username", "sub", "iss", "jti"), TEXT)
_NO_HEADER = Header(alg="")


class IntrospectionIssuer:
    """The rules for what one endpoint says. *skew* is the tolerance in seconds."""

    kind = IssuerKind.INTROSPECTION

    def __init__(self, name: str, config: Introspection, skew: float) -> None:
        self.name = name
        self.url = config.url
        self.issuer = config.issuer or ""
        self.cache = config.cache
        self._audiences = frozenset(config.audiences)
        self._stand_ins = config.claims.audience or ()
        self._dialect = Dialect.of(config.claims, config.callers)
        self._needs_expiry = config.require_expiry
        self._skew = skew

    def principal(self, claims: Claims, now: float) -> tuple[Principal, Window] | Denial:
        """Make the caller of an active token, or say why it is not one for us. Pure."""
        if "exp" not in claims and not self._needs_expiry:
            claims = {**claims, "exp": now + self.cache}
        times = window(claims)
        if isinstance(times, Denial):
            return times
        denial = (
            misshapen(claims, _SHAPE)
            or _no_bearer(claims)
            or not_an_access_token(_NO_HEADER, claims)
            or self._other_issuer(claims)
            or expired(times, now, self._skew)
            or other_audience(claims, self._audiences, self._stand_ins)
            or premature(times, now, self._skew)
        )
        if denial:
            return denial
        found = self._dialect.principal(
            claims,
            # SECURITY.md 10: a name that nobody configured could be somebody else's.
            issuer=self.issuer or self.url,
            name=self.name,
            kind=self.kind,
            expires_at=times.expires_at,
        )
        return found if isinstance(found, Denial) else (found, times)

    def _other_issuer(self, claims: Claims) -> Denial | None:
        if self.issuer and claims.get("iss", self.issuer) != self.issuer:
            return invalid("The token is of another issuer.")
        return None


def _no_bearer(claims: Claims) -> Denial | None:
    """RFC 6749 §7.1: a token of a type that we do not know must not be used."""
    said = claims.get("token_type", "Bearer")
    if not isinstance(said, str) or said.lower() != "bearer":
        return invalid("The token is not an access token for bearers.")
    return None
