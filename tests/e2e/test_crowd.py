"""Crowd: two hundred people at once, and nobody is taken for another (make demo, journey 5)."""

from __future__ import annotations

import pytest

from demo.journeys import crowd
from demo.stage import Stage

pytestmark = pytest.mark.e2e


@pytest.mark.must(27, 29)
def test_every_service_saw_the_right_person_each_time(stage: Stage) -> None:
    found = crowd.run(stage)
    assert [check for check in found.checks if not check.ok] == []
    assert found.crossings == 0
    assert (found.people, found.requests) == (200, 600)
    assert {sight.service: sight.visits for sight in found.sights} == dict.fromkeys(crowd.SEEN, 200)
    different = {sight.service: sight.people for sight in found.sights}
    assert different == {**dict.fromkeys(crowd.SEEN, 200), "audit": 1}
