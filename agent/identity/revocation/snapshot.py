"""Which list was known last, before this process? A file of our own, for a start without Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.atomic_file import replace_file
from agent.identity.revocation.entry import Entry, read_entry, time_of, written
from agent.identity.strict_json import NotStrict, strict_object
from agent.identity.unusable import Unusable

MAX_BYTES = 16 * 1024 * 1024  # a list of 4 MiB, its names and our spelling of it

Read = Callable[[Path], bytes | Unusable]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A list as it was last confirmed, at UTC seconds `confirmed_at`, by the source `source`."""

    source: str
    by_id: Mapping[str, Entry]
    version: int
    confirmed_at: float


class Snapshot:
    """The last known list in a file of mode 0600, replaced as a whole."""

    def __init__(self, path: Path, read: Read) -> None:
        self.path = path
        self._read = read

    def load(self) -> Remembered | Unusable:
        """What was kept, or why nothing usable was."""
        content = self._read(self.path)
        if isinstance(content, Unusable):
            return content
        try:
            said = strict_object(content)
        except NotStrict as why:
            return Unusable(f"{self.path} is no snapshot: {why}")
        source, listed = said.get("source"), said.get("entries")
        version, confirmed_at = said.get("version"), time_of(said.get("confirmedAt"))
        if (
            not isinstance(source, str)
            or not isinstance(listed, dict)
            or not isinstance(version, int)
            or confirmed_at is None
        ):
            return Unusable(f"{self.path} is no snapshot: its form is another one")
        by_id = {name: read_entry(value) for name, value in listed.items()}
        entries = {name: entry for name, entry in by_id.items() if isinstance(entry, Entry)}
        if len(entries) < len(by_id):
            return Unusable(f"{self.path} is no snapshot: an entry of it cannot be read")
        return Remembered(source, entries, version, confirmed_at)

    def save(self, remembered: Remembered) -> None:
        """Keep *remembered*; `OSError` where that fails."""
        document = {
            "source": remembered.source,
            "confirmedAt": remembered.confirmed_at,
            "version": remembered.version,
            "entries": {name: written(entry) for name, entry in remembered.by_id.items()},
        }
        replace_file(self.path, json.dumps(document, separators=(",", ":")).encode() + b"\n")
