"""Is there a token already, or is somebody fetching it? One bounded cache, one flight for a key."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from math import ceil

from agent.credentials.bulkhead import Bulkhead, Lane
from agent.credentials.shelf import Shelf
from agent.credentials.token import OVERHEAD, CacheKey, Token, next_attempt, remembered
from agent.errors import Denial, Reason
from agent.moment import Moment, Waiting, nobody_else

log = logging.getLogger("attache.credentials")

Fetch = Callable[[], Token | Denial]
_REFUSALS = 4096  # remembered apart, so that refusals never push out tokens
_QUEUED = 2048  # requests that wait for a place: a burst of users, not a flood


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denial that stands until a time (UTC seconds)."""

    denial: Denial
    until: float

    def at(self, now: float) -> Denial:
        """The denial, with the rest of its Retry-After."""
        if self.denial.retry_after is None:
            return self.denial
        return replace(self.denial, retry_after=max(1, ceil(self.until - now)))


@dataclass(slots=True, eq=False)
class Flight:
    """One request to the server, and those who wait for it."""

    landed: threading.Event = field(default_factory=threading.Event)
    result: Token | Denial | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a flight needs to begin."""

    key: CacheKey
    flight: Flight
    fetch: Fetch
    lane: Lane


class TokenCache:
    """Tokens by key; misses on one key share one flight (SECURITY.md 27, 41, 42).

    Flights run on *executor*, never on the thread that asks: a name lookup that hangs cannot hold
    a Check beyond its deadline (SECURITY.md 39). *clock* returns UTC seconds, *random* [0, 1).
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        executor: Executor,
        bulkhead: Bulkhead,
        waiting: Waiting = nobody_else,
        entries: int = 10_000,
        size: int = 64 * 1024 * 1024,
    ) -> None:
        self._clock = clock
        self._random = random
        self._executor = executor
        self._bulkhead = bulkhead
        self._waiting = waiting
        self._lock = threading.Lock()
        self._tokens: Shelf[CacheKey, Token] = Shelf(entries, size)
        self._refusals: Shelf[CacheKey, Refusal] = Shelf(_REFUSALS, _REFUSALS * OVERHEAD)
        self._flights: dict[CacheKey, Flight] = {}
        self._starting = threading.Lock()
        self._queue: deque[Start] = deque()

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def held(self) -> int:
        """Bytes that the tokens take, about."""
        return self._tokens.held

    def get_or_fetch(
        self, key: CacheKey, moment: Moment, fetch: Fetch, lane: Lane = ("", "")
    ) -> Token | Denial:
        """The token under *key*, fetched if there is none; a hit takes one short lock.

        Past its `refresh_at` a valid token is returned at once and renewed in the background.
        Waits for at most `moment.deadline` seconds, then the answer is a denial.
        """
        now = moment.now
        mine: Flight | None = None
        with self._lock:
            token = self._tokens.get(key)
            valid = token is not None and now < token.expires_at
            if token is not None and valid and now < token.refresh_at:
                return token
            refusal = None if valid else self._refusals.get(key)
            if refusal is not None and now < refusal.until:
                return refusal.at(now)
            flight = self._flights.get(key)
            if flight is None and (valid or moment.deadline > 0):
                flight = mine = self._flights[key] = Flight()
        if mine is not None:
            self._launch(key, mine, fetch, lane)
        if token is not None and valid:
            return token
        return self._wait(flight, moment.deadline, lane) if flight is not None else _too_late()

    def fresh(self, key: CacheKey, now: float) -> Token | None:
        """The token under *key* if it is not due for renewal: the short way of a hit."""
        with self._lock:
            token = self._tokens.get(key)
        return (
            token if token is not None and now < min(token.refresh_at, token.expires_at) else None
        )

    def in_hand(self, key: CacheKey, now: float) -> Token | None:
        """The token under *key* while it is valid, also where it is due for renewal."""
        with self._lock:
            token = self._tokens.get(key)
        return token if token is not None and now < token.expires_at else None

    def renew(
        self,
        key: CacheKey,
        now: float,
        fetch: Fetch,
        lane: Lane = ("", ""),
        cold: bool = False,
    ) -> bool:
        """Renew the token under *key* in the background if that is due; return whether it began.

        *cold*: it is wanted also where there was none yet. A refusal that stands is honoured.
        """
        with self._lock:
            token = self._tokens.get(key)
            if (token is None and not cold) or (token is not None and now < token.refresh_at):
                return False
            refusal = self._refusals.get(key) if token is None or now >= token.expires_at else None
            if key in self._flights or (refusal is not None and now < refusal.until):
                return False
            flight = self._flights[key] = Flight()
        self._launch(key, flight, fetch, lane)
        return True

    def _wait(self, flight: Flight, deadline: float, lane: Lane) -> Token | Denial:
        if not flight.landed.is_set():
            allowed = self._bulkhead.enter(lane)
            if allowed is None:
                return _busy()
            try:
                with self._waiting() as may:
                    landed = may and flight.landed.wait(min(allowed, max(deadline, 0.0)))
            finally:
                self._bulkhead.leave(lane)
            if not landed:
                return _too_late() if deadline <= allowed else _busy()
        if flight.result is None:
            raise RuntimeError("a flight landed without a result")
        return flight.result

    def _launch(self, key: CacheKey, flight: Flight, fetch: Fetch, lane: Lane) -> None:
        start = Start(key, flight, fetch, lane)
        with self._starting:
            full = len(self._queue) >= _QUEUED
            if not full:
                self._queue.append(start)
        if full:
            self._land(key, flight, _busy())
        else:
            self._next()

    def _next(self) -> None:
        """Begin what finds a place now; the rest waits, unless its server turned out slow."""
        begun: list[tuple[Start, int]] = []
        refused: list[Start] = []
        with self._starting:
            waits: deque[Start] = deque()
            full: set[Lane] = set()
            for start in self._queue:
                place = None if start.lane in full else self._bulkhead.begin(start.lane)
                if place is not None:
                    begun.append((start, place))
                elif start.lane in full or self._bulkhead.well(start.lane):
                    full.add(start.lane)
                    waits.append(start)
                else:
                    refused.append(start)
            self._queue = waits
        for start, place in begun:
            if not self._begin(start, place):
                refused.append(start)
        for start in refused:
            self._land(start.key, start.flight, _busy())

    def _begin(self, start: Start, place: int) -> bool:
        try:
            self._executor.submit(self._fly, start, place)
        except RuntimeError:  # the executor is shut down: the agent stops
            self._bulkhead.end(start.lane, place, answered=False)
            return False
        return True

    def _fly(self, start: Start, place: int) -> None:
        result: Token | Denial = Denial(
            Reason.INTERNAL_ERROR, "the credential for this destination could not be obtained"
        )
        try:
            result = start.fetch()
        except Exception:
            log.exception("a token could not be fetched. This is a bug: report it")
        finally:
            lost = isinstance(result, Denial) and result.reason is Reason.ISSUER_UNAVAILABLE
            self._bulkhead.end(start.lane, place, answered=not lost)
            self._land(start.key, start.flight, result)
            self._next()

    def _land(self, key: CacheKey, flight: Flight, result: Token | Denial) -> None:
        now, random = self._clock(), self._random()
        with self._lock:
            if isinstance(result, Token):
                self._tokens.put(key, result, result.size)
                self._refusals.drop(key)
            else:
                self._refused(key, result, now, random)
            self._flights.pop(key, None)
            flight.result = result
        flight.landed.set()

    def _refused(self, key: CacheKey, denial: Denial, now: float, random: float) -> None:
        token = self._tokens.get(key)
        if token is not None and now < token.expires_at:
            # SECURITY.md 38: what is in hand serves until it expires
            later = next_attempt(now, token.expires_at, denial.retry_after, random)
            self._tokens.put(key, replace(token, refresh_at=later), token.size)
            return
        seconds = remembered(denial.reason, denial.retry_after)
        if seconds and denial is not _BUSY:
            self._refusals.put(key, Refusal(denial, now + seconds), OVERHEAD)


_BUSY = Denial(
    Reason.ISSUER_UNAVAILABLE,
    "the authorization server for this destination answers slowly; try again",
    retry_after=1,
)


def _busy() -> Denial:
    return _BUSY


def _too_late() -> Denial:
    return Denial(Reason.DEADLINE, "the credential for this destination was not obtained in time")
