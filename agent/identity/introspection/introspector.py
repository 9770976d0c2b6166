"""Who is calling with an opaque token? Asked once for each token, believed for a short while."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from agent.errors import Denial, Reason
from agent.identity.cache import Cache
from agent.identity.introspection.answer import Active, Inactive, Outcome, Trouble
from agent.identity.introspection.health import Health, after_answer, after_trouble, pause
from agent.identity.issuers.entry import invalid
from agent.identity.issuers.introspection import IntrospectionIssuer
from agent.identity.principal import RawToken, Verified
from agent.moment import Moment, Waiting, nobody_else

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
_DENIED_FOR = 5.0  # seconds; a client that tries a bad token again and again costs one question
_MAX_DENIED = 10_000  # apart from the good ones, so that garbage pushes none of them out
_DENIED_COST = 512  # bytes of one of them
_AT_ONCE = 32  # questions under way
_MARGIN = 0.05  # seconds of the deadline that are left for deciding after a wait
_RANDOM = secrets.SystemRandom()


class Ask(Protocol):
    """Asks about one token; `agent.identity.introspection.endpoint` is one."""

    def __call__(self, token: RawToken) -> Outcome: ...

    def missing(self) -> str: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Held:
    """What was found out, and between which UTC seconds it is believed."""

    found: Verified | Denial
    since: float
    until: float


@dataclass(slots=True)
class _Flight:
    """One question, and those who wait for its answer."""

    token: RawToken = field(repr=False)
    digest: bytes
    waiters: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Verified | Denial | None = None


class Introspector:
    """The tokens of one endpoint. *clock* gives UTC seconds.

    Questions are asked by threads of their own, so whoever waits can give up at their deadline.
    *most_waiting*: how many Checks may wait at a time.
    """

    def __init__(
        self,
        entry: IntrospectionIssuer,
        ask: Ask,
        clock: Callable[[], float],
        *,
        max_tokens: int,
        most_waiting: int,
        waiting: Waiting = nobody_else,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.entry = entry
        self._ask = ask
        self._clock = clock
        self._chance = chance
        self._most_waiting = most_waiting
        self._waiting = waiting
        self._good: Cache[_Held] = Cache(max_tokens, MAX_BYTES)
        self._bad: Cache[_Held] = Cache(_MAX_DENIED, _MAX_DENIED * _DENIED_COST)
        self._lock = threading.Lock()
        self._flights: dict[bytes, _Flight] = {}
        self._queue: OrderedDict[bytes, _Flight] = OrderedDict()
        self._asking = 0
        self._waiters = 0
        self._health = Health()
        self._oddity = ""

    def held(self, digest: bytes, now: float) -> Verified | Denial | None:
        """What is known of a token and still believed; it costs a look and no question."""
        for cache in (self._good, self._bad):
            held = cache.get(digest)
            if held is not None and held.since <= now < held.until:
                return held.found
        return None

    def knows(self, digest: bytes) -> bool:
        """Whether this was a good token once: where ours must not go, it does not."""
        return self._good.get(digest) is not None

    def verify(self, token: RawToken, digest: bytes, moment: Moment) -> Verified | Denial:
        """Return who is calling with *token*, whose SHA-256 is *digest*; asks if need be.

        Blocks for less than `moment.deadline`.
        """
        with self._lock:
            if (found := self.held(digest, moment.now)) is not None:
                return found
            flight = self._flight(token, digest)
            if flight is None:
                return self._unavailable()
            flight.waiters += 1
            self._waiters += 1
        try:
            with self._waiting() as allowed:
                if allowed and flight.done.wait(max(0.0, moment.deadline - _MARGIN)):
                    return flight.outcome or self._unavailable()
            return self._unavailable()
        finally:
            with self._lock:
                flight.waiters -= 1
                self._waiters -= 1
                if not flight.waiters and self._queue.get(digest) is flight:
                    # Nobody waits for what was not yet asked.
                    del self._queue[digest], self._flights[digest]

    def missing(self) -> list[str]:
        """What keeps it from asking: one sentence, or none."""
        why = self._ask.missing()
        return [f"issuer '{self.entry.name}': {why}"] if why else []

    def status(self) -> dict[str, Any]:
        """What is known of the endpoint, for /status; in the form of a document's row."""
        health, now = self._health, self._clock()
        return {
            "name": self.entry.name,
            "kind": self.entry.kind.value,
            "part": "",
            "source": self.entry.url,
            "issuer": self.entry.issuer or None,
            "keys": [],
            "refused": [],
            "usable": not health.troubled,
            "absent": False,
            "ageSeconds": round(now - health.answered_at, 1) if health.answered_at else None,
            "nextSeconds": float(pause(health, now)),
            "failures": health.failures,
            "error": health.error or None,
            "tokens": len(self._good),
        }

    def stop(self) -> None:
        """Let go of idle connections. Who waits still gets an answer: a reload drops nobody."""
        self._ask.close()

    def _flight(self, token: RawToken, digest: bytes) -> _Flight | None:
        """The question about *token*, begun if nobody has; None if it must not wait. Locked."""
        if self._waiters >= self._most_waiting:
            return None  # an endpoint that hangs must not take all of the threads that decide
        flight = self._flights.get(digest)
        if flight is None:
            if pause(self._health, self._clock()):
                return None
            flight = self._flights[digest] = self._queue[digest] = _Flight(token, digest)
            if self._asking < (1 if self._health.troubled else _AT_ONCE):
                self._asking += 1
                threading.Thread(
                    target=self._work, name=f"introspect-{self.entry.name}", daemon=True
                ).start()
        return flight

    def _work(self) -> None:
        """Ask what is queued, until nothing is."""
        while True:
            with self._lock:
                over = self._asking > 1 and self._health.troubled
                if not self._queue or over:
                    self._asking -= 1
                    return
                _, flight = self._queue.popitem(last=False)
            try:
                outcome = self._ask(flight.token)
            except Exception:  # whatever broke: those who wait must hear of it
                log.exception("issuer '%s': asking about a token broke", self.entry.name)
                outcome = Trouble("asking broke; the log has the stack trace")
            self._settle(flight, outcome)

    def _settle(self, flight: _Flight, outcome: Outcome) -> None:
        now = self._clock()
        held = None if isinstance(outcome, Trouble) else self._judged(flight, outcome, now)
        with self._lock:
            before = self._health
            if isinstance(outcome, Trouble):
                after = after_trouble(before, outcome, now, self._chance())
            else:
                after = after_answer(before, now)
            self._health = after
            if held is not None:
                flight.outcome = held.found
            else:
                flight.outcome = self._unavailable()
            self._flights.pop(flight.digest, None)
            if after.troubled:
                self._give_up()
        self._report(before, after, outcome)
        flight.done.set()

    def _judged(self, flight: _Flight, outcome: Active | Inactive, now: float) -> _Held:
        """By our own rules, remembered; before the flight ends, so nobody asks twice."""
        brief = now + min(_DENIED_FOR, self.entry.cache)
        if isinstance(outcome, Active):
            made = self.entry.principal(MappingProxyType(dict(outcome.claims)), now)
            if not isinstance(made, Denial):
                principal, times = made
                verified = Verified(flight.token, flight.digest, principal, "", times.not_before)
                until = min(times.expires_at, now + self.entry.cache)
                held = _Held(verified, now - _DENIED_FOR, until)
                cost = 3 * len(flight.token) + 4 * outcome.size + 2048
                self._good.put(flight.digest, held, cost)
                self._bad.discard(flight.digest)
                return held
            denied = made
        else:
            denied = invalid("The token is not active.")
        # What was good once stays known as ours, but is not believed any more.
        old = self._good.get(flight.digest)
        if old is not None:
            self._good.put(flight.digest, _Held(old.found, 0.0, 0.0), 3 * len(flight.token) + 4096)
        held = _Held(denied, now - _DENIED_FOR, brief)
        self._bad.put(flight.digest, held, _DENIED_COST)
        return held

    def _give_up(self) -> None:
        """Answer those whose question was not asked yet. Locked."""
        for digest, flight in self._queue.items():
            flight.outcome = self._unavailable()
            flight.done.set()
            self._flights.pop(digest, None)
        self._queue.clear()

    def _unavailable(self) -> Denial:
        """Not the caller's fault, so no 401: a client would throw a good token away."""
        seconds = pause(self._health, self._clock())
        return Denial(
            Reason.ISSUER_UNAVAILABLE,
            "The server that issued the token does not answer about it; try again.",
            retry_after=max(1, seconds),
        )

    def _report(self, before: Health, after: Health, outcome: Outcome) -> None:
        """Say what changed, once: a trouble when it begins, and its end."""
        where = f"issuer '{self.entry.name}'"
        oddity = outcome.oddity if isinstance(outcome, Inactive) else ""
        if oddity and oddity != self._oddity:
            log.warning("%s: %s.", where, oddity)
        self._oddity = oddity
        if after.error and after.error != before.error:
            loud = isinstance(outcome, Trouble) and outcome.stop
            level = logging.ERROR if loud else logging.WARNING
            log.log(level, "%s: %s. Tokens that it has to explain get 503.", where, after.error)
        elif before.troubled and not after.troubled:
            log.info("%s: %s answers again.", where, self.entry.url)
