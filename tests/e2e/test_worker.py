"""Worker: a program with no inbound request speaks as itself (make demo, journey 3)."""

from __future__ import annotations

import pytest

from demo.journeys import worker
from demo.stage import Stage

pytestmark = pytest.mark.e2e


def test_every_check_of_the_journey_holds(stage: Stage) -> None:
    found = worker.run(stage)
    assert len(found.checks) >= 3
    assert [check for check in found.checks if not check.ok] == []


def test_the_worker_answers_nobody(stage: Stage) -> None:
    pod = stage.pods["worker"]
    assert not pod.has_inbound
    assert "inbound" not in {record["direction"] for record in pod.decisions()}
