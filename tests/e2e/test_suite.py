"""Suite: two services share an audience and the caller's own token (make demo, journey 4)."""

from __future__ import annotations

import pytest

from demo.journeys import suite
from demo.stage import Stage

pytestmark = pytest.mark.e2e


def test_every_check_of_the_journey_holds(stage: Stage) -> None:
    found = suite.run(stage)
    assert len(found.checks) >= 4
    assert [check for check in found.checks if not check.ok] == []
    assert found.forwarded == found.a
    assert found.a["ver"] == "1.0"  # the suite's registration asks for v1 tokens
