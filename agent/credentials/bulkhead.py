"""Whom may a slow authorization server hold up? So many threads for each tenant, and no more."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Lane = tuple[str, str]
"""One identity in one tenant: what is slow there is slow for nobody else."""

_MAX_LANES = 4096


def patience(taken: int, limit: int, age: float, grace: float, troubled: bool) -> float | None:
    """For how many seconds one more may wait in a lane; None: not at all. Pure.

    *taken* places are occupied. The first *limit* may wait as long as they like. More may wait only
    while all is well: a burst on a cold cache is served within *grace* seconds of the oldest
    request under way (its *age*), while behind a server that hangs nobody else queues up.

    >>> patience(7, 8, 99.0, 1.0, True), patience(8, 8, 0.25, 1.0, False)
    (inf, 0.75)
    >>> patience(8, 8, 1.5, 1.0, False), patience(8, 8, 0.0, 1.0, True)
    (None, None)
    """
    if taken < limit:
        return math.inf
    if troubled or age >= grace:
        return None
    return grace - age


@dataclass(slots=True)
class _State:
    waiting: int = 0
    troubled: bool = False
    flights: dict[int, float] = field(default_factory=dict)  # id → start, oldest first


class Bulkhead:
    """Counts who waits and what is under way in each lane. Every method takes one short lock.

    At most *waiters* wait in one lane, *limit* of them also behind a server that hangs; at most
    *most* requests are under way in one lane, *total* in all. Below *grace* seconds a server is
    merely slow.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limit: int = 8,
        most: int = 32,
        total: int = 64,
        grace: float = 3.0,
        waiters: int = 1024,
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._most = most
        self._total = total
        self._grace = grace
        self._waiters = waiters
        self._lock = threading.Lock()
        self._lanes: dict[Lane, _State] = {}
        self._under_way = 0
        self._serial = 0

    def enter(self, lane: Lane) -> float | None:
        """Take a place to wait, for at most the returned seconds; None: none is free."""
        with self._lock:
            state = self._state(lane)
            full = state.waiting >= self._waiters
            allowed = None if full else self._patience(state, state.waiting)
            if allowed is not None:
                state.waiting += 1
            return allowed

    def leave(self, lane: Lane) -> None:
        """Give back the place that `enter` gave."""
        with self._lock:
            self._state(lane).waiting -= 1

    def begin(self, lane: Lane) -> int | None:
        """Take a place for one request to the server; None: none is free."""
        with self._lock:
            state = self._state(lane)
            taken = len(state.flights)
            if self._under_way >= self._total or taken >= self._most:
                return None
            if self._patience(state, taken) is None:
                return None
            self._under_way += 1
            self._serial += 1
            state.flights[self._serial] = self._clock()
            return self._serial

    def end(self, lane: Lane, flight: int, answered: bool) -> None:
        """Give back the place that `begin` gave; *answered*: the server gave a sensible answer.

        A server that fails at once holds nobody up: only one that was slow about it is mistrusted.
        """
        with self._lock:
            state = self._state(lane)
            now = self._clock()
            started = state.flights.pop(flight, None)
            if started is not None:
                self._under_way -= 1
            slow = started is not None and now - started >= self._grace
            state.troubled = not answered and (slow or state.troubled)

    def well(self, lane: Lane) -> bool:
        """Whether one more request may wait for its place: nothing hangs, nothing did lately."""
        with self._lock:
            return self._patience(self._state(lane), self._limit) is not None

    def _patience(self, state: _State, taken: int) -> float | None:
        age = self._clock() - next(iter(state.flights.values())) if state.flights else 0.0
        return patience(taken, self._limit, age, self._grace, state.troubled)

    def _state(self, lane: Lane) -> _State:
        state = self._lanes.get(lane)
        if state is None:
            if len(self._lanes) >= _MAX_LANES:
                self._lanes = {k: s for k, s in self._lanes.items() if s.waiting or s.flights}
            state = self._lanes[lane] = _State()
        return state
