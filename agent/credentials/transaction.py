"""Which Txn-Token goes beside an internal token? (draft-ietf-oauth-transaction-tokens-10)

One is made where a transaction enters the trust domain and passed on unchanged from there: our
sidecars together are the trust domain's one logical Txn-Token Service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.context.caller import Caller
from agent.credentials.mint import (
    Minted,
    Minter,
    Rules,
    copied,
    narrowed,
    subject,
    transaction_id,
)
from agent.credentials.subject import expired
from agent.errors import Denial, Reason
from agent.identity.principal import Kind

HEADER = "txn-token"
TYPE = "txntoken+jwt"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a transaction is for. `claims` of the caller become its `tctx`."""

    scopes: tuple[str, ...]
    claims: tuple[str, ...] = ()


class TransactionTokens:
    """The Txn-Tokens of one destination's calls."""

    def __init__(self, purpose: Purpose, minter: Minter) -> None:
        self._purpose = purpose
        self._minter = minter

    def obtain(self, caller: Caller | None, speaker: Kind, now: float) -> Minted | Denial:
        """The token that the request came with, else a new one, or why there is none."""
        if caller and caller.transaction:
            came = caller.transaction
            # "Txn-Token as a subject_token": none is made anew for one that has expired
            return expired(came, now) or Minted(came.token, came.principal.expires_at)

        def composed(rules: Rules, jti: str) -> dict[str, Any] | Denial:
            return compose(rules, self._purpose, caller, speaker, now, jti)

        return self._minter.issue(TYPE, composed, (self._purpose, speaker), caller, now)


def compose(
    rules: Rules, purpose: Purpose, caller: Caller | None, speaker: Kind, now: float, jti: str
) -> dict[str, Any] | Denial:
    """The claims of a new Txn-Token, or why it must not exist. Pure. *now* is UTC seconds.

    `sub` and `txn` are those of the internal token beside it. No access token is in it.
    """
    verified = caller.verified if caller else None
    principal = verified.principal if verified else None
    if verified is not None and (denial := expired(verified, now)):
        return denial
    scopes = narrowed(purpose.scopes, principal)
    if isinstance(scopes, Denial):
        return scopes
    ends = now + rules.lifetime
    if principal is not None and caller is not None:
        ends = min(ends, principal.expires_at, caller.expires_at)
    claims: dict[str, Any] = {
        "iss": rules.issuer,
        "aud": rules.trust_domain,
        "sub": rules.workload,
        "txn": transaction_id(caller, jti),
        "scope": " ".join(scopes),
        "req_wl": rules.workload,
        "iat": int(now),
        "exp": int(ends),
    }
    if claims["exp"] <= now:
        return Denial(Reason.EXPIRED_TOKEN, "the caller's token is about to expire")
    if principal is None:
        return claims
    claims["rctx"] = {"iss": principal.issuer, "client_id": principal.client}
    if speaker is Kind.USER:
        claims["sub"] = subject(principal)["sub"]
        if details := copied(principal.claims, purpose.claims):
            claims["tctx"] = details
    return claims
