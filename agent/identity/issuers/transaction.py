"""Of which transaction is a request a part? A Txn-Token of a workload of our own trust domain.

draft-ietf-oauth-transaction-tokens-10. Where it leaves a choice: `iss` is required, for it chooses
the keys, and the key is the requesting workload's own, as with internal tokens (DESIGN.md §7).
"""

from __future__ import annotations

from agent.config.issuers import Internal
from agent.errors import Denial
from agent.identity.claims import OBJECT, TEXT, Claims, misshapen, words
from agent.identity.issuers.document import Document
from agent.identity.issuers.entry import Issuers, Signed, bound, invalid
from agent.identity.issuers.internal import InternalIssuer, incomplete
from agent.identity.principal import IssuerKind, Kind, Principal

_TYPES = frozenset({"txntoken+jwt", "application/txntoken+jwt"})  # RFC 7515 §4.1.9
_REQUIRED = ("sub", "aud", "txn", "scope", "req_wl")
_SHAPE = dict.fromkeys(_REQUIRED, TEXT) | {"tctx": OBJECT, "rctx": OBJECT}


class TransactionIssuer:
    """The workloads of one trust domain, as those that begin transactions."""

    kind = IssuerKind.INTERNAL
    stand_ins = ()

    def __init__(self, name: str, config: Internal, skew: float) -> None:
        self._internal = InternalIssuer(name, config, skew)
        self.name = name
        self.audiences = frozenset({config.trust_domain})  # nowhere else is it accepted
        self.documents = self._internal.documents

    def locate(self, iss: str, claims: Claims, issuers: Issuers) -> Document | Denial | None:
        """Ours if `iss` is one of ours to the letter."""
        return self._internal.locate(iss, claims, issuers)

    def elsewhere(self, signed: Signed) -> Denial | None:
        """Nobody signs in at a workload (SECURITY.md 11)."""
        return invalid("A transaction token says nothing about a sign-in.")

    def principal(self, signed: Signed) -> Principal | Denial:
        """The transaction's principal; `client` is the workload that began it."""
        claims = signed.claims
        denial = (
            _other_type(signed)
            or bound(claims)
            or misshapen(claims, _SHAPE)
            or incomplete(claims, _REQUIRED)
            or _stolen_key(signed)
            or self._internal.too_long(claims)
        )
        if denial:
            return denial
        return Principal(
            kind=Kind.APP if claims["sub"] == claims["req_wl"] else Kind.USER,
            subject=claims["sub"],
            tenant="",
            issuer=signed.issuer,
            issuer_name=self.name,
            issuer_kind=self.kind,
            client=claims["req_wl"],
            scopes=words(claims, "scope"),
            roles=frozenset(),
            expires_at=signed.window.expires_at,
            claims=claims,
            actors=(claims["req_wl"],),
            txn=claims["txn"],
        )


def _other_type(signed: Signed) -> Denial | None:
    if (signed.header.typ or "").lower() not in _TYPES:
        return invalid("The token's type is not txntoken+jwt.")
    return None


def _stolen_key(signed: Signed) -> Denial | None:
    if not signed.key.workload or signed.key.workload != signed.claims["req_wl"]:
        return invalid("The token's key does not belong to its requesting workload.")
    return None
