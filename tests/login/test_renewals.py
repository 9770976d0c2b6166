"""One of many renews, the others take what it got, and a failure is no storm."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from agent.errors import Denial, Reason
from agent.login.renewals import Renewals
from agent.login.session import Session
from agent.moment import Moment, WouldBlock, nobody_else
from demo.waiting import until
from tests.login.test_session import ANN

LATE = Moment(1301.0, 5.0)  # her token has ended
DUE = Moment(1280.0, 5.0)  # it is due, and still serves
OVER = Denial(Reason.INTERACTION_REQUIRED, "over")
AWAY = Denial(Reason.ISSUER_UNAVAILABLE, "away", retry_after=1)


class Counted:
    """Renews, and counts; waits for *gate* first."""

    def __init__(self, *results: Session | Denial, gate: threading.Event | None = None) -> None:
        self.results, self.calls, self.gate = list(results), 0, gate

    def __call__(self, session: Session, seconds: float) -> Session | Denial:
        self.calls += 1
        if self.gate:
            assert self.gate.wait(10)
        return self.results.pop(0) if self.results else renewed(session)


def renewed(session: Session) -> Session:
    later = session.generation + 1
    return replace(
        session, generation=later, access=f"a{later}", expires_at=5000.0, refresh_at=4900.0
    )


@pytest.fixture
def renewals() -> Renewals:
    return Renewals(nobody_else, None, 100)


def test_two_hundred_tabs_are_one_renewal(renewals):
    gate = threading.Event()
    renew = Counted(gate=gate)
    with ThreadPoolExecutor(200) as tabs:
        asked = [tabs.submit(renewals.renewed, ANN, renew, LATE) for _ in range(200)]
        gate.set()
        answers = [one.result() for one in asked]
    assert renew.calls == 1
    assert {answer.access for answer in answers} == {"a1"}
    assert renewals.renewed(ANN, renew, LATE).access == "a1"  # a late tab with the old cookie
    assert renew.calls == 1
    assert renewals.newest(ANN).generation == 1


def test_while_the_token_serves_nobody_else_waits(renewals):
    gate = threading.Event()
    renew = Counted(gate=gate)
    with ThreadPoolExecutor(1) as tabs:
        first = tabs.submit(renewals.renewed, ANN, renew, DUE)
        until(lambda: renew.calls, "the first one")
        assert renewals.renewed(ANN, renew, DUE) == ANN
        gate.set()
        assert first.result().generation == 1


def test_a_refusal_ends_the_session_for_every_tab(renewals):
    renew = Counted(OVER)
    assert renewals.renewed(ANN, renew, LATE) == OVER
    assert renewals.ended(ANN)


def test_a_failure_keeps_the_session_and_is_not_repeated_at_once(renewals):
    renew = Counted(AWAY)
    assert renewals.renewed(ANN, renew, LATE).reason is Reason.ISSUER_UNAVAILABLE
    assert renewals.renewed(ANN, renew, LATE).reason is Reason.ISSUER_UNAVAILABLE
    assert renew.calls == 1
    assert not renewals.ended(ANN)
    again = Moment(LATE.now + 3, 5.0)
    assert renewals.renewed(ANN, renew, again).generation == 1


def test_a_failure_is_nobodys_business_while_the_token_serves(renewals):
    assert renewals.renewed(ANN, Counted(AWAY), DUE) == ANN
    assert renewals.renewed(ANN, Counted(AWAY), DUE) == ANN


def test_what_breaks_lets_the_next_one_try(renewals):
    def breaks(session: Session, seconds: float) -> Session:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        renewals.renewed(ANN, breaks, LATE)
    assert renewals.renewed(ANN, Counted(), Moment(LATE.now + 3, 5.0)).generation == 1


def test_a_thread_that_must_not_wait_renews_nothing():
    def impatient() -> None:
        raise WouldBlock

    renew = Counted()
    with pytest.raises(WouldBlock):
        Renewals(impatient, None, 100).renewed(ANN, renew, LATE)
    assert renew.calls == 0


def test_an_ended_session_is_known_by_its_id(renewals):
    renewals.end(replace(ANN, generation=3))
    assert renewals.ended(ANN)
    assert not renewals.ended(replace(ANN, id="s2"))


class FakeShared:
    """What another pod did meanwhile."""

    def __init__(self, newest: Session | None, alone: bool) -> None:
        self._newest, self._alone, self.told = newest, alone, []

    def newest(self, session: Session) -> Session | None:
        return self._newest

    def alone(self, session: Session, seconds: float) -> bool:
        return self._alone

    def done(self, session: Session, renewed: Session | None) -> None:
        self.told.append(renewed)


@pytest.mark.parametrize(
    ("newest", "alone", "calls", "generation"),
    [
        (None, True, 1, 1),
        (ANN, True, 1, 1),
        (renewed(ANN), True, 0, 1),
        (renewed(ANN), False, 0, 1),
    ],
)
def test_what_another_pod_renewed_is_taken(newest, alone, calls, generation):
    shared, renew = FakeShared(newest, alone), Counted()
    found = Renewals(nobody_else, shared, 100).renewed(ANN, renew, LATE)
    assert (renew.calls, found.generation) == (calls, generation)
    assert len(shared.told) == alone
