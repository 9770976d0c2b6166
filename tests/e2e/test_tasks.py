"""Tasks: On-Behalf-Of to Notification, client credentials to Audit (make demo, journey 1)."""

from __future__ import annotations

import pytest

from demo import people
from demo.journeys import tasks
from demo.journeys.tasks import Tasks
from demo.stage import Stage

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def found(stage: Stage) -> Tasks:
    return tasks.run(stage)


def test_every_check_of_the_journey_holds(found: Tasks) -> None:
    assert len(found.checks) >= 18
    assert [check for check in found.checks if not check.ok] == []


@pytest.mark.must(28)
def test_the_three_tokens_differ_in_audience_and_agree_in_what_they_must(found: Tasks) -> None:
    audiences = [token["aud"] for token in (found.a, found.b, found.c)]
    assert audiences == [people.TASK_API, people.NOTIFICATION, people.AUDIT]
    assert found.a["oid"] == found.b["oid"] != found.c["oid"]
    assert found.b["scp"] == "Notify.Send"
    assert found.c["roles"] == ["AuditLog.Write"]
    assert "scp" not in found.c
    assert "name" not in found.c


@pytest.mark.must(45)
def test_the_records_of_one_correlation_id_tell_the_whole_story(found: Tasks) -> None:
    told = {
        (r["at"], r["direction"], r["destination"], r["credential"] and r["credential"][:3])
        for r in found.records
    }
    assert told == {
        ("tasks", "inbound", None, None),
        ("tasks", "outbound", "notification", "obo"),
        ("notification", "inbound", None, None),
        ("tasks", "outbound", "audit", "cli"),
        ("audit", "inbound", None, None),
    }
    assert {r["txn"] for r in found.records} == {found.answer.correlation}
    inbound = [r for r in found.records if r["direction"] == "inbound"]
    assert all(r["tokenHash"] and r["kid"] and r["issuer"] for r in inbound)


def test_a_role_that_is_taken_away_stops_the_app_at_audit_and_not_the_task(stage: Stage) -> None:
    role = {
        "principal": "task-api",
        "resource": "audit",
        "role": "AuditLog.Write",
        "tenant": people.CONTOSO,
    }
    pod = stage.pods["tasks"]
    stage.idp.control("POST", "directory/remove_role", role)
    try:
        _forget_tokens(stage)
        bearer = stage.idp.person(stage.people["ada"], people.TASKS_SCOPE)
        answer = tasks.create(stage, bearer, "unrecorded")
        assert (answer.status, answer.get("audit_status")) == (201, "failed")
        record = next(
            r
            for r in stage.decisions(answer.correlation, at_least=5)
            if (r["at"], r["direction"]) == ("audit", "inbound")
        )
        assert (record["decision"], record["reason"]) == ("deny", "insufficient_role")
        assert (record["kind"], record["client"]) == ("app", people.TASK_API)
    finally:
        stage.idp.control("POST", "directory/assign_role", role)
        _forget_tokens(stage)
    assert pod.agent.running
    bearer = stage.idp.person(stage.people["ada"], people.TASKS_SCOPE)
    assert tasks.create(stage, bearer, "recorded").get("audit_status") == "logged"


def _forget_tokens(stage: Stage) -> None:
    """A role is in the token; a new agent asks for a new one."""
    pod = stage.pods["tasks"]
    pod.agent.stop()
    pod.agent.start()
    pod.come_up()
