"""What is in force, and what is said of it, as looks succeed and fail."""

from __future__ import annotations

import math

import pytest

from agent.identity.revocation.entry import Entry
from agent.identity.revocation.state import (
    CONFIRM,
    LOST_AFTER,
    SILENT_AFTER,
    Fresh,
    Look,
    Same,
    State,
    Trouble,
    after,
    in_force,
    lost,
    snapshot_due,
    standing,
)

ANN = Entry(subject="ann")
LIST = Fresh({"a": ANN, "ended": Entry(subject="x", until=5.0)}, version=3)


def told(*looks: tuple[float, Look]) -> State:
    state = State()
    for now, look in looks:
        state = after(state, look, now)
    return state


def test_nothing_that_fails_takes_a_list_away() -> None:
    state = told((10.0, LIST), (11.0, Same()), (12.0, Trouble("gone")), (13.0, Trouble("gone")))
    assert state.revocations is not None
    assert state.revocations.entries == (ANN,)
    assert (state.version, state.confirmed_at, state.changed_at) == (3, 11.0, 10.0)
    assert state.error == "gone"
    assert told((10.0, LIST), (12.0, Trouble("gone")), (13.0, Same())).error == ""


# looks → when, is the source lost?
LOST: list[tuple[tuple[tuple[float, Look], ...], float, bool]] = [
    ((), 0.0, True),
    (((10.0, LIST),), 10.0, False),
    (((10.0, LIST), (10.5, Trouble("t"))), 10.5, False),
    (((10.0, LIST), (10.5, Trouble("t"))), 10.0 + LOST_AFTER, True),
    (((10.0, LIST), (10.5, Trouble("t", lasting=True))), 10.5, True),
    (((10.0, LIST), (11.0, Trouble("t")), (12.5, Same())), 12.5, False),
    (((10.0, LIST),), 10.0 + SILENT_AFTER, True),
    (((10.0, LIST),), 5.0, False),  # the clock was set back
]


@pytest.mark.parametrize(("looks", "now", "is_lost"), LOST)
def test_a_source_is_lost_when_a_revocation_could_have_been_missed(
    looks: tuple[tuple[float, Look], ...], now: float, is_lost: bool
) -> None:
    assert lost(told(*looks), now) is is_lost


GONE = told((10.0, LIST), (11.0, Trouble("Redis is away")))

# state, now, maxAge, serve? → missing, degraded: words that must be in them
SAID: list[tuple[State, float, float | None, bool, str, str]] = [
    (State(), 0.0, None, True, "no list was read from S (it has not answered yet)", ""),
    (told((1.0, Trouble("no such file"))), 1.0, None, True, "(no such file)", ""),
    (told((10.0, LIST)), 10.0, None, False, "", ""),
    (GONE, 11.0, None, False, "", ""),
    (GONE, 13.0, None, True, "", "last known list of 1 entries holds"),
    (GONE, 13.0, None, False, "Redis is away", ""),
    (GONE, 40.0, 30.0, True, "has not confirmed its list for 30 s", ""),
    (GONE, 39.0, 30.0, True, "", "lost"),
    (told((10.0, Fresh({}, complaints=("one is bad",)))), 10.0, None, False, "", "one is bad"),
]


@pytest.mark.must(44)
@pytest.mark.parametrize(("state", "now", "max_age", "serve", "missing", "degraded"), SAID)
def test_readiness_says_what_is_wrong_with_the_list_by_the_configured_choice(
    state: State, now: float, max_age: float | None, serve: bool, missing: str, degraded: str
) -> None:
    said = standing(state, now, "S", max_age, serve)
    for sentences, words in ((said.missing, missing), (said.degraded, degraded)):
        assert bool(sentences) == bool(words)
        assert words in " ".join(sentences)
    assert in_force(state, now, max_age) is ("refused" not in " ".join(said.missing))


# state, generation saved, when that had been confirmed → save now?
SAVES: list[tuple[State, int, float, bool]] = [
    (State(), 0, -math.inf, False),
    (told((10.0, LIST)), 0, -math.inf, True),
    (told((10.0, LIST)), 1, 10.0, False),
    (told((10.0, LIST), (9.0 + CONFIRM, Same())), 1, 10.0, False),
    (told((10.0, LIST), (10.0 + CONFIRM, Same())), 1, 10.0, True),
    (told((10.0, LIST), (11.0, LIST)), 1, 10.0, True),
    (told((10.0, LIST), (5.0, Same())), 1, 10.0, True),  # the clock was set back
]


@pytest.mark.parametrize(("state", "generation", "saved_at", "due"), SAVES)
def test_a_snapshot_is_due_for_each_list_and_as_a_sign_of_life(
    state: State, generation: int, saved_at: float, due: bool
) -> None:
    assert snapshot_due(state, generation, saved_at) is due
