"""When an introspection endpoint may be asked again."""

from __future__ import annotations

import pytest

from agent.identity.introspection.answer import Trouble
from agent.identity.introspection.health import (
    PATIENCE,
    Health,
    after_answer,
    after_trouble,
    pause,
)

NOW = 1_800_000_000.0
DOWN = Trouble("down")


def troubles(count: int, trouble: Trouble = DOWN, chance: float = 1.0) -> Health:
    health = Health()
    for _ in range(count):
        health = after_trouble(health, trouble, NOW, chance)
    return health


def test_one_bad_answer_stops_nobody() -> None:
    """Or a token that makes its server stumble would shut the door for everybody."""
    health = troubles(PATIENCE - 1)
    assert pause(health, NOW) == 0
    assert not health.troubled


@pytest.mark.must(38)
@pytest.mark.parametrize(
    ("more", "chance", "seconds"), [(0, 1.0, 2), (1, 1.0, 4), (9, 1.0, 30), (9, 0.0, 1)]
)
def test_the_pause_grows_to_a_bound_with_full_jitter(
    more: int, chance: float, seconds: int
) -> None:
    health = troubles(PATIENCE + more, chance=chance)
    assert health.troubled
    assert pause(health, NOW) == seconds
    assert pause(health, NOW + seconds) == 0


def test_an_answer_ends_it_all() -> None:
    health = after_answer(troubles(9), NOW)
    assert (health.failures, health.error, pause(health, NOW)) == (0, "", 0)
    assert health.answered_at == NOW


def test_a_refusal_stops_at_once_and_what_the_server_asks_for_is_kept() -> None:
    assert pause(troubles(1, Trouble("refused", stop=True)), NOW) == 2
    assert pause(troubles(1, Trouble("slow down", stop=True, retry_after=60)), NOW) == 60
    assert pause(troubles(1, Trouble("busy", retry_after=9)), NOW) == 9


def test_a_clock_that_was_set_back_ends_the_pause() -> None:
    health = troubles(1, Trouble("slow down", stop=True, retry_after=60))
    assert pause(health, NOW - 1) == 0
