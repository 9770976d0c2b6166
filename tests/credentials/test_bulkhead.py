"""Who may wait for a slow server, and who is sent away."""

from __future__ import annotations

import math

import pytest

from agent.credentials.bulkhead import Bulkhead, patience
from tests.credentials.conftest import FakeClock

LANE, OTHER = ("task-api", "tenant-1"), ("task-api", "tenant-2")


@pytest.mark.parametrize(
    ("taken", "age", "troubled", "wanted"),
    [
        (0, 0.0, False, math.inf),
        (7, 60.0, True, math.inf),  # the first places are there for as long as it takes
        (8, 0.0, False, 1.0),  # a burst on a cold cache may wait a moment
        (800, 0.75, False, 0.25),
        (8, 1.0, False, None),  # the server is slow
        (8, 0.0, True, None),  # it gave no answer the last time
    ],
)
def test_how_long_one_more_may_wait(
    taken: int, age: float, troubled: bool, wanted: float | None
) -> None:
    assert patience(taken, 8, age, 1.0, troubled) == wanted


@pytest.mark.must(38)
def test_a_hung_tenant_takes_its_places_and_no_other_tenants(clock: FakeClock) -> None:
    bulkhead = Bulkhead(clock, limit=2)
    assert bulkhead.begin(LANE) is not None
    clock.now += 5
    allowed = [bulkhead.enter(LANE) for _ in range(4)]
    assert allowed == [math.inf, math.inf, None, None]
    assert bulkhead.enter(OTHER) == math.inf
    bulkhead.leave(LANE)
    assert bulkhead.enter(LANE) == math.inf


@pytest.mark.must(38)
def test_a_burst_in_one_lane_leaves_room_for_the_others(clock: FakeClock) -> None:
    bulkhead = Bulkhead(clock, limit=2, waiters=4)
    assert [bulkhead.enter(LANE) is not None for _ in range(6)] == [True] * 4 + [False] * 2
    assert bulkhead.enter(OTHER) == math.inf
    bulkhead.leave(LANE)
    assert bulkhead.enter(LANE) is not None


def test_requests_to_a_tenant_without_answers_are_bounded(clock: FakeClock) -> None:
    bulkhead = Bulkhead(clock, limit=2, most=6, total=8)
    well = [bulkhead.begin(LANE) for _ in range(8)]
    assert [flight is not None for flight in well] == [True] * 6 + [False] * 2
    assert [bulkhead.begin(OTHER) is not None for _ in range(4)] == [True, True, False, False]
    clock.now += 5
    for flight in well[:6]:
        assert flight
        bulkhead.end(LANE, flight, answered=False)
    assert [bulkhead.begin(LANE) is not None for _ in range(4)] == [True, True, False, False]


def test_one_answer_ends_the_mistrust(clock: FakeClock) -> None:
    bulkhead = Bulkhead(clock, limit=1)
    first = bulkhead.begin(LANE)
    assert first
    clock.now += 5
    bulkhead.end(LANE, first, answered=False)
    second = bulkhead.begin(LANE)
    assert second
    assert bulkhead.begin(LANE) is None
    bulkhead.end(LANE, second, answered=True)
    assert [bulkhead.begin(LANE) is not None for _ in range(3)] == [True, True, True]


def test_a_server_that_fails_at_once_holds_nobody_up(clock: FakeClock) -> None:
    bulkhead = Bulkhead(clock, limit=1)
    first = bulkhead.begin(LANE)
    assert first
    bulkhead.end(LANE, first, answered=False)
    assert [bulkhead.begin(LANE) is not None for _ in range(3)] == [True, True, True]


@pytest.mark.must(42)
def test_tenants_that_nobody_waits_for_are_forgotten(clock: FakeClock) -> None:
    bulkhead = Bulkhead(clock)
    bulkhead.enter(LANE)
    for number in range(10_000):
        flight = bulkhead.begin(("task-api", str(number)))
        assert flight
        bulkhead.end(("task-api", str(number)), flight, answered=True)
    assert len(bulkhead._lanes) <= 4096
    assert LANE in bulkhead._lanes
