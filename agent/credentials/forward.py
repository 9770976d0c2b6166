"""When does the caller's own token travel on? Inside one suite, while it is valid."""

from __future__ import annotations

from agent.context.caller import Caller
from agent.credentials.credential import Injection
from agent.credentials.subject import Rule, acting_as, expired
from agent.errors import Denial, Reason
from agent.moment import Moment


class Forward:
    """Sends the caller's verified token as it came. `either` lets an application's pass too."""

    kind = "forward"

    def __init__(self, subject: Rule) -> None:
        self._subject = subject

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """The caller's token, or why there is none to forward."""
        acting = acting_as(self._subject, caller)
        if isinstance(acting, Denial):
            return acting
        verified = caller.verified if caller else None
        if verified is None:  # `either` forwards an app's token, but cannot make one
            return Denial(Reason.NO_SUBJECT, "there is no caller whose token could be forwarded")
        if denial := expired(verified, moment.now):
            return denial
        return Injection(
            (("authorization", f"Bearer {verified.token}"),), acting, verified.principal.expires_at
        )
