"""How long does a stored refresh token live, and how does it stand? A value for lists."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

# Nobody said how long the token may lie unused: it is not left alone for longer than this.
UNKNOWN_IDLE = 14 * 86400.0
_EARLIEST, _JITTER = 0.5, 0.2  # parts of the idle lifetime


class State(StrEnum):
    """How a stored token stands. All but `live` and `in_doubt` need a person."""

    LIVE = "live"
    IN_DOUBT = "in_doubt"  # it was sent, or nearly, and no answer was kept; tried once more
    MISSING = "missing"  # nobody has logged in yet
    LOST = "lost"  # it was sent, no answer was kept, and the provider's grace is over
    REFUSED = "refused"  # the provider said invalid_grant
    FOREIGN = "foreign"  # it belongs to another server or client than the identity's
    UNREADABLE = "unreadable"  # the store does not answer, or its key does not fit


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of one stored token. Times are UTC seconds, lifetimes seconds; None: unknown.

    `obtained_at` is the login, from which the absolute lifetime counts; `used_at` the last use,
    from which the idle lifetime counts. It is exercised at `exercise_at` if nobody uses it before.
    """

    name: str
    state: State
    obtained_at: float | None = None
    used_at: float | None = None
    idle_lifetime: float | None = None
    absolute_lifetime: float | None = None
    exercise_at: float | None = None

    @property
    def ends_at(self) -> float | None:
        """When it ends although it is exercised in time: only a login prolongs that.

        >>> Life("crm", State.LIVE, obtained_at=0.0, used_at=50.0, absolute_lifetime=90.0).ends_at
        90.0
        """
        if self.obtained_at is None or self.absolute_lifetime is None:
            return None
        return self.obtained_at + self.absolute_lifetime

    @property
    def idle_ends_at(self) -> float | None:
        """When it ends if nobody uses it any more, not even to exercise it."""
        if self.used_at is None or self.idle_lifetime is None:
            return self.ends_at
        idle = self.used_at + self.idle_lifetime
        return idle if self.ends_at is None else min(idle, self.ends_at)

    @property
    def needs_login(self) -> bool:
        """Whether only `attache login` helps."""
        return self.state in (State.MISSING, State.LOST, State.REFUSED, State.FOREIGN)


def exercise_at(name: str, used_at: float, idle_lifetime: float | None) -> float:
    """When an unused token is exercised: at 50 to 70 % of its idle lifetime. Pure.

    The jitter follows from the name and the last use, so that all pods mean the same moment, and
    tokens of one login session do not come due together.

    >>> 50.0 <= exercise_at("crm", 0.0, 100.0) <= 70.0
    True
    """
    seed = hashlib.sha256(f"{name}\n{used_at:.3f}".encode()).digest()
    jitter = int.from_bytes(seed[:4]) / 2**32
    return used_at + (idle_lifetime or UNKNOWN_IDLE) * (_EARLIEST + _JITTER * jitter)
