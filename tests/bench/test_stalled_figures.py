"""What a page says of hits beside an issuer that hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import figures, page, stalled
from bench.load import Load
from bench.paced import Seen
from bench.stalled import Round

REST = {"first_answer_s": 1, "idle_mb": 1, "msal_mb": 1, "tokens": 1, "full_mb": 1}


def rounds(*p99: tuple[float, float]) -> list[Round]:
    """Rounds whose p99 is so many milliseconds, alone and beside."""
    seen = Seen(10, {"503": 10}, waiting=7, held=3.0, late=0.002)
    return [Round(load(alone), load(beside), seen) for alone, beside in p99]


def load(p99: float) -> Load:
    """198 hits of a millisecond, one of *p99* and one of a second."""
    return Load(1.0, [0.001] * 198 + [p99 / 1000, 1.0], 0)


@pytest.mark.parametrize(
    ("found", "ratio", "word"),
    [
        (rounds((2, 3)), 1.5, "yes"),
        (rounds((2, 4)), 2.0, "yes"),
        (rounds((2, 5)), 2.5, "no"),
        # by the medians: one round in which the machine was busy decides nothing
        (rounds((2, 3), (9, 3), (2, 90)), 1.5, "yes"),
    ],
)
def test_the_goal_is_about_the_medians(found: list[Round], ratio: float, word: str) -> None:
    assert stalled.ratio(found) == pytest.approx(ratio)
    row = figures.goals([], [stalled.goal(found)]).splitlines()[-1]
    assert row.endswith(f"| 16 | 2 times | {ratio:.2f} | {word} | | | |")


def test_minimum_and_median_of_both_are_shown() -> None:
    alone, beside = stalled.cells(rounds((2, 3), (4, 6), (5, 9)))
    assert alone[1:] == ("1.00 / 1.00", "2.00 / 4.00", "1000.00 / 1000.00")
    assert beside[1:] == ("1.00 / 1.00", "3.00 / 6.00", "1000.00 / 1000.00")
    assert "7 misses" in stalled.sentence(rounds((2, 3)))


def test_the_page_holds_it_where_it_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    for hung in (rounds((2, 3)), []):
        file.write_text(f"before {page.BEGIN} old {page.END} after", encoding="utf-8")
        page.renew(file, [], hung, REST, 1)
        text = file.read_text(encoding="utf-8")
        assert text.startswith("before ")
        assert text.endswith(" after")
        assert ("an issuer that hangs" in text) is bool(hung)
