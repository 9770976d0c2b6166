"""Which token of our own goes to a workload of the same trust domain? (DESIGN.md §7)"""

from __future__ import annotations

from agent.context.caller import Caller
from agent.credentials.credential import Injection
from agent.credentials.mint import Grant, Minter
from agent.credentials.subject import Rule, acting_as
from agent.credentials.transaction import HEADER, TransactionTokens
from agent.errors import Denial
from agent.moment import Moment


class InternalCredential:
    """Mints a token for one audience; nobody has to be asked."""

    kind = "internal"

    def __init__(
        self,
        grant: Grant,
        subject: Rule,
        minter: Minter,
        transactions: TransactionTokens | None = None,
    ) -> None:
        self._grant = grant
        self._subject = subject
        self._minter = minter
        self._transactions = transactions

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """A minted token for the user or for ourselves, or why there is none."""
        acting = acting_as(self._subject, caller)
        if isinstance(acting, Denial):
            return acting
        minted = self._minter.mint(self._grant, caller, acting, moment.now)
        if isinstance(minted, Denial):
            return minted
        headers = (("authorization", f"Bearer {minted.token}"),)
        if self._transactions is None:
            return Injection(headers, acting, minted.expires_at)
        transaction = self._transactions.obtain(caller, acting, moment.now)
        if isinstance(transaction, Denial):
            return transaction
        ends = min(minted.expires_at, transaction.expires_at)
        return Injection((*headers, (HEADER, transaction.token)), acting, ends)
