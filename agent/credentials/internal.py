"""Which token of our own goes to a workload of the same trust domain? (DESIGN.md §7)"""

from __future__ import annotations

from agent.context.caller import Caller
from agent.credentials.credential import Injection
from agent.credentials.mint import Grant, Minter
from agent.credentials.subject import Rule, acting_as
from agent.errors import Denial
from agent.moment import Moment


class InternalCredential:
    """Mints a token for one audience; nobody has to be asked."""

    kind = "internal"

    def __init__(self, grant: Grant, subject: Rule, minter: Minter) -> None:
        self._grant = grant
        self._subject = subject
        self._minter = minter

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """A minted token for the user or for ourselves, or why there is none."""
        acting = acting_as(self._subject, caller)
        if isinstance(acting, Denial):
            return acting
        minted = self._minter.mint(self._grant, caller, acting, moment.now)
        if isinstance(minted, Denial):
            return minted
        headers = (("authorization", f"Bearer {minted.token}"),)
        return Injection(headers, acting, minted.expires_at)
