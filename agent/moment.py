"""When is a request decided, and how long may that take?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

Waiting = Callable[[], AbstractContextManager[bool]]
"""Entered by a thread for as long as it waits, so that another may decide in its place.

It gives False where too many wait already: then the thread must not.
"""


class WouldBlock(Exception):
    """Raised instead of waiting, by a thread that must not: ask again on another one."""


def nobody_else() -> AbstractContextManager[bool]:
    """`Waiting` for threads in whose place nobody needs to come."""
    return nullcontext(True)


class Moment(NamedTuple):
    """`now` in UTC seconds since the epoch, `deadline` in seconds that remain."""

    now: float
    deadline: float
