"""When is a request decided, and how long may that take?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """`now` in UTC seconds since the epoch, `deadline` in seconds that remain."""

    now: float
    deadline: float
