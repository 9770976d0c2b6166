"""Is a token ever lost or used twice? Every rotation, ended at every step, in every order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.credentials.answers import Answer
from agent.credentials.stored.course import LOOKS, Run, rotation
from agent.credentials.stored.life import State
from agent.credentials.stored.record import Access, Attempt, fingerprint
from agent.credentials.stored.reply import Granted
from agent.credentials.stored.steps import (
    Have,
    Heard,
    Held,
    NoStore,
    NotYet,
    Outcome,
    Pause,
    Rested,
    Send,
    Step,
    Stopped,
    Swap,
    Swapped,
)
from tests.credentials.stored.course_world import (
    NOW,
    RULES,
    FakeProvider,
    World,
    finish,
    killed,
    record,
)

pytestmark = pytest.mark.must(31)
STEPS = 4  # Read, Swap (journal), Send, Swap (keep)
AFTER = [(step, done) for step in range(STEPS) for done in (False, True)]
IN_FLIGHT = {(2, True), (3, False)}  # the server gave an answer, and nobody kept it


def steps_of(world: World) -> list[str]:
    """The names of the steps that a rotation takes."""
    names = []
    run, heard = rotation(RULES, "n"), None
    while True:
        try:
            step = run.send(heard)
        except StopIteration:
            return names
        names.append(type(step).__name__)
        heard = world.do(step)


def test_the_attempt_is_written_before_and_the_token_before_it_is_used() -> None:
    assert steps_of(World()) == ["Read", "Swap", "Send", "Swap"]


@pytest.mark.parametrize(("step", "done"), AFTER)
@pytest.mark.parametrize("grace", [0.0, 60.0])
@pytest.mark.parametrize("orphaned", [True, False])
def test_a_kill_at_any_step_loses_nothing_but_an_answer_that_nobody_kept(
    step: int, done: bool, grace: float, orphaned: bool
) -> None:
    world = World(provider=FakeProvider(grace=grace), orphaned=orphaned)
    assert killed(rotation(RULES, "first"), world, step, done)
    world.now += 5.0
    outcome = finish(rotation(RULES, "second"), world)
    if (step, done) in IN_FLIGHT and grace == 0:
        assert isinstance(outcome, Stopped)
        assert (outcome.state, world.provider.sent["r0"]) == (State.REFUSED, 2)
        return
    assert isinstance(outcome, Have)
    assert world.record is not None
    assert world.record.access == outcome.access
    assert world.record.token in world.provider.issued
    if (step, done) not in IN_FLIGHT:
        assert world.provider.reused == []


@pytest.mark.parametrize(("step", "done"), AFTER)
def test_beyond_the_grace_a_token_in_doubt_is_not_sent_again_and_that_is_said(
    step: int, done: bool
) -> None:
    world = World()
    killed(rotation(RULES, "first"), world, step, done)
    world.now += 61.0
    outcome = finish(rotation(RULES, "second"), world)
    doubt = (step, done) in {(1, True), (2, False), *IN_FLIGHT}
    if doubt:
        assert isinstance(outcome, Stopped)
        assert outcome.state is State.LOST
        assert finish(rotation(RULES, "third"), world) == outcome
        assert world.provider.alive
    else:
        assert isinstance(outcome, Have)
    assert world.provider.reused == []


@pytest.mark.parametrize("grace", [0.0, 60.0])
def test_two_kills_in_a_row_are_never_silent(grace: float) -> None:
    for first, second in itertools.product(AFTER, AFTER):
        world = World(provider=FakeProvider(grace=grace))
        killed(rotation(RULES, "first"), world, *first)
        killed(rotation(RULES, "second"), world, *second)
        outcome = finish(rotation(RULES, "third"), world)
        assert isinstance(outcome, Have | Stopped)
        if isinstance(outcome, Stopped):
            assert outcome.state in (State.LOST, State.REFUSED)
            doubts = {(1, True), (2, False), *IN_FLIGHT}
            assert first in doubts  # it takes a doubt, and another kill or a strict provider
        assert world.provider.sent["r0"] <= 2


def test_another_writer_is_waited_for_and_its_token_is_taken() -> None:
    world = World(orphaned=False)
    ahead, behind = rotation(RULES, "ahead"), rotation(RULES, "behind")
    heard = None
    for _ in range(3):  # Read, journal, Send: the answer is on its way
        heard = world.do(ahead.send(heard))
    looked = None
    for _ in range(9):
        step = behind.send(looked)
        assert isinstance(step, Pause) or type(step).__name__ == "Read"
        looked = world.do(step, watched=1.0)
    keep = ahead.send(heard)
    assert isinstance(keep, Swap)
    with pytest.raises(StopIteration):
        ahead.send(world.do(keep))
    outcome = finish(behind, world, 1.0, looked)
    assert isinstance(outcome, Have)
    assert (outcome.access.value, world.provider.serial) == ("a1", 1)


def test_patience_with_another_writer_ends() -> None:
    attempt = Attempt(fingerprint("r0"), "other", NOW)
    world = World(record(attempt=attempt), orphaned=False)
    assert finish(rotation(RULES, "n"), world, watched=1.0) == Held()
    assert world.now == pytest.approx(NOW + RULES.patience, abs=2 * LOOKS)


def test_a_stopped_writer_that_comes_back_saves_the_only_token_there_is() -> None:
    world = World(orphaned=False)
    stopped = rotation(RULES, "stopped")
    heard = None
    for _ in range(3):
        heard = world.do(stopped.send(heard))
    assert isinstance(heard, Granted)
    world.now += 70.0
    lost = finish(rotation(RULES, "other"), world)  # beyond the grace: it gives up, loudly
    assert isinstance(lost, Stopped)
    assert isinstance(finish(stopped, world, heard=heard), Have)
    assert world.record is not None
    assert (world.record.token, world.record.ended) == ("r1", "")
    assert isinstance(finish(rotation(RULES, "other"), world), Have)


@pytest.mark.parametrize("answer", [Answer(503), Answer(429, {}), Answer(0, sent=False)])
def test_an_outage_costs_no_try(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for _ in range(20):
        with monkeypatch.context() as patch:
            patch.setattr(FakeProvider, "refresh", lambda *_: answer)
            outcome = finish(rotation(RULES, "n"), world)
        assert isinstance(outcome, NotYet)
        assert world.record == record()
        world.now += 600.0
    assert isinstance(finish(rotation(RULES, "n"), world), Have)


def test_silence_is_asked_once_more_and_then_it_is_over() -> None:
    world = World(silent=True)
    outcome = finish(rotation(RULES, "n"), world)
    assert isinstance(outcome, Stopped)
    assert outcome.state in (State.LOST, State.REFUSED)
    assert world.provider.sent["r0"] == 2


def test_a_token_that_does_not_rotate_may_be_sent_as_often_as_needed() -> None:
    for rules, kept in ((RULES, record(rotates=False)), (replace(RULES, reusable=True), record())):
        world = World(kept, FakeProvider(grace=1e9))
        for number in range(5):
            killed(rotation(rules, f"n{number}"), world, 2, done=True)
            world.now += 3600.0
        assert isinstance(finish(rotation(rules, "n"), world), Have)


def test_a_refusal_is_final_and_nobody_asks_again() -> None:
    world = World(provider=FakeProvider(alive=False))
    first = finish(rotation(RULES, "n"), world)
    assert isinstance(first, Stopped)
    assert first.record is not None
    assert first.record.reason == "invalid_grant"
    for _ in range(100):
        assert finish(rotation(RULES, "n"), world) == Stopped(State.REFUSED, world.record)
    assert world.provider.sent["r0"] == 1


@pytest.mark.parametrize("broken", ["full", "gone"])
def test_a_store_that_cannot_be_written_costs_no_token(broken: str) -> None:
    world = World(broken=broken)
    for _ in range(10):
        outcome = finish(rotation(RULES, "n"), world)
        assert isinstance(outcome, NoStore)
    assert world.provider.sent == {}
    world.broken = ""
    assert isinstance(finish(rotation(RULES, "n"), world), Have)


def test_an_answer_that_the_store_does_not_take_is_held_and_stored_later() -> None:
    world = World()
    run, heard = rotation(RULES, "n"), None
    for _ in range(3):
        heard = world.do(run.send(heard))
    world.broken = "full"
    step: Step = run.send(heard)
    while True:
        try:
            step = run.send(world.do(step))
        except StopIteration as end:
            outcome: Outcome = end.value
            break
    assert isinstance(outcome, NoStore)
    assert outcome.unsaved is not None
    world.broken = ""
    done = finish(rotation(RULES, "later", unsaved=outcome.unsaved), world)
    assert isinstance(done, Have)
    assert (done.access.value, world.provider.sent) == ("a1", {"r0": 1})


def test_another_servers_token_is_never_sent() -> None:
    world = World(record(authority="https://former.example"))
    assert finish(rotation(RULES, "n"), world) == Stopped(State.FOREIGN, world.record)
    assert world.provider.sent == {}


def test_a_mounted_token_is_adopted_once() -> None:
    world = World(None)
    assert finish(rotation(RULES, "n"), world) == Stopped(State.MISSING, None)
    assert isinstance(finish(rotation(RULES, "n", seed="r0"), world), Have)
    world.record = replace(world.record or record(), ended=State.REFUSED)
    assert isinstance(finish(rotation(RULES, "n", seed="r0"), world), Stopped)
    world.provider.issued.add("mounted")
    world.provider.alive = True
    assert isinstance(finish(rotation(RULES, "n", seed="mounted"), world), Have)
    assert world.provider.sent["mounted"] == 1


def test_an_idle_token_is_exercised_and_a_busy_one_is_left_alone() -> None:
    rules = replace(RULES, idle=1000.0)
    world = World()
    assert isinstance(finish(rotation(rules, "n", wanted=False), world), Rested)
    world.now += 701.0
    assert isinstance(finish(rotation(rules, "n", wanted=False), world), Have)
    assert finish(rotation(rules, "n", wanted=False), world) == Have(
        Access("a1", NOW + 701.0, NOW + 1701.0), world.record or record()
    )
    assert world.provider.serial == 1


@dataclass
class Agent:
    """One process: its run, what came of the last step, and an answer that it has in hand."""

    name: str
    run: Run
    heard: Heard = None
    answered: bool = False

    def step(self, world: World) -> Outcome | None:
        try:
            step = self.run.send(self.heard)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        self.heard = world.do(step, watched=0.0)
        if isinstance(step, Send):
            self.answered = True
        elif isinstance(self.heard, Swapped):
            self.answered = False
        return None


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    grace=st.sampled_from([0.0, 60.0]),
    moves=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), max_size=80),
)
def test_any_order_of_agents_and_kills_keeps_the_promises(
    grace: float, moves: list[tuple[int, int]]
) -> None:
    """Three agents, one token: each step is somebody's, and somebody may die at any time."""
    world = World(provider=FakeProvider(grace=grace), living=set())
    names = iter(f"n{number}" for number in range(1000))

    def born() -> Agent:
        name = next(names)
        world.living.add(name)  # type: ignore[union-attr]
        return Agent(name, rotation(RULES, name))

    agents = [born() for _ in range(3)]
    in_flight = False
    for number, chance in moves:
        agent = agents[number]
        outcome = None
        if chance:
            outcome = agent.step(world)
            if outcome is None:
                continue
        else:
            in_flight = in_flight or agent.answered
        if isinstance(outcome, Have):
            assert outcome.record.token in world.kept  # it was stored before it was used
            world.now += 900.0
        world.living.discard(agent.name)  # type: ignore[union-attr]
        agents[number] = born()
    in_flight = in_flight or any(agent.answered for agent in agents)
    if not in_flight:
        assert world.provider.reused == []
        assert world.provider.alive
    world.living = set()
    outcome = finish(rotation(RULES, "last"), world)
    assert isinstance(outcome, Have | Stopped)
    if isinstance(outcome, Have):
        assert outcome.record.token in world.provider.issued
