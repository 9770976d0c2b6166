"""Few threads run at a time, and nobody who waits stands in another's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from agent.envoy.pool import _SPARE, CheckPool
from demo.waiting import until

PATIENCE = 10.0  # seconds after which a test gives up


@pytest.fixture
def pool() -> Iterator[CheckPool]:
    pool = CheckPool(at_once=2, patient=3)
    yield pool
    pool.shutdown()


def test_a_result_and_an_error_come_back(pool: CheckPool) -> None:
    assert pool.submit(lambda x: x + 1, 1).result(PATIENCE) == 2
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result(PATIENCE)


def test_no_more_run_at_a_time_than_allowed(pool: CheckPool) -> None:
    lock, running, most = threading.Lock(), [0], [0]
    both = threading.Barrier(2, timeout=PATIENCE)

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        both.wait()  # ends only if two are inside at the same time
        with lock:
            running[0] -= 1
        both.wait()

    for future in [pool.submit(work) for _ in range(40)]:
        future.result(PATIENCE)
    assert most[0] == 2


@pytest.mark.must(38, 39)
def test_those_who_wait_make_room_for_others(pool: CheckPool) -> None:
    go = threading.Event()

    def wait() -> bool:
        with pool.waiting() as allowed:
            return allowed and go.wait(PATIENCE)

    waiting = [pool.submit(wait) for _ in range(3)]
    # All the places of those who run would be taken, if waiting took one.
    assert [pool.submit(int, "7").result(PATIENCE) for _ in range(20)] == [7] * 20
    assert not any(future.done() for future in waiting)
    go.set()
    assert [future.result(PATIENCE) for future in waiting] == [True] * 3


@pytest.mark.must(38)
def test_those_who_waited_go_on_no_more_at_a_time_than_may_run() -> None:
    pool = CheckPool(at_once=2, patient=20, turn=PATIENCE)
    go, entered, lock = threading.Event(), threading.Semaphore(0), threading.Lock()
    both, running, most = threading.Barrier(2, timeout=PATIENCE), [0], [0]

    def wait() -> None:
        with pool.waiting():
            entered.release()
            go.wait(PATIENCE)
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        both.wait()  # ends only if two are inside at the same time
        with lock:
            running[0] -= 1
        both.wait()

    waiting = [pool.submit(wait) for _ in range(20)]
    for _ in waiting:
        assert entered.acquire(timeout=PATIENCE)
    go.set()
    for future in waiting:
        future.result(PATIENCE)
    assert most[0] == 2
    assert pool.submit(int, "7").result(PATIENCE) == 7
    pool.shutdown()


def test_those_who_waited_and_new_work_take_turns() -> None:
    pool = CheckPool(at_once=1, patient=20, turn=PATIENCE)
    go, entered, order = threading.Event(), threading.Semaphore(0), list[str]()
    begun, gather = threading.Event(), threading.Event()

    def wait() -> None:
        with pool.waiting():
            entered.release()
            go.wait(PATIENCE)
        order.append("waited")

    def hold() -> None:
        begun.set()
        gather.wait(PATIENCE)

    asked = [pool.submit(wait) for _ in range(20)]
    for _ in asked:
        assert entered.acquire(timeout=PATIENCE)
    asked.append(pool.submit(hold))
    assert begun.wait(PATIENCE)
    asked += [pool.submit(order.append, "new") for _ in range(20)]
    go.set()
    until(lambda: len(pool._returning) == 20, "those who waited")
    gather.set()
    for future in asked:
        future.result(PATIENCE)
    assert order in (["waited", "new"] * 20, ["new", "waited"] * 20)
    pool.shutdown()


def test_who_waited_goes_on_though_those_who_run_are_stuck() -> None:
    pool = CheckPool(at_once=1, patient=1, turn=0.01)
    go, free, entered = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        with pool.waiting():
            entered.set()
            go.wait(PATIENCE)
        free.set()

    waiting = pool.submit(wait)
    assert entered.wait(PATIENCE)
    stuck = pool.submit(free.wait, PATIENCE)
    go.set()
    assert stuck.result(PATIENCE)  # ends only after the other one
    waiting.result(PATIENCE)
    assert pool.submit(int, "7").result(PATIENCE) == 7
    pool.shutdown()


@pytest.mark.must(39, 42)
def test_only_so_many_may_wait_and_the_next_one_is_told(pool: CheckPool) -> None:
    go = threading.Event()
    entered = threading.Semaphore(0)

    def wait() -> bool:
        with pool.waiting() as allowed:
            if not allowed:
                return False
            entered.release()
            return go.wait(PATIENCE)

    waiting = [pool.submit(wait) for _ in range(3)]
    for _ in waiting:
        assert entered.acquire(timeout=PATIENCE)
    assert pool.submit(wait).result(PATIENCE) is False
    go.set()
    assert all(future.result(PATIENCE) for future in waiting)
    assert pool.submit(wait).result(PATIENCE) is True  # their places are free again


def test_a_foreign_thread_may_always_wait(pool: CheckPool) -> None:
    with pool.waiting() as allowed:
        assert allowed


def test_after_the_shutdown_nothing_is_taken_and_what_was_taken_is_done() -> None:
    pool = CheckPool(at_once=1, patient=1)
    go = threading.Event()
    first, second = pool.submit(go.wait, PATIENCE), pool.submit(int, "7")
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(int, "8")
    go.set()
    assert first.result(PATIENCE) is True
    assert second.result(PATIENCE) == 7


def test_no_task_is_lost_under_load(pool: CheckPool) -> None:
    def maybe_wait(n: int) -> int:
        if n % 3 == 0:
            with pool.waiting():
                return n
        return n

    asked = [pool.submit(maybe_wait, n) for n in range(3000)]
    assert [future.result(PATIENCE) for future in asked] == list(range(3000))


@pytest.mark.must(42)
def test_the_threads_of_a_burst_end_with_it() -> None:
    pool = CheckPool(at_once=2, patient=200)
    go, entered = threading.Event(), threading.Semaphore(0)

    def wait() -> threading.Thread:
        with pool.waiting() as allowed:
            entered.release()
            assert allowed
            go.wait(PATIENCE)
        return threading.current_thread()

    waiting = [pool.submit(wait) for _ in range(200)]
    for _ in waiting:
        assert entered.acquire(timeout=PATIENCE)
    go.set()
    used = {future.result(PATIENCE) for future in waiting}
    assert len(used) == 200
    end = time.monotonic() + PATIENCE
    while sum(thread.is_alive() for thread in used) > _SPARE and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert sum(thread.is_alive() for thread in used) <= _SPARE
    pool.shutdown()
