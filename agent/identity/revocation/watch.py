"""Is this token revoked, by what we know now? One thread watches the list's source."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from agent.config.revocation import Revocation
from agent.errors import Denial, Reason
from agent.identity.principal import Principal, Verified
from agent.identity.revocation.entry import Entry, rfc3339
from agent.identity.revocation.snapshot import Remembered, Snapshot
from agent.identity.revocation.state import (
    Fresh,
    Look,
    Standing,
    State,
    after,
    in_force,
    lost,
    snapshot_due,
    standing,
)
from agent.identity.unusable import Unusable

log = logging.getLogger(__name__)

Clock = Callable[[], float]

REVOKED = Denial(Reason.REVOKED, "The token was revoked; sign in again.")
UNKNOWN = Denial(
    Reason.ISSUER_UNAVAILABLE,
    "The list of revoked tokens is not available; try again.",
    retry_after=2,
)


class Source(Protocol):
    """Where the list comes from. Only the watch's thread looks."""

    name: str
    interval: float

    def look(self, ticks: float) -> Look: ...
    def resume(self, by_id: Any, version: int) -> None: ...
    def close(self) -> None: ...


class RevocationWatch:
    """The list of one configuration, as fresh as its source allows.

    *clock* gives UTC seconds, *ticks* seconds of a monotonic clock. *on_hit* hears the kind of
    each entry by which a token was refused.
    """

    def __init__(
        self,
        rules: Revocation,
        source: Source,
        snapshot: Snapshot | None,
        clock: Clock,
        ticks: Clock,
        on_hit: Callable[[str], None],
    ) -> None:
        self.rules = rules
        self._source = source
        self._snapshot = snapshot
        self._clock = clock
        self._ticks = ticks
        self._on_hit = on_hit
        self._state = State()
        self._good_until = -math.inf
        self._saved = (0, -math.inf)  # the generation, and when that was confirmed
        self._snapshot_error = ""
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def denial(self, verified: Verified, now: float) -> Denial | None:
        """Why the token behind *verified* is refused at *now* (UTC seconds); None if it is not.

        Asked on every request: no lock, and no more than a comparison while nothing is revoked.
        """
        return self.refusal(verified.principal, now)

    def refusal(self, principal: Principal, now: float) -> Denial | None:
        """Why a token or a session of *principal* is refused at *now*; see `denial`."""
        known = self._state.revocations
        if known is None or now >= self._good_until:
            return UNKNOWN
        entry = known.find(principal, now)
        if entry is None:
            return None
        self._on_hit(entry.kind)
        return REVOKED

    def inherit(self, previous: RevocationWatch) -> None:
        """Begin with the list that *previous* knows: a new source's silence admits nobody again."""
        state = previous._state
        if state.revocations is None:
            return
        if previous._source.name == self._source.name:
            self._source.resume(state.by_id, state.version)
        self._take(replace(state, error="", lasting=False, heard=False))

    def start(self) -> None:
        """Begin to watch; the snapshot is read before anything else."""
        if self._thread is not None:
            return
        if self._state.revocations is None:
            self._recall()
        self._thread = threading.Thread(target=self._run, name="revocation", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; what is known stays."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._source.close()

    def wait_looked(self, seconds: float) -> bool:
        """Wait for the first look, with whatever result; False after *seconds*."""
        return self._looked.wait(seconds)

    def tick(self) -> None:
        """Look once, take over what is new, keep it."""
        look = self._source.look(self._ticks())
        now = self._clock()
        before = self._state
        self._take(after(before, look, now))
        self._report(before, self._state, isinstance(look, Fresh))
        self._looked.set()
        self._keep(now)

    def standing(self) -> Standing:
        """What /readyz says."""
        said = standing(
            self._state,
            self._clock(),
            self._source.name,
            self.rules.max_age,
            self.rules.on_loss == "serve",
        )
        if self._snapshot_error:
            said = replace(said, degraded=(*said.degraded, self._snapshot_error))
        return said

    @property
    def known(self) -> bool:
        """Whether there is a list by which tokens may be admitted now."""
        return in_force(self._state, self._clock(), self.rules.max_age)

    def status(self) -> dict[str, Any]:
        """What is known of the list, for /status; nothing in it is secret."""
        state, now = self._state, self._clock()
        known = state.revocations is not None
        return {
            "source": self._source.name,
            "up": self.up,
            "entries": len(state.revocations or ()) if known else None,
            "ageSeconds": self.age,
            "changedSeconds": round(now - state.changed_at, 1) if known else None,
            "fromSnapshot": known and not state.heard,
            "onLoss": self.rules.on_loss,
            "snapshot": str(self._snapshot.path) if self._snapshot else None,
            "error": state.error or None,
            "warnings": [*state.complaints, *([self._snapshot_error] * bool(self._snapshot_error))],
        }

    @property
    def entries(self) -> int:
        """How many entries are in force."""
        return len(self._state.revocations or ())

    @property
    def age(self) -> float | None:
        """Seconds since the source last confirmed the list; None where there is none."""
        if self._state.revocations is None:
            return None
        return round(max(0.0, self._clock() - self._state.confirmed_at), 3)

    @property
    def up(self) -> bool:
        """Whether the source answers."""
        return self._state.heard and not lost(self._state, self._clock())

    def _take(self, state: State) -> None:
        age = self.rules.max_age
        self._state = state
        self._good_until = math.inf if age is None else state.confirmed_at + age

    def _recall(self) -> None:
        if self._snapshot is None:
            return
        kept = self._snapshot.load()
        if isinstance(kept, Unusable):
            log.info("revocation: there is no last known list: %s", kept.sentence)
            return
        if kept.source != self._source.name:
            log.warning(
                "revocation: the snapshot %s is of %s, and is not used for %s",
                self._snapshot.path, kept.source, self._source.name,
            )  # fmt: skip
            return
        self._source.resume(kept.by_id, kept.version)
        recalled = after(State(), Fresh(kept.by_id, kept.version), kept.confirmed_at)
        self._take(replace(recalled, heard=False))
        self._saved = (recalled.generation, recalled.confirmed_at)
        log.info(
            "revocation: %d entries from the snapshot %s hold until %s answers",
            self.entries, self._snapshot.path, self._source.name,
        )  # fmt: skip

    def _keep(self, now: float) -> None:
        state = self._state
        if self._snapshot is None or not state.heard:
            return
        if not snapshot_due(state, *self._saved):
            return
        # Tried once for each list and minute, whether it succeeds or not.
        self._saved = (state.generation, state.confirmed_at)
        live = {name: entry for name, entry in state.by_id.items() if not entry.over(now)}
        try:
            self._snapshot.save(
                Remembered(self._source.name, live, state.version, state.confirmed_at)
            )
        except OSError as why:
            error = (
                f"revocation: the snapshot {self._snapshot.path} cannot be written "
                f"({why.strerror}); make its folder writable"
            )
            if error != self._snapshot_error:
                log.error("%s", error)  # noqa: TRY400
            self._snapshot_error = error
        else:
            self._snapshot_error = ""

    def _report(self, before: State, state: State, fresh: bool) -> None:
        """Say what changed, once."""
        if state.error and state.error != before.error:
            held = (
                f"the last known list of {self.entries} entries holds"
                if state.revocations is not None
                else "no list is known, and requests with a token are refused"
            )
            log.error("revocation: %s. Meanwhile %s", state.error, held)
        if before.error and not state.error:
            log.warning("revocation: %s answers again", self._source.name)
        for complaint in state.complaints:
            if complaint not in before.complaints:
                log.error("revocation: %s", complaint)
        if fresh and (not before.heard or state.by_id != before.by_id):
            log.info("revocation: %d entries from %s apply", self.entries, self._source.name)
            _warn_of_cuts(before, state)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tick()
            except Exception:  # whatever broke: the list must be looked at again
                log.exception("revocation: looking at %s broke", self._source.name)
                self._looked.set()
            self._stopping.wait(self._source.interval)


def _warn_of_cuts(before: State, state: State) -> None:
    for entry in _cuts(state) - _cuts(before):
        log.warning(
            "revocation: EVERY token issued before %s is revoked (an entry without a selector)",
            entry,
        )


def _cuts(state: State) -> set[str]:
    entries: tuple[Entry, ...] = state.revocations.entries if state.revocations else ()
    return {
        rfc3339(entry.issued_before)
        for entry in entries
        if entry.cuts_everybody and entry.issued_before is not None
    }
