"""SIGKILL at every step of a rotation, SIGSTOP in the middle, and a shared store. All real."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.rotating import IN_FLIGHT, STEPS, Rotating
from demo.waiting import until
from tests.e2e.peers.oidc_provider import OidcProvider
from tests.e2e.stored_bench import Bench

pytestmark = [pytest.mark.e2e, pytest.mark.must(31)]


@pytest.fixture(scope="module")
def make(
    tmp_path_factory: pytest.TempPathFactory, oidc_provider: OidcProvider
) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(place: Callable[[Path], dict[str, Any]], **more: Any) -> Bench:
        folder = tmp_path_factory.mktemp("bench")
        made.append(Bench(folder, oidc_provider, place(folder), **more))
        return made[-1]

    yield bench
    for each in made:
        each.relay.stop()


def in_file(folder: Path) -> dict[str, Any]:
    return {"file": {"path": str(folder / "crm")}}


@pytest.fixture(scope="module")
def bench(make: Callable[..., Bench]) -> Bench:
    return make(in_file)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_loses_nothing_but_an_answer_that_nobody_kept(bench: Bench, step: str) -> None:
    bench.log_in()
    assert bench.run(die=step)[0] == -signal.SIGKILL
    code, said = bench.run()
    if step in IN_FLIGHT:  # this provider revokes the grant: told, and never asked again
        assert (code, "run 'attache login crm'" in said) == (1, True), said
        assert bench.record.ended == "refused"
        sent = len(bench.relay.sent)
        assert bench.run()[0] == 1
        assert len(bench.relay.sent) == sent == 2
        return
    assert code == 0, said
    assert len(bench.relay.sent) == len(set(bench.relay.sent))  # nothing was used twice
    assert bench.run()[0] == 0  # and the grant lives


def test_beyond_the_grace_a_token_in_doubt_is_kept_back(make: Callable[..., Bench]) -> None:
    bench = make(in_file, grace=0)
    bench.run(die="send done")
    code, said = bench.run()
    assert (code, "grace is over" in said) == (1, True)
    assert len(bench.relay.sent) == 1


def test_many_processes_share_one_rotation_at_a_time(bench: Bench) -> None:
    bench.log_in()
    crowd = [Rotating(bench.file, times=8) for _ in range(3)]
    ends = [process.end() for process in crowd]
    assert [code for code, _ in ends] == [0, 0, 0], ends
    assert len(bench.relay.sent) == len(set(bench.relay.sent))


def test_a_stopped_process_is_overtaken_and_does_no_harm(make: Callable[..., Bench]) -> None:
    bench = make(in_file)
    stopped = Rotating(bench.file, times=3, stop="read")
    try:
        until(lambda: _stopped(stopped.pid), "it stands still")
        assert bench.run(times=3)[0] == 0
        assert bench.relay.sent  # it was overtaken
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.end()[0] == 0
    # What was obtained a moment ago may serve again, so there need not be three of each.
    assert len(bench.relay.sent) == len(set(bench.relay.sent)) <= 6
    assert bench.run()[0] == 0  # and the grant lives


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_a_store_that_nobody_can_write_costs_no_token(make: Callable[..., Bench]) -> None:
    bench = make(in_file)
    store = bench.token.store.file
    assert store is not None
    (store.path.parent / "crm.spare").unlink(missing_ok=True)
    (store.path.parent / "crm.spare").mkdir()  # root may write everywhere else
    code, said = bench.run()
    assert (code, "cannot be used" in said, bench.relay.sent) == (1, True, [])
    (store.path.parent / "crm.spare").rmdir()
    assert bench.run()[0] == 0
