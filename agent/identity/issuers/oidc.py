"""Who is calling with a token of an OpenID Connect issuer (RFC 9068, or its many dialects)?"""

from __future__ import annotations

from agent.config.issuers import Oidc
from agent.errors import Denial
from agent.identity.claims import TEXT, TEXTS, Claims, misshapen, text
from agent.identity.issuers.dialect import Dialect
from agent.identity.issuers.document import Document
from agent.identity.issuers.entry import Issuers, Signed, invalid, not_an_access_token
from agent.identity.principal import IssuerKind, Principal

# What a dialect may place elsewhere is still refused where it is not what its RFC says.
_SHAPE = {"sub": TEXT, "client_id": TEXT, "azp": TEXT}
_SCOPE = {"scope": TEXT}  # RFC 8693 §4.2; who finds a list there says claims.scopes: scope
_PROFILE_TYPES = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068 §4
_PROFILE_REQUIRED = ("aud", "iat")  # RFC 9068 §2.2; iss and exp are required of every token
_PROFILE_TEXTS = ("sub", "client_id", "jti")
_PROFILE_SHAPE = _SHAPE | _SCOPE | {"jti": TEXT, "acr": TEXT, "amr": TEXTS}


class OidcIssuer:
    """An issuer known by exactly one `iss`; its keys come by discovery or from where it says."""

    kind = IssuerKind.OIDC

    def __init__(self, name: str, config: Oidc) -> None:
        self.name = name
        self.audiences = frozenset(config.audiences)
        self.stand_ins = config.claims.audience or ()
        self.iss = config.issuer
        self._profiled = config.profile == "rfc9068"
        self._shape = _SHAPE if config.claims.scopes else _SHAPE | _SCOPE
        self._dialect = Dialect.of(config.claims, config.callers)
        # OpenID Connect Discovery §4.1: a terminating slash is removed first.
        url = config.issuer.rstrip("/") + "/.well-known/openid-configuration"
        self._document = Document(
            group="",
            algorithms=config.algorithms,
            discovery=() if config.jwks else (url,),
            keys=(config.jwks.url or "") if config.jwks else "",
            file=config.jwks.file if config.jwks else None,
            ca_file=config.jwks.ca_file if config.jwks else config.ca_file,
            issuer=config.issuer,
        )
        self.documents = (self._document,)

    def locate(self, iss: str, claims: Claims, issuers: Issuers) -> Document | Denial | None:
        """Ours if `iss` is ours to the letter."""
        return self._document if iss == self.iss else None

    def elsewhere(self, signed: Signed) -> Denial | None:
        """`iss` and key say it all."""
        return None

    def principal(self, signed: Signed) -> Principal | Denial:
        """Make the caller of an access token."""
        claims = signed.claims
        denial = not_an_access_token(signed.header, claims) or (
            _outside_the_profile(signed) if self._profiled else misshapen(claims, self._shape)
        )
        if denial:
            return denial
        return self._dialect.principal(
            claims,
            issuer=signed.issuer,
            name=self.name,
            kind=self.kind,
            expires_at=signed.window.expires_at,
        )


def _outside_the_profile(signed: Signed) -> Denial | None:
    """RFC 9068 §4: the type is named, §2.2: and every required claim is there and well formed."""
    claims = signed.claims
    if (signed.header.typ or "").lower() not in _PROFILE_TYPES:
        return invalid("The token's type is not at+jwt.")
    for name in _PROFILE_REQUIRED:
        if name not in claims:
            return invalid(f"The token has no '{name}'.")
    if denial := misshapen(claims, _PROFILE_SHAPE):
        return denial
    for name in _PROFILE_TEXTS:
        if not text(claims, name):
            return invalid(f"The token has no '{name}'.")
    moment = claims.get("auth_time", 0)
    if isinstance(moment, bool) or not isinstance(moment, (int, float)) or moment < 0:
        return invalid("The token's 'auth_time' is not a time.")
    return None
