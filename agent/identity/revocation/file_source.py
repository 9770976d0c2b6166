"""What is revoked by the file? Looked at four times a second, read when it has settled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.identity.revocation.entry import Entry
from agent.identity.revocation.listing import NotAList, read_list
from agent.identity.revocation.state import Fresh, Look, Same, Trouble
from agent.identity.unusable import Unusable

INTERVAL = 0.25  # seconds between two looks
SETTLE = 0.4  # seconds that a content must stand still: nobody can tell a half-written file
RESTLESS = 1.0  # seconds after which a file that never stands still is read as it is

Read = Callable[[Path], bytes | Unusable]
"""Gives a file's bytes, at most so many; `agent.identity.fetch.Fetcher` is one."""


@dataclass(frozen=True, slots=True)
class Settling:
    """Fingerprints: last acted on, and found since when. `uneasy_since`: when they last parted.

    Times are seconds of a monotonic clock. A fingerprint is of the content: a ConfigMap's swap, a
    rename and a rewrite look alike.
    """

    acted: str = ""
    found: str = ""
    since: float = 0.0
    uneasy_since: float = 0.0


def due(known: Settling, found: str, now: float) -> tuple[Settling, bool]:
    """Return what is known at *now*, and whether to act on *found*: the first one at once."""
    at_rest = Settling(found, found, now, now)
    if found == known.acted:
        return at_rest, False
    if not known.acted:
        return at_rest, True
    uneasy_since = now if known.found == known.acted else known.uneasy_since
    since = known.since if found == known.found else now
    if now - since >= SETTLE or now - uneasy_since >= RESTLESS:
        return at_rest, True
    return Settling(known.acted, found, since, uneasy_since), False


class FileSource:
    """A list in a file that somebody else writes: a mounted ConfigMap, or `attache revocations`."""

    interval = INTERVAL

    def __init__(self, path: Path, read: Read) -> None:
        self.name = f"file {path}"
        self._path = path
        self._read = read
        self._known = Settling()
        self._trouble: Trouble | None = None

    def resume(self, by_id: Mapping[str, Entry], version: int) -> None:
        """Nothing to take up: the file says everything."""

    def close(self) -> None:
        """Nothing is held."""

    def look(self, ticks: float) -> Look:
        """Look once; *ticks* is in seconds of a monotonic clock."""
        content = self._read(self._path)
        if isinstance(content, Unusable):
            found = content.sentence
        else:
            found = hashlib.sha256(content).hexdigest()
        self._known, act = due(self._known, found, ticks)
        if not act:
            return self._trouble or Same()
        result = self._list(content)
        self._trouble = result if isinstance(result, Trouble) else None
        return result

    def _list(self, content: bytes | Unusable) -> Fresh | Trouble:
        if isinstance(content, Unusable):
            return Trouble(f"{content.sentence}; write it, [] for an empty list", lasting=True)
        try:
            entries = read_list(content, str(self._path))
        except NotAList as refused:
            return Trouble(str(refused).rstrip("."), lasting=True)
        return Fresh({str(index): entry for index, entry in enumerate(entries)})
