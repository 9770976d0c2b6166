"""Which things end, when, and when is something said of them?"""

from __future__ import annotations

import itertools

import pytest

from agent.expiry.table import DAY, Fact, Kind, Memory, State, due, table, written

NOW = 1_800_000_000.0
CERT = "identities.us.entra.certificateFile"


def cert(left: float | None, problem: str = "") -> Fact:
    ends = None if left is None else NOW + left
    return Fact(Kind.CERTIFICATE, CERT, "/c.pem", ends, problem=problem)


@pytest.mark.parametrize(
    ("fact", "state"),
    [
        (cert(31 * DAY), State.FINE),
        (cert(30 * DAY), State.SOON),
        (cert(7 * DAY + 1), State.SOON),
        (cert(7 * DAY), State.URGENT),
        (cert(1.0), State.URGENT),
        (cert(0.0), State.EXPIRED),
        (cert(-5.0), State.EXPIRED),
        (cert(None), State.UNKNOWN),
        (cert(None, "it cannot be read"), State.UNREADABLE),
        (Fact(Kind.SIGNING_KEY, "k", since=NOW - DAY), State.AGING),
        (Fact(Kind.REFRESH_TOKEN, "t", ends_at=NOW + 90 * DAY, since=NOW), State.FINE),
    ],
)
def test_a_thing_stands_as_its_time_says(fact: Fact, state: State) -> None:
    (row,) = table(NOW, [fact])
    assert row.state is state


def test_what_wants_somebody_comes_first_and_then_what_ends_first() -> None:
    facts = [
        Fact(Kind.SECRET, "later", ends_at=NOW + 200 * DAY),
        Fact(Kind.SECRET, "unknown"),
        Fact(Kind.SECRET, "sooner", ends_at=NOW + 100 * DAY),
        Fact(Kind.SECRET, "urgent", ends_at=NOW + DAY),
        Fact(Kind.SECRET, "over", ends_at=NOW - DAY),
        Fact(Kind.SECRET, "lost", problem="it cannot be read"),
    ]
    for order in itertools.islice(itertools.permutations(facts), 0, 720, 90):
        names = [row.fact.name for row in table(NOW, order)]
        assert names == ["lost", "over", "urgent", "sooner", "later", "unknown"]


def spoken(lefts: list[float], told: Memory | None = None) -> list[list[str]]:
    """What the log says at each look, the thing's end coming nearer."""
    said: list[list[str]] = []
    told = told or {}
    end = NOW + 1000 * DAY
    for left in lefts:
        rows = table(end - left, [Fact(Kind.CERTIFICATE, CERT, "/c.pem", end)])
        told, remarks = due(told, rows)
        said.append([remark.sentence for remark in remarks])
    return said


def test_each_step_is_spoken_of_once() -> None:
    hours = [float(hour * 3600) for hour in range(40 * 24, -48, -1)]
    said = spoken(hours)
    lines = [line for lines in said for line in lines]
    assert [line.partition(CERT)[2].split(", on")[0].split(" on ")[0] for line in lines] == [
        " (/c.pem) expires in 30 days",
        " (/c.pem) expires in 14 days",
        " (/c.pem) expires in 7 days",
        " (/c.pem) expires in 24 hours",
        " (/c.pem) EXPIRED",
    ]
    assert all("Put the new certificate" in line for line in lines)


def test_a_thing_first_seen_late_is_spoken_of_once_and_not_for_each_step() -> None:
    assert [len(lines) for lines in spoken([5 * DAY, 5 * DAY - 5, DAY + 1, DAY])] == [1, 0, 0, 1]


def test_the_last_day_and_the_end_are_loud() -> None:
    for left, loud in ((30 * DAY, False), (7 * DAY, False), (DAY, True), (-1.0, True)):
        _, (remark,) = due({}, table(NOW, [cert(left)]))
        assert remark.loud is loud


def test_a_renewed_thing_is_said_to_be_well_and_begins_anew() -> None:
    told, remarks = due({}, table(NOW, [cert(3 * DAY)]))
    assert len(remarks) == 1
    told, (good,) = due(told, table(NOW, [cert(90 * DAY)]))
    assert good.good
    assert "valid until" in good.sentence
    told, silent = due(told, table(NOW, [cert(90 * DAY)]))
    assert silent == []
    _, again = due(told, table(NOW + 80 * DAY, [cert(90 * DAY)]))
    assert len(again) == 1


def test_one_that_is_replaced_by_another_short_one_is_spoken_of_again() -> None:
    told, _ = due({}, table(NOW, [cert(6 * DAY)]))
    _, again = due(told, table(NOW, [cert(6.5 * DAY)]))
    assert len(again) == 1


def test_a_file_that_cannot_be_read_is_told_once_and_its_end_not_twice() -> None:
    told, _ = due({}, table(NOW, [cert(6 * DAY)]))
    told, (remark,) = due(told, table(NOW, [cert(None, "it cannot be read")]))
    assert remark.loud
    told, silent = due(told, table(NOW, [cert(None, "it cannot be read")]))
    assert silent == []
    told, silent = due(told, table(NOW, [cert(6 * DAY)]))
    assert silent == []


def test_what_is_no_longer_configured_is_forgotten() -> None:
    told, _ = due({}, table(NOW, [cert(DAY)]))
    assert due(told, ())[0] == {}


def test_a_time_beyond_all_calendars_is_written_all_the_same() -> None:
    assert written(1e18) == "9999-12-31T23:59:59Z"
