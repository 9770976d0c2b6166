"""How often one thing is said."""

from __future__ import annotations

from agent.telemetry.seldom import PAUSE, Seldom


def test_a_thing_is_said_once_in_a_while_and_the_others_are_counted() -> None:
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    assert [seldom.due("a"), seldom.due("a"), seldom.due("b"), seldom.due("a")] == [
        0,
        None,
        0,
        None,
    ]
    now[0] = PAUSE
    assert [seldom.due("a"), seldom.due("a")] == [2, None]


def test_what_is_remembered_is_bounded() -> None:
    seldom = Seldom(lambda: 0.0)
    for number in range(1000):
        assert seldom.due(str(number)) == 0
    assert len(seldom._said) <= 64
