"""Has it happened yet? Polls a condition, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
STEP = 0.05  # seconds between two looks


class NotInTime(TimeoutError):
    """What was waited for did not come."""


def until(condition: Callable[[], T | None], what: str, bound: float = 30.0) -> T:
    """Return the first true answer of *condition*; `NotInTime` after *bound* seconds."""
    end = time.monotonic() + bound
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > end:
            raise NotInTime(f"{what} did not come within {bound:.0f} s")
        time.sleep(STEP)
