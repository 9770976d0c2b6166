"""Whom did this service see? The last visits, for the people who run it."""

from __future__ import annotations

from collections import deque

from demo.services.caller import Caller

_visits: deque[dict[str, object]] = deque(maxlen=20_000)


def note(about: str, caller: Caller) -> None:
    """Remember who came about what."""
    _visits.append({"about": about, **caller.shown()})


def visits() -> list[dict[str, object]]:
    """The visits, oldest first."""
    return list(_visits)
