"""How does each destination's credential fare? What /status shows, and what the log says, once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.credentials.shelf import Shelf
from agent.credentials.verdict import Verdict
from agent.errors import Reason

log = logging.getLogger("attache.credentials")

QUIET = 60.0  # seconds in which the same sentence is not repeated
_SENTENCES = 512


@dataclass(slots=True)
class _Entry:
    last_error: str = ""
    last_reason: Reason | None = None
    failed_at: float | None = None
    succeeded_at: float | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One destination's standing. Times are UTC seconds; `expires_at` is its latest token's."""

    destination: str
    last_error: str
    reason: str
    failed_at: float | None
    succeeded_at: float | None
    expires_at: float | None


class Ledger:
    """Notes successes and failures, bounded by the number of destinations."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._said: Shelf[str, float] = Shelf(_SENTENCES, _SENTENCES)

    def succeeded(self, destination: str, expires_at: float | None) -> None:
        """A token was obtained; a failure before it is over, and its return is news.

        *expires_at* is None for what has no end of its own.
        """
        with self._lock:
            entry = self._entries.setdefault(destination, _Entry())
            if entry.last_error:
                self._said.drop(entry.last_error)
            entry.last_error, entry.last_reason = "", None
            entry.succeeded_at, entry.expires_at = self._clock(), expires_at

    def failed(self, destination: str, verdict: Verdict) -> None:
        """A token was refused. The sentence is logged unless it was within the last minute."""
        now = self._clock()
        with self._lock:
            entry = self._entries.setdefault(destination, _Entry())
            if verdict.level >= logging.WARNING:  # one user's trouble is not the destination's
                entry.last_error, entry.last_reason = verdict.sentence, verdict.denial.reason
                entry.failed_at = now
        self._say(verdict.level, verdict.sentence, now)

    def remarked(self, sentence: str) -> None:
        """A token was obtained that will hardly serve; said once a minute at most."""
        self._say(logging.WARNING, sentence, self._clock())

    def _say(self, level: int, sentence: str, now: float) -> None:
        with self._lock:
            said = self._said.get(sentence)
            fresh = said is None or now - said >= QUIET
            if fresh:
                self._said.put(sentence, now, 1)
        if fresh:
            log.log(level, "%s", sentence)

    def row(self, destination: str) -> Row:
        """The standing of one destination."""
        with self._lock:
            entry = self._entries.get(destination, _Entry())
            return Row(
                destination,
                entry.last_error,
                entry.last_reason or "",
                entry.failed_at,
                entry.succeeded_at,
                entry.expires_at,
            )
