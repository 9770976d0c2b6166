"""When a snapshot is published, and what the operator is told of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config.attache import Attache
from agent.credentials.credential import Injection
from agent.envoy.delivery import Delivery, changes
from agent.envoy.snapshot import SECRET, Snapshot
from agent.identity.principal import Kind

Configure = Callable[..., Attache]


def token(value: str) -> Injection:
    return Injection((("authorization", f"Bearer {value}"),), Kind.APP)


@pytest.fixture
def config(configure: Configure) -> Attache:
    key = {"secretFile": {"file": "/k"}}
    destination = {"name": "crm", "hosts": ["crm:80"], "delivery": "sds", "credential": key}
    return configure(destinations=[destination])


class World:
    """What is at hand, what was published, and a clock that moves by itself."""

    def __init__(self) -> None:
        self.at_hand: dict[str, Injection] = {}
        self.published: list[Snapshot] = []
        self.now = 0.0
        self.delivery = Delivery(self.published.append, lambda: Path("/bundle"), self._clock)

    def _clock(self) -> float:
        self.now += 0.1
        return self.now

    def take(self, config: Attache) -> None:
        self.delivery.take(config, lambda now: dict(self.at_hand))

    def secrets(self) -> list[Any]:
        return [
            [name.rpartition("_")[0] for name in snapshot.types[SECRET].items]
            for snapshot in self.published
        ]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("agent.envoy.delivery.LOOK", 3600.0)  # the test looks itself
    made = World()
    yield made
    made.delivery.stop()


def test_a_snapshot_is_published_when_a_credential_changes_and_only_then(
    world: World, config: Attache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.take(config)
    world.delivery.look()
    assert world.secrets() == [[]]
    world.at_hand = {"crm": token("canary-1")}
    for _ in range(3):
        world.delivery.look()
    assert world.secrets()[1:] == [["credential_crm"]]
    assert world.delivery.pushed == ("crm",)
    world.at_hand = {"crm": token("canary-2")}
    world.delivery.look()
    world.at_hand = {}
    world.delivery.look()
    assert world.secrets()[2:] == [["credential_crm"], []]
    assert world.delivery.pushed == ()
    assert "canary" not in caplog.text
    assert caplog.text.count("asks nobody") == 1
    assert caplog.text.count("no valid credential is in hand") == 1


def test_a_start_waits_a_moment_for_the_credentials(world: World, config: Attache) -> None:
    world.take(config)
    world.delivery.settle(1.0)  # in vain, and not for ever
    world.at_hand = {"crm": token("one")}
    world.delivery.settle(1e9)
    assert world.delivery.pushed == ("crm",)


def test_a_configuration_without_such_a_destination_runs_no_thread(
    world: World, configure: Configure
) -> None:
    world.take(configure())
    assert world.delivery._thread is None
    assert len(world.published) == 1


def test_a_destination_that_was_taken_out_is_no_warning() -> None:
    before = {"crm": token("one"), "gone": token("two")}
    told = changes(before, {}, frozenset({"crm"}))
    assert [level for level, _ in told] == [logging.WARNING]
    assert "destination 'crm'" in told[0][1]
