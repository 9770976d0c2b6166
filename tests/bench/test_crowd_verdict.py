"""The judge of the crowd would notice: each kind of wrong, once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.crowd.plan import WAYS, Errand, Way, expected, plan
from bench.crowd.verdict import Missed, Visit, judge

ONE = Errand(0, "node", Way("one", 1), "minted", "m0", ())
HEDGED = Errand(1, "node", Way("hedged", 1, most=2), "suite", "m1", ())
LOST = Errand(2, "node", Way("queued", 1, denied="no_subject"), "minted", "m2", ())
SUBJECTS = {0: "ann", 1: "bob", 2: "cid"}
AUDIENCES = {"minted": "a-minted", "suite": "a-suite"}
GOOD = [Visit("minted", "m0", "ann", "a-minted"), Visit("suite", "m1", "bob", "a-suite")]
DENIED = [Missed("m2", "no_subject")]

# what was seen, what was denied → crossings, how many sentences
CASES = [
    (GOOD, DENIED, 0, 0),
    ([*GOOD, GOOD[1]], DENIED, 0, 0),
    ([Visit("minted", "m0", "bob", "a-minted"), GOOD[1]], DENIED, 1, 1),
    ([Visit("minted", "m0", "", "a-minted"), GOOD[1]], DENIED, 1, 1),
    ([Visit("minted", "m0", "ann", "a-suite"), GOOD[1]], DENIED, 0, 1),
    ([Visit("suite", "m0", "ann", "a-suite"), GOOD[1]], DENIED, 0, 1),
    ([Visit("minted", "m0", "ann", "a-minted", ("tracestate",)), GOOD[1]], DENIED, 0, 1),
    ([*GOOD, Visit("minted", "m9", "ann", "a-minted")], DENIED, 0, 1),
    (GOOD[:1], DENIED, 0, 1),
    ([GOOD[0], *GOOD], DENIED, 0, 1),
    ([*GOOD, GOOD[1], GOOD[1]], DENIED, 0, 1),
    ([*GOOD, Visit("minted", "m2", "cid", "a-minted")], DENIED, 0, 1),
    (GOOD, [], 0, 1),
    (GOOD, [Missed("m2", "ambiguous_subject")], 0, 1),
    (GOOD, [*DENIED, Missed("m0", "no_subject")], 0, 1),
]


@pytest.mark.parametrize(("visits", "missed", "crossings", "sentences"), CASES)
def test_whatever_should_not_be_is_a_sentence(
    visits: list[Visit], missed: list[Missed], crossings: int, sentences: int
) -> None:
    verdict = judge([ONE, HEDGED, LOST], SUBJECTS, AUDIENCES, visits, missed)
    assert (verdict.crossings, len(verdict.wrong)) == (crossings, sentences), verdict.wrong


def test_a_plan_takes_every_way_with_every_choice_of_the_clients_and_neighbours_differ() -> None:
    errands = plan(1000, 2000, tuple(WAYS))
    assert expected(errands) >= 2000
    assert {errand.person for errand in errands} == set(range(1000))
    assert len({errand.mark for errand in errands}) == len(errands)
    taken = {(errand.application, errand.way.name) for errand in errands}
    assert taken == {(name, way.name) for name, ways in WAYS.items() for way in ways}
    for ways in WAYS.values():
        for way in ways:
            theirs = [e for e in errands if e.way is way]
            assert len({e.headers for e in theirs}) == 4, way.name
            assert len({e.store for e in theirs}) >= (1 if way.name == "fetched" else 3), way.name
    assert all(one.person != other.person for one, other in pairwise(errands))
