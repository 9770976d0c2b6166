"""May the endpoint be asked now, after how it answered before (SECURITY.md 38)? Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from agent.identity.introspection.answer import Trouble

PATIENCE = 3  # troubles in a row before we pause: one token alone must not close it to others
_LAST_PAUSE = 30.0  # seconds
_STOPPED = 2.0  # seconds between two tries with a secret that was refused


@dataclass(frozen=True, slots=True)
class Health:
    """How the endpoint does. Times are UTC seconds; `answered_at` is 0 before the first answer."""

    failures: int = 0
    paused_at: float = 0.0
    paused_until: float = 0.0
    answered_at: float = 0.0
    error: str = ""

    @property
    def troubled(self) -> bool:
        """Whether one question at a time is enough until it answers again."""
        return self.failures >= PATIENCE


def pause(health: Health, now: float) -> int:
    """Whole seconds until it may be asked; 0: now. A clock that was set back ends every pause."""
    if health.paused_at <= now < health.paused_until:
        return max(1, math.ceil(health.paused_until - now))
    return 0


def after_answer(health: Health, now: float) -> Health:
    """It answered: all is well."""
    return Health(answered_at=now)


def after_trouble(health: Health, trouble: Trouble, now: float, chance: float) -> Health:
    """It did not. *chance* (0 to 1) keeps many agents out of step."""
    failures = health.failures + 1
    seconds = trouble.retry_after
    if trouble.stop:
        failures = max(failures, PATIENCE)
        seconds = max(seconds, _STOPPED)
    elif failures >= PATIENCE:
        # Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"), a second at least.
        ceiling = min(_LAST_PAUSE, 2.0 ** min(failures - PATIENCE + 1, 10))
        seconds = max(seconds, 1.0, ceiling * chance)
    return replace(
        health,
        failures=failures,
        paused_at=now,
        paused_until=now + seconds,
        error=trouble.sentence,
    )
