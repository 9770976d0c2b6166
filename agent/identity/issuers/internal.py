"""Who is calling with a token that a workload of our own trust domain minted (DESIGN.md §7)?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.config.issuers import Internal
from agent.errors import Denial
from agent.identity.alike import alike
from agent.identity.claims import TEXT, TEXTS, Claims, misshapen, text, transaction, words
from agent.identity.issuers.document import Document
from agent.identity.issuers.entry import Issuers, Signed, bound, invalid
from agent.identity.principal import IssuerKind, Kind, Principal

MAX_LIFETIME = 3600.0  # seconds; SECURITY.md 30: minutes
MAX_CHAIN = 64  # actors and hops

_TYPES = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068 §4
_REQUIRED = ("sub", "aud", "client_id", "jti", "txn")
_SHAPE = dict.fromkeys((*_REQUIRED, "scope", "tid", "oid", "idtyp"), TEXT) | {
    "roles": TEXTS,
    "acrs": TEXTS,
}


class InternalIssuer:
    """The workloads of one trust domain. *skew* is the tolerance in seconds."""

    kind = IssuerKind.INTERNAL
    stand_ins = ()

    def __init__(self, name: str, config: Internal, skew: float) -> None:
        self.name = name
        self.audiences = frozenset({config.audience})
        self._issuers = frozenset(config.issuers)
        self._skew = skew
        self._document = Document(
            group="",
            algorithms=config.algorithms,
            keys=config.jwks.url or "",
            file=config.jwks.file,
            ca_file=config.jwks.ca_file,
        )
        self.documents = (self._document,)

    def locate(self, iss: str, claims: Claims, issuers: Issuers) -> Document | Denial | None:
        """Ours if `iss` is one of ours to the letter."""
        return self._document if iss in self._issuers else None

    def elsewhere(self, signed: Signed) -> Denial | None:
        """Nobody signs in at a workload (SECURITY.md 11)."""
        return invalid("An internal token says nothing about a sign-in.")

    def principal(self, signed: Signed) -> Principal | Denial:
        """Make the caller, and the chain of workloads that the request came through."""
        claims = signed.claims
        denial = (
            _other_type(signed)
            or bound(claims)
            or misshapen(claims, _SHAPE)
            or incomplete(claims, _REQUIRED)
            or _miscounted(claims)
            or _stolen_key(signed)
            or self.too_long(claims)
        )
        if denial:
            return denial
        claims = alike(claims)
        actors = _actors(claims)
        if isinstance(actors, Denial):
            return actors
        kind = Kind.APP if claims["sub"] == claims["client_id"] else Kind.USER
        if claims.get("idtyp", kind.value) != kind.value:
            return invalid("The token's 'idtyp' contradicts its subject.")
        return Principal(
            kind=kind,
            subject=text(claims, "oid", "sub"),
            tenant=text(claims, "tid"),
            issuer=signed.issuer,
            issuer_name=self.name,
            issuer_kind=self.kind,
            client=claims["client_id"],
            scopes=words(claims, "scope"),
            roles=words(claims, "roles"),
            expires_at=signed.window.expires_at,
            claims=claims,
            actors=actors,
            txn=claims["txn"],
            hops=claims["hops"],
            auth_contexts=words(claims, "acrs"),
        )

    def too_long(self, claims: Claims) -> Denial | None:
        """SECURITY.md 30: a token that lives longer was not minted by us."""
        if not 0 < claims["exp"] - claims["iat"] <= MAX_LIFETIME + self._skew:
            return invalid("The token's lifetime is not that of an internal token.")
        return None


def _other_type(signed: Signed) -> Denial | None:
    if (signed.header.typ or "").lower() not in _TYPES:
        return invalid("The token's type is not at+jwt.")
    return None


def incomplete(claims: Claims, required: Iterable[str]) -> Denial | None:
    """Whether one of *required*, a usable `txn` or `iat` is missing from a token of ours."""
    for name in required:
        if not text(claims, name):
            return invalid(f"The token has no '{name}'.")
    if not transaction(text(claims, "txn")):
        return invalid("The token's 'txn' is not usable as an id.")
    if "iat" not in claims:
        return invalid("The token has no 'iat'.")
    return None


def _miscounted(claims: Claims) -> Denial | None:
    hops = claims.get("hops")
    if not isinstance(hops, int) or isinstance(hops, bool) or not 1 <= hops <= MAX_CHAIN:
        return invalid("The token's 'hops' is not a count.")
    return None


def _stolen_key(signed: Signed) -> Denial | None:
    """DESIGN.md §7: a workload's key speaks for that workload and for nobody else."""
    if not signed.key.workload or signed.key.workload != signed.claims["client_id"]:
        return invalid("The token's key does not belong to its client.")
    return None


def _actors(claims: Claims) -> tuple[str, ...] | Denial:
    """RFC 8693 §4.1: nested `act` members, the outermost one being the latest actor."""
    found: list[str] = []
    holder = claims
    while "act" in holder:
        actor = holder["act"]
        name = text(actor, "sub") if isinstance(actor, Mapping) else ""
        if not name or len(found) == MAX_CHAIN:
            return invalid("The token's chain of actors is not well formed.")
        found.append(name)
        holder = actor
    client = claims["client_id"]
    if found and found[0] != client:
        return invalid("The token's latest actor is not its client.")
    return tuple(found) or (client,)
