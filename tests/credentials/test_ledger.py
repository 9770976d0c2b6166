"""What is said, how often, and what /status remembers."""

from __future__ import annotations

import logging

import pytest

from agent.credentials.ledger import Ledger
from agent.credentials.verdict import Verdict
from agent.errors import Denial, Reason
from tests.credentials.conftest import NOW, FakeClock

DOWN = Verdict(Denial(Reason.ISSUER_UNAVAILABLE, "d"), "Entra is down.", logging.WARNING)
USERS = Verdict(Denial(Reason.INTERACTION_REQUIRED, "d"), "asks the user.", logging.INFO)


def test_one_sentence_is_said_once_a_minute(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(clock)
    for _ in range(100):
        ledger.failed("audit", DOWN)
        clock.now += 1
    assert caplog.text.count("Entra is down.") == 2


def test_a_failure_after_a_success_is_news(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(clock)
    ledger.failed("audit", DOWN)
    ledger.succeeded("audit", NOW + 3600)
    assert ledger.row("audit").last_error == ""
    ledger.failed("audit", DOWN)
    assert caplog.text.count("Entra is down.") == 2


def test_the_row_keeps_the_last_error_and_the_last_success(clock: FakeClock) -> None:
    ledger = Ledger(clock)
    assert ledger.row("audit").succeeded_at is None
    ledger.succeeded("audit", NOW + 3600)
    clock.now += 10
    ledger.failed("audit", DOWN)
    row = ledger.row("audit")
    assert (row.last_error, row.reason, row.failed_at) == (
        "Entra is down.",
        "issuer_unavailable",
        NOW + 10,
    )
    assert (row.succeeded_at, row.expires_at) == (NOW, NOW + 3600)


def test_one_users_trouble_is_not_the_destinations(clock: FakeClock) -> None:
    ledger = Ledger(clock)
    ledger.failed("audit", USERS)
    assert ledger.row("audit").last_error == ""
