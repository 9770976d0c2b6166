"""A source came back with less than it had: was that meant? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.identity.revocation.entry import Entry


@dataclass(frozen=True, slots=True)
class Held:
    """What Redis said last, and what of before is held on to.

    `kept` are entries that were gone after an interruption and whose removal nobody has seen: a
    Redis that lost its memory must not let everybody in again.
    """

    found: Mapping[str, Entry] = field(default_factory=dict)
    version: int = 0
    kept: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Entry]:
        """Every entry that applies."""
        return {**self.found, **self.kept}


def reconciled(
    held: Held, found: Mapping[str, Entry], version: int, *, watched: bool, now: float
) -> Held:
    """What is held after a look that gave *found* and *version*.

    A removal is believed if we *watched* (the connection has not broken since the last look), or
    if the version has moved on, for then somebody changed the list on purpose. Otherwise what is
    gone is kept until it ends or comes back; from then on its removal is watched.
    """
    before = dict(held.kept)
    if not watched and version <= held.version:
        before |= held.found
    kept = {name: e for name, e in before.items() if name not in found and not e.over(now)}
    return Held(found, version, kept)
