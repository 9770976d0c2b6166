"""Which of our keys signs, and which are published? Rotation as a pure rule (SECURITY.md 33)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RingKey:
    """One signing key. `since`: published since then; `removed`: its file is gone since then.

    Times are UTC seconds. Keys made by `attache keys new` carry the time in their name, so that
    the name settles the order where a volume gives all files one time, as Kubernetes does.
    """

    kid: str
    name: str
    since: float
    removed: float | None = None


Ring = tuple[RingKey, ...]


def signer(ring: Ring, now: float, publish_delay: float) -> RingKey | None:
    """The key that signs at *now*: the newest that verifiers had time to learn about.

    If none is old enough the oldest signs, for somebody must, and it is the best known one.
    """
    present = [key for key in ring if key.removed is None]
    if len(present) <= 1:
        return present[0] if present else None
    present.sort(key=lambda key: (key.since, key.name))
    old_enough = [key for key in present if key.since + publish_delay <= now]
    return old_enough[-1] if old_enough else present[0]


def published(ring: Ring, now: float, lifetime: float, skew: float) -> Ring:
    """The keys to show at *now*: all present, and removed ones while a token of theirs may live."""
    return tuple(key for key in ring if key.removed is None or now < key.removed + lifetime + skew)


def merge(ring: Ring, found: Mapping[str, tuple[str, float]], now: float) -> Ring:
    """What is known after a look at the files: *found* is kid → (file name, its time).

    A key counts as published from when it was first seen; at the first look the file's time is
    believed, later it is not (a file may be moved in with an old time, and a mounted Secret gives
    all its files a new one). If nothing is found the ring stays as it is: never zero keys.
    """
    if not found:
        return ring
    first = not ring
    known = {key.kid: key for key in ring}
    merged = []
    for kid, key in known.items():
        if kid in found:
            merged.append(replace(key, name=found[kid][0], removed=None))
        else:
            merged.append(key if key.removed is not None else replace(key, removed=now))
    for kid, (name, time) in found.items():
        if kid not in known:
            merged.append(RingKey(kid, name, min(time, now) if first else now))
    return tuple(merged)
