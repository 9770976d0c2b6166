"""What the audit is told of whoever called."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from agent.flow.decision import Allow, Decision, Facts
from agent.flow.problem import Challenger
from agent.flow.request import Direction, Request
from agent.identity.principal import Verified
from agent.judge import Judge, Pipelines
from agent.telemetry.audit import AuditLog, AuditRecord
from agent.telemetry.metrics import Metrics


class FakeAudit:
    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    def emit(self, record: AuditRecord) -> None:
        self.records.append(record)


class FakeInbound:
    """Allows whom it is told to."""

    def __init__(self, callers: list[Verified | None], itself: str | None = None) -> None:
        self._callers = iter(callers)
        self._itself = itself

    def decide(self, _request: Request, _moment: object) -> Decision:
        return Decision(Allow(), Facts(verified=next(self._callers), itself=self._itself))


def records(inbound: FakeInbound, count: int, monkeypatch: pytest.MonkeyPatch) -> list[AuditRecord]:
    """The records of so many decisions."""
    audit = FakeAudit()
    pipelines = Pipelines(cast("None", inbound), None, Challenger())
    judge = Judge(pipelines, cast("AuditLog", audit), Metrics("test"), lambda: 1.0, lambda: 0.0)
    request = Request(Direction.INBOUND, "GET", "/api?secret=1", "a.test", {})
    monkeypatch.setattr("agent.envoy.check.read", lambda _message: request)
    for _ in range(count):
        judge.decide(b"", 1.0)
    return audit.records


@pytest.mark.must(45)
def test_a_token_that_says_something_else_now_is_recorded_as_what_it_says(
    verified: Callable[..., Verified], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opaque token is asked about again and again: its hash stays, its caller may change."""
    before = verified()
    now = before._replace(principal=verified(subject="somebody-else").principal)
    assert before.token_hash == now.token_hash
    told = records(FakeInbound([before, before, now, before]), 4, monkeypatch)
    mine, other = before.principal.subject, "somebody-else"
    assert [record.who.subject for record in told] == [mine, mine, other, mine]
    assert {record.path for record in told} == {"/api"}


def test_who_speaks_for_itself_is_named_and_nobody_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    (own,) = records(FakeInbound([None], itself="shop/api"), 1, monkeypatch)
    assert (own.who.kind, own.who.subject, own.who.client) == ("app", "shop/api", "shop/api")
    (nobody,) = records(FakeInbound([None]), 1, monkeypatch)
    assert (nobody.who.kind, nobody.who.subject, nobody.who.token_hash) == (None, None, b"")
