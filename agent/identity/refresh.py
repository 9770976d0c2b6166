"""Who fetches the issuers' documents, so that a stalled one delays no other (SECURITY.md 38)?"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

from agent.identity import sources
from agent.identity.issuers.document import Document, Loaded
from agent.identity.sources import FILE_PACE, URL_PACE, Fetch, Pace, State
from agent.identity.unusable import Unusable
from agent.moment import Waiting, nobody_else

log = logging.getLogger(__name__)

_GLANCE = 0.1  # seconds
_LONGEST_NAP = 1.0  # seconds; after it the clock is asked again, however far it jumped
_RANDOM = secrets.SystemRandom()
_SLOTS = 4  # fetches in flight for one issuer entry


class Source:
    """One document and what is known of it. It outlives a reload that does not change it.

    `state` is replaced as a whole and may be read without a lock.
    """

    def __init__(self, document: Document, owner: str, pace: Pace | None = None) -> None:
        self.document = document
        self.owner = owner
        self.pace = pace or (FILE_PACE if document.file else URL_PACE)
        self.state = State()
        self.ended = threading.Condition()
        self.busy = False  # a fetch is in flight
        self.wanted = False  # an unknown key id asked for one
        self.attempts = 0  # fetches that have ended
        self.waiting = 0  # Checks that wait for one

    def loaded(self, now: float) -> Loaded | None:
        """The keys, unless there are none or they are too old."""
        return sources.usable(self.state, now, self.pace)

    def issuer(self) -> str | None:
        """The issuer that the document names; None while nobody knows, empty if there is none."""
        state = self.state
        if state.loaded is None:
            return "" if sources.never(state, self.pace) else None
        return state.loaded.issuer


class Refresher:
    """Keeps *watched* fresh. One thread looks what is due; each fetch has a thread of its own.

    *most_waiting*: how many Checks may wait for one document at a time.
    """

    def __init__(
        self,
        watched: Collection[Source],
        fetch: Fetch,
        clock: Callable[[], float],
        *,
        chance: Callable[[], float] = _RANDOM.random,
        most_waiting: int = 16,
        waiting: Waiting = nobody_else,
    ) -> None:
        self._sources = tuple(watched)
        self._fetch = fetch
        self._clock = clock
        self._chance = chance
        self._most_waiting = most_waiting
        self._waiting = waiting
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._progress = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; everything that was never loaded is due at once."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="issuers", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the loop. Fetches in flight end by themselves, within the fetcher's time-outs."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wake(self) -> None:
        """Look now what is due."""
        self._wake.set()

    def wait(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Wait until *reached*, asked again after every fetch; False when *seconds* went by."""
        until = time.monotonic() + seconds
        with self._progress:
            while not reached():
                left = until - time.monotonic()
                if left <= 0:
                    return False
                # A source that a reload kept may be fetched by the other refresher: look again.
                self._progress.wait(min(left, _GLANCE))
        return True

    def ask(self, source: Source, seconds: float) -> bool:
        """Have *source* fetched because of an unknown key id, and wait for it.

        Those who ask at the same time share one fetch, and a background fetch in flight serves as
        well. True: the keys are as fresh as they get, look again. False: no answer in *seconds*.
        """
        if self._thread is None or self._vain(source):
            return True
        if source.waiting >= self._most_waiting:
            return False  # a stalled issuer must not take all of the threads that decide
        with self._waiting() as allowed, source.ended:
            if not (source.busy or source.wanted):
                now = self._clock()
                if not sources.may_ask(source.state, now, source.pace):
                    return True
                source.wanted = True  # first: see `_vain`
                source.state = replace(source.state, asked_at=now)
                self._wake.set()
            if not allowed or source.waiting >= self._most_waiting:
                return False
            before = source.attempts
            source.waiting += 1
            try:
                return source.ended.wait_for(
                    lambda: source.attempts > before, timeout=max(0.0, seconds)
                )
            finally:
                source.waiting -= 1

    def _vain(self, source: Source) -> bool:
        """Whether no fetch is in flight, and none may be asked for now.

        Without the lock, for which the thread that decides hits would queue behind everybody who
        waited. The order counts: who asks sets `wanted` before `asked_at`, who fetches sets `busy`
        before it takes `wanted` back, and `state` before it takes `busy` back.
        """
        return not (
            sources.may_ask(source.state, self._clock(), source.pace)
            or source.wanted
            or source.busy
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            now = self._clock()
            for source in self._ready(now):
                if source.document.file is not None:
                    self._attempt(source)  # a local file stalls nobody
                else:
                    name = f"issuer-{source.owner}"
                    threading.Thread(
                        target=self._attempt, args=(source,), name=name, daemon=True
                    ).start()
            self._wake.wait(self._nap(now))

    def _ready(self, now: float) -> list[Source]:
        """Mark as busy, and return, what is to be fetched now."""
        in_flight = Counter(source.owner for source in self._sources if source.busy)
        ready = []
        for source in self._sources:
            with source.ended:
                wanted = source.wanted or sources.due(source.state, now)
                if wanted and not source.busy and in_flight[source.owner] < _SLOTS:
                    source.busy, source.wanted = True, False
                    in_flight[source.owner] += 1
                    ready.append(source)
        return ready

    def _nap(self, now: float) -> float:
        # What is due and still idle waits for a slot, and a fetch that ends wakes us.
        ahead = [pause for each in self._sources if (pause := each.state.next_due - now) > 0]
        return min([_LONGEST_NAP, *ahead])

    def _attempt(self, source: Source) -> None:
        began = time.monotonic()
        try:
            outcome = sources.load(source.document, self._fetch)
        except Exception:  # whatever broke: this document must be tried again
            log.exception("issuer '%s': reading %s broke", source.owner, source.document.source)
            outcome = Unusable("reading it broke; the log has the stack trace")
        now, chance = self._clock(), self._chance()
        with source.ended:
            before = source.state
            if isinstance(outcome, Unusable):
                after = sources.failed(before, outcome, now, source.pace, chance)
            else:
                after = sources.succeeded(before, outcome, now, source.pace, chance)
            source.state = after
            source.busy = False
            source.attempts += 1
            source.ended.notify_all()
        _report(source, before, after, time.monotonic() - began, self._spare(source))
        self._wake.set()
        with self._progress:
            self._progress.notify_all()

    def _spare(self, source: Source) -> bool:
        """Whether the other document of the same tenant is there: External ID has no v1."""
        return any(
            other.state.loaded is not None
            for other in self._sources
            if (other.owner, other.document.group) == (source.owner, source.document.group)
            and other is not source
        )


def _report(source: Source, before: State, after: State, seconds: float, spare: bool) -> None:
    """Say what changed, once: a failure when it begins, its end, and new keys."""
    where = f"issuer '{source.owner}'"
    if after.absent_since is not None and spare and after.error != before.error:
        log.info(
            "%s: %s; tokens of that version are refused until it is there.", where, after.error
        )
    elif after.error and after.error != before.error:
        held = "the last good keys serve meanwhile" if after.loaded else "its tokens are refused"
        log.warning("%s: %s; %s, and we try again.", where, after.error, held)
    if after.generation != before.generation and after.loaded is not None:
        kids = ", ".join(sorted(after.loaded.keys.keys))
        log.info(
            "%s: keys %s loaded from %s in %.2f s.", where, kids, source.document.source, seconds
        )
        for sentence in after.loaded.keys.refused:
            log.warning("%s: %s.", where, sentence)
