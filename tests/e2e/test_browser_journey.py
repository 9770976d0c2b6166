"""Browser: Ada signs in at the gateway and uses the board (make demo, journey 6)."""

from __future__ import annotations

import pytest

from demo.journeys import browser
from demo.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("demo")]


def test_every_check_of_the_journey_holds(stage: Stage) -> None:
    found = browser.run(stage)
    assert len(found.checks) >= 11
    assert [check for check in found.checks if not check.ok] == []
