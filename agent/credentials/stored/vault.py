"""What does a store hold, in words? A store and its seal, as the steps of a rotation see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from agent.credentials.stored.record import Attempt, NotARecord, Record, read, written
from agent.credentials.stored.seal import Seal, Unsealable
from agent.credentials.stored.steps import Moved, Seen, Swapped, Trouble
from agent.credentials.stored.store import NotUsable, Store

_TRIES = 10


class Vault:
    """One token's record. *clock* gives UTC seconds, *ticks* seconds that never jump.

    Not for several threads at once: its owner brings the lock.
    """

    def __init__(
        self,
        store: Store,
        seal: Seal,
        clock: Callable[[], float],
        ticks: Callable[[], float],
    ) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._ticks = ticks
        self._known: tuple[str, bytes | None] = ("", None)
        self._watched: tuple[Attempt | None, float] = (None, 0.0)

    @property
    def name(self) -> str:
        """What the log calls the store."""
        return self._store.name

    def look(self, nonce: str) -> Seen | Trouble:
        """What is stored. An attempt that is not *nonce*'s is watched: does its writer live?"""
        try:
            content = self._store.read()
            record = None if content is None else read(self._seal.opened(content))
            attempt = record.attempt if record else None
            orphaned = False
            if attempt is not None and attempt.nonce != nonce:
                orphaned = self._store.abandoned(attempt.nonce)
        except (NotUsable, Unsealable) as why:
            return Trouble(str(why))
        except NotARecord as why:
            return Trouble(
                f"what {self.name} holds cannot be read: {why}; restore it, or 'attache login'"
            )
        if attempt != self._watched[0]:
            self._watched = (attempt, self._ticks())
        version = _version(content)
        self._known = (version, content)
        watched = self._ticks() - self._watched[1]
        return Seen(record, version, self._clock(), watched, orphaned)

    def swap(self, version: str, record: Record) -> Swapped | Moved | Trouble:
        """Put *record* in the place of what has *version*, which was the last one seen."""
        if version != self._known[0]:
            return Moved()
        try:
            if record.attempt:
                self._store.claim(record.attempt.nonce)
            content = self._seal.closed(written(record))
            if not self._store.swap(self._known[1], content, record.attempt is not None):
                return Moved()
        except (NotUsable, Unsealable) as why:
            return Trouble(str(why))
        self._known = (_version(content), content)
        return Swapped(self._known[0])

    def replace(self, record: Record) -> Swapped | Trouble:
        """Put *record* in the place of whatever is there: a login. Adopted tokens stay known."""
        for _ in range(_TRIES):
            try:
                former = self._store.read()
                fresh = replace(record, seeds=record.seeds or self._seeds(former))
                content = self._seal.closed(written(fresh))
                if self._store.swap(former, content):
                    self._known = (_version(content), content)
                    return Swapped(self._known[0])
            except (NotUsable, Unsealable) as why:
                return Trouble(str(why))
        return Trouble(f"{self.name} is changed by others all the time; try again")

    def _seeds(self, content: bytes | None) -> tuple[str, ...]:
        try:
            return () if content is None else read(self._seal.opened(content)).seeds
        except (NotARecord, Unsealable):
            return ()

    def release(self) -> None:
        """Nothing of ours is under way any more."""
        self._store.release()

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()


def _version(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()
