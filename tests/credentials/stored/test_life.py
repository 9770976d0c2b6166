"""How long does a stored token live?"""

from __future__ import annotations

import pytest

from agent.credentials.stored.life import UNKNOWN_IDLE, Life, State, exercise_at

DAY = 86400.0


@pytest.mark.parametrize(
    ("used", "idle", "absolute", "ends", "idle_ends"),
    [
        (50.0, 90.0, None, None, 140.0),
        (50.0, 90.0, 120.0, 120.0, 120.0),
        (50.0, 60.0, 120.0, 120.0, 110.0),
        (50.0, None, 120.0, 120.0, 120.0),
        (None, 90.0, None, None, None),
        (None, None, None, None, None),
    ],
)
def test_it_ends_with_the_shorter_of_its_lifetimes(
    used: float | None,
    idle: float | None,
    absolute: float | None,
    ends: float | None,
    idle_ends: float | None,
) -> None:
    life = Life("crm", State.LIVE, 0.0, used, idle, absolute)
    assert (life.ends_at, life.idle_ends_at) == (ends, idle_ends)


@pytest.mark.parametrize("state", list(State))
def test_a_person_is_needed_where_no_token_is_left(state: State) -> None:
    helpless = {State.MISSING, State.LOST, State.REFUSED, State.FOREIGN}
    assert Life("crm", state).needs_login == (state in helpless)


@pytest.mark.must(31)
@pytest.mark.parametrize("idle", [DAY, 90 * DAY, None])
def test_it_is_exercised_well_before_its_idle_lifetime_ends(idle: float | None) -> None:
    length = idle or UNKNOWN_IDLE
    times = {exercise_at(f"t{number}", 1000.0, idle) for number in range(100)}
    assert 1000.0 + 0.5 * length <= min(times) < max(times) <= 1000.0 + 0.7 * length
    assert len(times) == 100  # they do not come due together


def test_all_pods_mean_the_same_moment() -> None:
    assert exercise_at("crm", 5.0, DAY) == exercise_at("crm", 5.0, DAY)
