"""What is sent where nothing is to be sent? No header; the flow removes the application's."""

from __future__ import annotations

from agent.context.caller import Caller
from agent.credentials.credential import Injection
from agent.moment import Moment

_NOTHING = Injection(headers=(), acts_as=None)


class NoCredential:
    """Injects nothing and speaks as nobody."""

    kind = "none"

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection:
        """Nothing, whoever calls."""
        return _NOTHING
