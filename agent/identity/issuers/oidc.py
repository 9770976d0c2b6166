"""Who is calling with a token of an OpenID Connect issuer (RFC 9068, or its many dialects)?"""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.issuers import Oidc
from agent.errors import Denial
from agent.identity.claims import TEXT, TEXTS, WORDS, Claims, misshapen, text, words
from agent.identity.issuers.document import Document
from agent.identity.issuers.entry import Issuers, Signed, invalid, not_an_access_token
from agent.identity.principal import IssuerKind, Kind, Principal

_SHAPE = {
    "sub": TEXT,
    "client_id": TEXT,
    "azp": TEXT,
    "scope": TEXT,  # RFC 8693 §4.2
    "scp": WORDS,  # Okta writes a list, Entra a string
    "roles": TEXTS,
}


class OidcIssuer:
    """An issuer with discovery, known by exactly one `iss`."""

    kind = IssuerKind.OIDC

    def __init__(self, name: str, config: Oidc) -> None:
        self.name = name
        self.audiences = frozenset(config.audiences)
        self.iss = config.issuer
        # OpenID Connect Discovery §4.1: a terminating slash is removed first.
        url = config.issuer.rstrip("/") + "/.well-known/openid-configuration"
        self._document = Document(
            group="",
            algorithms=config.algorithms,
            discovery=(url,),
            ca_file=config.ca_file,
            issuer=config.issuer,
        )
        self.documents = (self._document,)

    def locate(self, iss: str, claims: Claims, issuers: Issuers) -> Document | Denial | None:
        """Ours if `iss` is ours to the letter."""
        return self._document if iss == self.iss else None

    def principal(self, signed: Signed) -> Principal | Denial:
        """Make the caller of an access token."""
        claims = signed.claims
        if denial := not_an_access_token(signed.header, claims) or misshapen(claims, _SHAPE):
            return denial
        client = text(claims, "client_id", "azp")
        subject = text(claims, "sub") or client
        if not subject:
            return invalid("The token names neither a subject nor a client.")
        return Principal(
            kind=Kind.APP if _is_app(claims, subject) else Kind.USER,
            subject=subject,
            tenant=text(claims, "tid"),
            issuer=signed.issuer,
            issuer_name=self.name,
            issuer_kind=self.kind,
            client=client,
            scopes=words(claims, "scope") | words(claims, "scp"),
            roles=words(claims, "roles") | _keycloak_roles(claims),
            expires_at=signed.window.expires_at,
            claims=claims,
        )


def _is_app(claims: Claims, subject: str) -> bool:
    """RFC 9068 §2.2: a client that acts as itself is its own subject. `gty` is Auth0's word."""
    if claims.get("gty") == "client-credentials":
        return True
    return subject in (claims.get("client_id"), claims.get("azp"))


def _keycloak_roles(claims: Claims) -> frozenset[str]:
    realm = claims.get("realm_access")
    found = realm.get("roles") if isinstance(realm, Mapping) else None
    return words({"roles": found}, "roles") if isinstance(found, list) else frozenset()
