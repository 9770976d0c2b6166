"""What list is in force, how surely, and what is said of it? Pure: times are UTC seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.identity.revocation.compiled import Revocations
from agent.identity.revocation.entry import Entry

LOST_AFTER = 2.0  # what a revocation may take: after that nobody can say that none was missed
SILENT_AFTER = 10.0  # a look that neither succeeds nor fails: a name look-up that hangs
CONFIRM = 60.0  # how often the snapshot learns that the list still holds


@dataclass(frozen=True, slots=True)
class Fresh:
    """A source's whole list. `complaints` are sentences about parts that do not apply.

    `by_id` and `version` are what the source itself has to know again after a restart.
    """

    by_id: Mapping[str, Entry]
    version: int = 0
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Same:
    """The source answered: its list is the one that it gave last."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """There is no list to be had. `lasting`: it will not pass by itself, so it is said at once."""

    sentence: str
    lasting: bool = False


Look = Fresh | Same | Trouble


@dataclass(frozen=True, slots=True)
class State:
    """What is known. `revocations` is None while no list was ever read.

    `confirmed_at`: when the source last said that this is its list; `changed_at`: when it last
    gave another one. `generation` counts the lists.
    """

    revocations: Revocations | None = None
    by_id: Mapping[str, Entry] = field(default_factory=dict)
    version: int = 0
    generation: int = 0
    confirmed_at: float = -math.inf
    changed_at: float = -math.inf
    complaints: tuple[str, ...] = ()
    error: str = ""
    lasting: bool = False
    heard: bool = False


def after(state: State, look: Look, now: float) -> State:
    """What is known after a look at the source. Nothing that fails takes a list away."""
    if isinstance(look, Trouble):
        return replace(state, error=look.sentence, lasting=look.lasting)
    if isinstance(look, Same):
        return replace(state, confirmed_at=now, error="", lasting=False)
    return State(
        revocations=Revocations(entry for entry in look.by_id.values() if not entry.over(now)),
        by_id=look.by_id,
        version=look.version,
        generation=state.generation + 1,
        confirmed_at=now,
        changed_at=now,
        complaints=look.complaints,
        heard=True,
    )


def lost(state: State, now: float) -> bool:
    """Whether the source is lost: what it revokes now, nobody here knows."""
    if state.error and state.lasting:
        return True
    # A clock that was set back makes the last answer no older.
    return now - state.confirmed_at >= (LOST_AFTER if state.error else SILENT_AFTER)


def in_force(state: State, now: float, max_age: float | None) -> bool:
    """Whether there is a list by which tokens may be admitted."""
    if state.revocations is None:
        return False
    return max_age is None or now - state.confirmed_at < max_age


@dataclass(frozen=True, slots=True)
class Standing:
    """What /readyz says: what keeps the agent from being ready, and what does not."""

    missing: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


def standing(
    state: State, now: float, source: str, max_age: float | None, serve_on_loss: bool
) -> Standing:
    """What the operator has to know of the list at *now*."""
    why = state.error or "it has not answered yet"
    if not in_force(state, now, max_age):
        if state.revocations is None:
            sentence = f"revocation: no list was read from {source} ({why})"
        else:
            age = round(now - state.confirmed_at)
            sentence = f"revocation: {source} has not confirmed its list for {age} s ({why})"
        return Standing(missing=(f"{sentence}; requests with a token are refused",))
    said = tuple(f"revocation: {complaint}" for complaint in state.complaints)
    if not lost(state, now):
        return Standing(degraded=said)
    size = len(state.revocations or ())
    sentence = f"revocation: {source} is lost ({why}); the last known list of {size} entries holds"
    if serve_on_loss:
        return Standing(degraded=(sentence, *said))
    return Standing(missing=(sentence,), degraded=said)


def snapshot_due(state: State, saved_generation: int, saved_at: float) -> bool:
    """Whether the snapshot has to be written: at each new list, and now and then as a sign of
    life, for its age is what `maxAge` counts after a restart. *saved_at*: when the list that was
    saved had been confirmed.
    """
    if state.revocations is None:
        return False
    if state.generation != saved_generation:
        return True
    return state.confirmed_at - saved_at >= CONFIRM or state.confirmed_at < saved_at
