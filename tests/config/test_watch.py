"""A changed file is taken over once it stands still; a broken one changes nothing."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config.attache import Attache
from agent.config.loading import ConfigInvalid, Finding, load, parse
from agent.config.watch import SETTLE, Seen, Watcher, due

GOOD = Path(__file__).with_name("example.yaml").read_text()
OTHER = GOOD.replace("name: task-api, namespace: shop", "name: task-api, namespace: shop-2")
OTHER = OTHER.replace(".shop:", ".shop-2:").replace("[billing.shop", "[billing.shop-2")
OTHER = OTHER.replace('"billing.shop"', '"billing.shop-2"')

# Time and fingerprint found then → acted on?
RULE: dict[str, list[tuple[float, str, bool]]] = {
    "a new content is acted on once it has settled, and once only": [
        (0, "a", False), (1, "a", True), (2, "a", False), (3, "b", False), (4, "b", True),
    ],
    "too early a second look decides nothing": [
        (0, "a", False), (SETTLE / 2, "a", False), (SETTLE, "a", True),
    ],
    "a file that is being written is not acted on until it stands still": [
        (0, "a", False), (1, "a", True), (2, "b1", False), (3, "b2", False), (4, "b3", False),
        (5, "b3", True),
    ],
    "a change that was taken back in time never was": [
        (0, "a", False), (1, "a", True), (2, "b", False), (3, "a", False), (4, "b", False),
        (5, "b", True),
    ],
    "a content that comes back after another is acted on again": [
        (0, "a", False), (1, "a", True), (2, "b", False), (3, "b", True), (4, "a", False),
        (5, "a", True),
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", RULE.values(), ids=RULE)
def test_when_a_change_is_due(steps: list[tuple[float, str, bool]]) -> None:
    seen = Seen()
    for now, found, expected in steps:
        seen, act = due(seen, found, now)
        assert act is expected, (now, found)


class Operator:
    """A file, a watcher over it, and what the watcher said; time moves by ticks of a second."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "attache.yaml"
        if not self.file.exists():
            self.file.write_text(GOOD)
        self.said: list[Attache | ConfigInvalid] = []
        self.seconds = itertools.count()
        self.watcher = Watcher(
            self.file, load(self.file), self.said.append, self.said.append, clock=lambda: 0.0
        )

    def hears(self) -> list[Attache | ConfigInvalid]:
        """Let five seconds pass and return what was said meanwhile."""
        self.said.clear()
        for _ in range(5):
            self.watcher.tick(next(self.seconds))
        return list(self.said)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def only_invalid(said: list[Attache | ConfigInvalid]) -> tuple[Finding, ...]:
    (invalid,) = said
    assert isinstance(invalid, ConfigInvalid)
    return invalid.findings


def rewrite(file: Path) -> None:
    file.write_text(OTHER)


def replace(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_text(OTHER)
    new.rename(file)


def remove_and_write(file: Path) -> None:
    file.unlink()
    file.write_text(OTHER)


@pytest.mark.parametrize("change", [rewrite, replace, remove_and_write])
def test_a_changed_file_is_taken_over_once(
    operator: Operator, change: Callable[[Path], None]
) -> None:
    assert operator.hears() == []
    change(operator.file)
    assert operator.hears() == [parse(OTHER.encode(), "x")]
    assert operator.hears() == []


def test_the_swap_of_a_config_map_is_taken_over(tmp_path: Path) -> None:
    # What the kubelet does: attache.yaml → ..data/attache.yaml, ..data → a folder by date.
    for name, text in (("..1", GOOD), ("..2", OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "attache.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "attache.yaml").symlink_to("..data/attache.yaml")
    operator = Operator(tmp_path)
    assert operator.hears() == []
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert operator.hears() == [parse(OTHER.encode(), "x")]


def test_a_change_between_loading_and_watching_is_not_lost(operator: Operator) -> None:
    rewrite(operator.file)
    assert operator.hears() == [parse(OTHER.encode(), "x")]


def test_a_change_that_says_the_same_changes_nothing(operator: Operator) -> None:
    operator.hears()
    operator.file.write_text(GOOD + "# a comment\n")
    assert operator.hears() == []
    os.utime(operator.file)
    assert operator.hears() == []


@pytest.mark.must(43)
def test_an_invalid_file_is_said_once_with_its_reasons_and_changes_nothing(
    operator: Operator,
) -> None:
    operator.hears()
    operator.file.write_text(GOOD.replace("port: 15006", "port: x"))
    (finding,) = only_invalid(operator.hears())
    assert (finding.line, finding.path) == (4, "listeners.inbound.port")
    assert finding.file == str(operator.file)
    assert operator.hears() == []

    operator.file.write_text(GOOD.replace("port: 15006", "port: y"))
    assert len(only_invalid(operator.hears())) == 1


@pytest.mark.must(43)
def test_a_file_put_right_ends_the_alarm_even_if_it_says_what_is_running(
    operator: Operator,
) -> None:
    operator.hears()
    operator.file.write_text("nonsense")
    only_invalid(operator.hears())
    operator.file.write_text(GOOD)
    assert operator.hears() == [parse(GOOD.encode(), "x")]


def test_a_vanished_file_is_said_once_and_its_return_too(operator: Operator) -> None:
    operator.hears()
    operator.file.unlink()
    (finding,) = only_invalid(operator.hears())
    assert "does not exist" in finding.reason
    assert operator.hears() == []
    operator.file.write_text(GOOD)
    assert operator.hears() == [parse(GOOD.encode(), "x")]


def test_a_half_written_file_is_not_read(operator: Operator) -> None:
    operator.hears()
    for length in range(0, len(OTHER), 400):
        operator.file.write_text(OTHER[:length])
        operator.watcher.tick(next(operator.seconds))
    operator.file.write_text(OTHER)
    assert operator.hears() == [parse(OTHER.encode(), "x")]


def test_a_configuration_that_the_agent_refuses_is_an_invalid_one(operator: Operator) -> None:
    def refuse(config: Attache) -> None:
        raise ConfigInvalid([Finding(0, "agent.socket", "no", "yes")])

    operator.watcher = Watcher(
        operator.file, load(operator.file), refuse, operator.said.append, clock=lambda: 0.0
    )
    rewrite(operator.file)
    assert [finding.path for finding in only_invalid(operator.hears())] == ["agent.socket"]
    assert operator.hears() == []


def test_the_thread_watches_until_it_is_stopped_and_survives_a_fault_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "attache.yaml"
    file.write_text(GOOD)
    failed, changed = threading.Event(), threading.Event()

    def on_change(config: Attache) -> None:
        if config.workload.namespace == "shop-2" and not failed.is_set():
            failed.set()
            raise RuntimeError("a fault of ours")
        changed.set()

    seconds = itertools.count()
    watcher = Watcher(
        file, load(file), on_change, lambda _: None, lambda: float(next(seconds)), interval=0.001
    )
    with caplog.at_level(logging.ERROR):
        watcher.start()
        file.write_text(OTHER)
        assert failed.wait(30)
        file.write_text(OTHER.replace("lifetime: 5m", "lifetime: 6m"))
        assert changed.wait(30)
        watcher.stop()
    assert "the old one stays" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "config-watch"]


def test_a_watcher_that_never_started_can_be_stopped(operator: Operator) -> None:
    operator.watcher.stop()
