"""What does the driver of a rotation do, and what does it tell people?"""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.credentials.answers import Answer
from agent.credentials.stored.file_store import FileStore
from agent.credentials.stored.keeper import pace
from agent.credentials.stored.life import State
from agent.credentials.stored.record import Record
from agent.credentials.stored.rotator import LOUD, Rotator, Surroundings
from agent.credentials.stored.rules import Rules
from agent.credentials.stored.seal import Seal
from agent.credentials.stored.steps import Have, Held, NoStore, NotYet, Rested, Stopped
from agent.credentials.stored.vault import Vault
from tests.credentials.conftest import NOW, FakeClock

pytestmark = pytest.mark.must(31)
RULES = Rules("crm", "https://crm.example", "us", grace=60.0, idle=86400.0)
CANARY = "canary-refresh-token"


class Provider:
    """Answers what a test has put there; else it rotates."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.sent: list[str] = []

    def __call__(self, token: str, seconds: float) -> Answer:
        self.sent.append(token)
        if self.answers:
            return self.answers.pop(0)
        number = len(self.sent)
        body = {"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 1000}
        return Answer(200, body)


Make = Callable[..., Rotator]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def vault(tmp_path: Path, clock: FakeClock) -> Vault:
    (tmp_path / "key").write_text(base64.b64encode(os.urandom(32)).decode())
    store = FileStore(tmp_path / "crm")
    return Vault(store, Seal(tmp_path / "key", "crm", os.urandom), clock, clock)


@pytest.fixture
def make(vault: Vault, clock: FakeClock, provider: Provider) -> Make:
    def slept(seconds: float) -> None:
        clock.now += seconds

    def made(**more: Any) -> Rotator:
        counted = more.pop("count", lambda token, result: None)
        ids = iter(f"n{number}" for number in range(1000))
        around = Surroundings(clock, slept, lambda: 0.5, lambda: next(ids), count=counted)
        return Rotator("crm", RULES, vault, provider, around, **more)

    return made


def log_in(vault: Vault, **changes: Any) -> None:
    values = {"authority": RULES.authority, "client": RULES.client, "token": CANARY}
    vault.replace(Record(**(values | {"obtained_at": NOW, "used_at": NOW} | changes)))


def test_its_life_is_what_was_last_seen(make: Make, vault: Vault, clock: FakeClock) -> None:
    rotator = make(absolute=1e6)
    assert rotator.life().state is State.MISSING
    assert isinstance(rotator.look(), Stopped)
    log_in(vault)
    clock.now += 10
    assert isinstance(rotator.token(), Have)
    life = rotator.life()
    assert (life.state, life.obtained_at, life.used_at) == (State.LIVE, NOW, NOW + 10)
    assert (life.idle_lifetime, life.ends_at, rotator.generation) == (86400.0, NOW + 1e6, 1)
    assert rotator.problem == ""


def test_an_unanswered_request_is_in_doubt_until_it_is_settled(
    make: Make, vault: Vault, provider: Provider
) -> None:
    log_in(vault)
    provider.answers = [Answer(0, failure="does not answer in time"), Answer(503)]
    rotator = make()
    assert isinstance(rotator.token(), NotYet)
    assert rotator.life().state is State.IN_DOUBT
    assert not rotator.life().needs_login


@pytest.mark.must(38)
def test_failures_are_retried_less_and_less_often_and_retry_after_counts(
    make: Make, vault: Vault, provider: Provider, clock: FakeClock
) -> None:
    log_in(vault)
    rotator = make()
    waits = []
    for _ in range(8):
        provider.answers = [Answer(503)]
        assert isinstance(rotator.token(), NotYet)
        waits.append(rotator.wait_for())
        assert rotator.look() is None  # not before that
        clock.now += rotator.wait_for()
    assert waits == sorted(waits)
    assert max(waits) <= 60.0
    provider.answers = [Answer(429, {}, retry_after=300)]
    rotator.token()
    assert rotator.wait_for() == 300.0
    clock.now += 300.0
    assert isinstance(rotator.token(), Have)
    assert rotator.wait_for() == 0.0


def test_the_alarm_is_loud_once_an_hour_and_its_end_is_told(
    make: Make,
    vault: Vault,
    provider: Provider,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_in(vault)
    provider.answers = [Answer(400, {"error": "invalid_grant"})]
    rotator = make()
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            assert isinstance(rotator.token(), Stopped)
        assert len(caplog.records) == 1
        assert "(invalid_grant); run 'attache login crm'" in caplog.text
        clock.now += LOUD
        rotator.token()
        assert len(caplog.records) == 2
        log_in(vault)
        assert isinstance(rotator.token(), Have)
    assert "well again" in caplog.records[-1].message
    assert len(provider.sent) == 2
    assert CANARY not in caplog.text


def test_a_mounted_token_is_used_where_there_is_none(
    make: Make, vault: Vault, provider: Provider, tmp_path: Path
) -> None:
    mounted = tmp_path / "mounted"
    rotator = make(mounted=mounted)
    assert isinstance(rotator.token(), Stopped)
    mounted.write_text(CANARY + "\n")
    assert isinstance(rotator.token(), Have)
    assert provider.sent == [CANARY]
    assert isinstance(make(mounted=mounted).token(), Have)
    assert provider.sent == [CANARY]


def test_an_idle_token_is_exercised_in_time_and_only_then(
    make: Make, vault: Vault, provider: Provider, clock: FakeClock
) -> None:
    log_in(vault)
    rotator = make()
    assert isinstance(rotator.look(), Rested)
    clock.now += 0.49 * 86400
    assert isinstance(rotator.look(), Rested)
    clock.now += 0.22 * 86400
    assert isinstance(rotator.look(), Have)
    assert provider.sent == [CANARY]


def test_an_answer_that_cannot_be_stored_is_held_and_everybody_told(
    make: Make, vault: Vault, provider: Provider, tmp_path: Path, clock: FakeClock
) -> None:
    log_in(vault)
    good = (tmp_path / "key").read_text()

    def broken(token: str, seconds: float) -> Answer:
        (tmp_path / "key").write_text("")
        return Provider()(token, seconds)

    rotator = make()
    rotator._ask = broken  # the store breaks between the question and the answer
    outcome = rotator.token()
    assert isinstance(outcome, NoStore)
    assert "MEMORY ONLY, do not stop this agent" in rotator.problem
    (tmp_path / "key").write_text(good)
    rotator._ask = provider
    clock.now += 100
    done = rotator.token()
    assert isinstance(done, Have)
    assert (done.access.value, provider.sent) == ("a1", [])


def test_two_threads_take_turns_and_a_stop_waits_for_the_one_under_way(
    make: Make, vault: Vault, provider: Provider
) -> None:
    log_in(vault)
    rotator = make()
    asked, go_on = threading.Event(), threading.Event()

    def slow(token: str, seconds: float) -> Answer:
        asked.set()
        assert go_on.wait(20)
        return provider(token, seconds)

    rotator._ask = slow
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.append(rotator.token()))
    thread.start()
    assert asked.wait(20)
    assert rotator.look() is None
    rotator.close(0.0)  # not while it is under way
    go_on.set()
    rotator.close(20.0)
    thread.join(20)
    assert isinstance(outcomes[0], Have)
    assert rotator.token() == Held()


def test_what_came_back_is_counted_in_words_of_ours(
    make: Make, vault: Vault, provider: Provider
) -> None:
    log_in(vault)
    counted: list[tuple[str, str]] = []
    rotator = make(count=lambda token, result: counted.append((token, result)))
    provider.answers = [Answer(503), Answer(0, sent=False), Answer(200, None)]
    for _ in range(3):
        rotator.token()
    assert [result for _, result in counted] == ["declined", "unsent", "unanswered", "rotated"]
    assert {token for token, _ in counted} == {"crm"}


def test_looks_are_spread_and_never_early() -> None:
    assert {pace(4.0, 0.0, random) for random in (0.0, 0.999)} <= {3.0, 4.998}
    assert pace(4.0, 100.0, 0.5) == 100.0
