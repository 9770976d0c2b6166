"""What every kind of credential answers: headers to send, or why there are none."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from agent.context.caller import Caller
from agent.errors import Denial
from agent.identity.principal import Kind
from agent.moment import Moment


class Injection(NamedTuple):
    """The headers that carry a credential, and as whom it speaks (None: as nobody).

    `headers` is never logged. `expires_at` is in UTC seconds.
    """

    headers: tuple[tuple[str, str], ...]
    acts_as: Kind | None
    expires_at: float = 0.0

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers)
        return f"Injection({names}; as {self.acts_as})"


class Credential(Protocol):
    """One destination's credential, made once per configuration and asked for each call.

    `kind` is the configuration's word for it (`obo`, `internal`, …) and goes to the audit record.
    `obtain` may block for at most `moment.deadline` seconds when nothing is cached. `caller` is
    None where the call has no inbound request behind it.
    """

    @property
    def kind(self) -> str: ...

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial: ...


class Own(Credential, Protocol):
    """A credential of the application itself: kept fresh without a call, and fit to be pushed."""

    def renew(self, now: float) -> None: ...

    def wanted(self, now: float) -> None: ...

    def at_hand(self, now: float) -> Injection | None: ...
