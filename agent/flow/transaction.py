"""Which Txn-Token came with a request, and does it agree with the token that opens the route?

draft-ietf-oauth-transaction-tokens-10: it tells what a transaction is about, authenticates nobody
and is no access token (its Security Considerations). So it is looked at after the bearer, and only
beside one of our own trust domain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from agent.credentials.transaction import HEADER
from agent.errors import Denial, Reason
from agent.flow.request import Request
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified
from agent.moment import Moment

Rule = Literal["ignore", "accept", "require"]
Verify = Callable[[RawToken, Moment], Verified | Denial]


@dataclass(frozen=True, slots=True)
class Transactions:
    """What each issuer's callers may bring; *rules* by the issuer's name."""

    verify: Verify
    rules: Mapping[str, Rule]

    def came_with(
        self, request: Request, verified: Verified, moment: Moment
    ) -> Verified | Denial | None:
        """The Txn-Token of *request*, why it is refused, or None: there is none to believe."""
        caller = verified.principal
        if caller.issuer_kind is not IssuerKind.INTERNAL:
            return None
        rule = self.rules.get(caller.issuer_name, "ignore")
        said = request.header(HEADER)
        if rule == "ignore" or (rule == "accept" and not said):
            return None
        if not said:
            return Denial(Reason.MISSING_TOKEN, "The request needs a Txn-Token.")
        found = self.verify(RawToken(said), moment)
        if isinstance(found, Denial):
            return replace(found, detail=f"The Txn-Token is refused. {found.detail}")
        return disagreement(found.principal, caller) or found


def disagreement(transaction: Principal, caller: Principal) -> Denial | None:
    """Why the two tokens cannot be of one request. Pure."""
    if transaction.txn != caller.txn:
        return _refused("is of another transaction")
    # A workload that calls as itself amid a user's transaction is still a part of it.
    if caller.kind is Kind.USER and transaction.subject != caller.claims.get("sub"):
        return _refused("speaks of another subject")
    if transaction.client not in caller.actors:
        return _refused("was requested by a workload that the call did not come through")
    return None


def _refused(why: str) -> Denial:
    return Denial(Reason.INVALID_TOKEN, f"The Txn-Token {why}.")
