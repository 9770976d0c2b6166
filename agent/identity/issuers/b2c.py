"""Who is calling with an Azure AD B2C token (ENTRA.md §1)?"""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.config.issuers import B2C
from agent.errors import Denial
from agent.identity.alike import alike
from agent.identity.claims import TEXT, TEXTS, Claims, misshapen, text, words
from agent.identity.issuers.document import Document
from agent.identity.issuers.entra import caller_kind
from agent.identity.issuers.entry import (
    Issuers,
    Signed,
    invalid,
    not_an_access_token,
    unavailable,
)
from agent.identity.principal import IssuerKind, Principal

_SHAPE = {
    "tid": TEXT,
    "oid": TEXT,
    "sub": TEXT,
    "azp": TEXT,
    "idtyp": TEXT,
    "scp": TEXT,
    "tfp": TEXT,
    "acr": TEXT,
    "roles": TEXTS,
}


class B2CIssuer:
    """User flows of one B2C tenant; they may share an `iss`, but each has its own keys."""

    kind = IssuerKind.B2C
    stand_ins = ()

    def __init__(self, name: str, config: B2C) -> None:
        self.name = name
        self.audiences = frozenset(config.audiences)
        self._origin = _origin_of(config.authority)
        base = f"{config.authority.rstrip('/')}/{config.tenant}"
        self._policies = {
            _folded(policy): Document(
                group=f"policy {policy}",
                algorithms=config.algorithms,
                discovery=(f"{base}/{policy}/v2.0/.well-known/openid-configuration",),
                ca_file=config.ca_file,
                policy=_folded(policy),
            )
            for policy in config.policies
        }
        self.documents = tuple(self._policies.values())

    def locate(self, iss: str, claims: Claims, issuers: Issuers) -> Document | Denial | None:
        """Ours if a policy's document names `iss`; the token's policy says which.

        What chooses the keys is what they then have to have signed: no token of one policy can
        name another one here.
        """
        named = {name for document in self.documents if (name := issuers(document))}
        document = self._policies.get(policy_of(claims))
        if document is not None and issuers(document) == iss:
            return document
        if document is not None and not issuers(document):
            # What this policy's `iss` is, only its metadata can tell.
            near = iss in named or _origin_of(iss) == self._origin
            return unavailable() if near else None
        return invalid("The token's policy is not accepted.") if iss in named else None

    def elsewhere(self, signed: Signed) -> Denial | None:
        """`iss` and the policy's key say it all."""
        return None

    def principal(self, signed: Signed) -> Principal | Denial:
        """Make the caller of an access token."""
        claims = signed.claims
        if denial := not_an_access_token(signed.header, claims) or misshapen(claims, _SHAPE):
            return denial
        claims = alike(claims)
        subject = text(claims, "oid", "sub")
        if not subject:
            return invalid("The token has no subject.")
        kind = caller_kind(claims, text(claims, "oid"), text(claims, "azp"))
        if kind is None:
            return invalid("The token has neither scopes nor an application as its subject.")
        return Principal(
            kind=kind,
            subject=subject,
            tenant=text(claims, "tid"),
            issuer=signed.issuer,
            issuer_name=self.name,
            issuer_kind=self.kind,
            client=text(claims, "azp"),
            scopes=words(claims, "scp"),
            roles=words(claims, "roles"),
            expires_at=signed.window.expires_at,
            claims=claims,
        )


def policy_of(claims: Claims) -> str:
    """The policy that made the token; `acr` speaks of it only where there is no `tfp`."""
    return _folded(text(claims, "tfp") if "tfp" in claims else text(claims, "acr"))


def _folded(policy: str) -> str:
    # B2C keeps the case in tfp, folds it in acr and in its issuers, and knows no two policies
    # that differ in case alone. Ids are ASCII, so folding cannot join two of them; text that is
    # not ASCII keeps its case and can match none.
    return policy.lower() if policy.isascii() else policy


def _origin_of(url: str) -> tuple[str, str] | None:
    """Scheme and authority of *url*, if it has any."""
    try:
        return urlsplit(url)[:2]
    except ValueError:
        return None
