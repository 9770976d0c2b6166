"""The threads that keep documents fresh (SECURITY.md 34, 38, 40)."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.identity.issuers.document import Document
from agent.identity.refresh import Refresher, Source
from agent.identity.sources import Pace

NOW = 1_800_000_000.0
CALM = Pace(first_retry=50.0, last_retry=50.0)  # no retry unless the test moves the clock


class FakeClock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def source(name: str, owner: str = "", pace: Pace = CALM) -> Source:
    url = f"https://{name}.example/keys"
    return Source(Document(group="", algorithms=("ES256",), keys=url), owner or name, pace)


Run = Callable[..., tuple[Refresher, FakeClock]]


@pytest.fixture
def run(web: Any) -> Iterator[Run]:
    """Start a refresher of these sources over the web of documents."""
    started: list[Refresher] = []

    def start(*watched: Source, **options: Any) -> tuple[Refresher, FakeClock]:
        clock = FakeClock()
        refresher = Refresher(watched, web, clock, chance=lambda: 1.0, **options)
        started.append(refresher)
        refresher.start()
        return refresher, clock

    yield start
    for gate in web.held.values():
        gate.set()
    for refresher in started:
        refresher.stop()


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """The results of *work*, done by so many threads at once."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_keys_are_there_soon_after_the_start(run: Run, web: Any, ring: Any) -> None:
    a = source("a")
    web.documents["https://a.example/keys"] = ring.jwks("ec256")
    refresher, clock = run(a)
    assert refresher.wait(lambda: a.loaded(clock()) is not None, 30)


@pytest.mark.must(38)
def test_a_stalled_issuer_delays_no_other(run: Run, web: Any, ring: Any) -> None:
    stalled, healthy = [source(f"s{n}", owner="slow") for n in range(8)], source("b")
    for each in stalled:
        web.held[each.document.keys] = threading.Event()
    web.documents["https://b.example/keys"] = ring.jwks("ec256")
    refresher, clock = run(*stalled, healthy)
    for turn in range(1, 4):
        assert refresher.wait(lambda turn=turn: healthy.attempts >= turn, 30)
        clock.now += 3600
        refresher.wake()
    assert [each.attempts for each in stalled] == [0] * 8
    # bounded, too: eight are due, and no more than four hang
    assert sum(each.busy for each in stalled) == 4


@pytest.mark.must(35, 40)
def test_an_issuer_that_is_down_at_the_start_recovers_by_itself(
    run: Run, web: Any, ring: Any
) -> None:
    a = source("a")
    refresher, clock = run(a)
    assert refresher.wait(lambda: a.attempts == 1, 30)
    assert a.loaded(clock()) is None
    assert "404" in a.state.error
    web.documents["https://a.example/keys"] = ring.jwks("ec256")
    clock.now += 50
    refresher.wake()
    assert refresher.wait(lambda: a.loaded(clock()) is not None, 30)
    web.documents["https://a.example/keys"] = b"<html>Sign in</html>"
    clock.now += 3600
    refresher.wake()
    assert refresher.wait(lambda: a.attempts == 3, 30)
    loaded = a.loaded(clock())
    assert loaded is not None
    assert set(loaded.keys.keys) == {"ec256"}


@pytest.mark.must(34)
def test_concurrent_unknown_key_ids_share_one_fetch_per_cool_down(
    run: Run, web: Any, ring: Any, settled: Any
) -> None:
    a, url = source("a"), "https://a.example/keys"
    web.documents[url] = ring.jwks("ec256")
    refresher, clock = run(a, most_waiting=100)
    assert refresher.wait(lambda: a.attempts == 1, 30)
    web.held[url] = threading.Event()
    opener = threading.Thread(
        target=lambda: (settled(lambda: a.waiting == 20), web.held[url].set())
    )
    opener.start()
    assert in_threads(20, lambda: refresher.ask(a, 30)) == [True] * 20
    opener.join()
    assert a.attempts == 2
    for _ in range(50):
        assert refresher.ask(a, 30)
    assert (a.attempts, web.fetched.count(url)) == (2, 2)
    clock.now += 300
    assert refresher.ask(a, 30)
    assert a.attempts == 3


@pytest.mark.must(34)
def test_a_stranger_cannot_starve_the_background_refresh(run: Run, web: Any, ring: Any) -> None:
    never_again = Pace(cooldown=1e9)
    a, url = source("a", pace=never_again), "https://a.example/keys"
    web.documents[url] = ring.jwks("ec256")
    refresher, clock = run(a)
    assert refresher.wait(lambda: a.attempts == 1, 30)
    assert refresher.ask(a, 30)
    assert a.attempts == 2
    web.documents[url] = ring.jwks("ec256", "ec256-b")
    for _ in range(30):
        clock.now += 100
        assert refresher.ask(a, 30)  # answered at once: the cool-down is used up
    assert a.attempts == 2
    clock.now += 600
    refresher.wake()
    assert refresher.wait(lambda: a.attempts == 3, 30)
    assert a.state.generation == 2


@pytest.mark.must(39)
def test_a_wait_ends_with_the_deadline_and_waiters_are_bounded(
    run: Run, web: Any, ring: Any, settled: Any
) -> None:
    a, url = source("a"), "https://a.example/keys"
    web.documents[url] = ring.jwks("ec256")
    refresher, _ = run(a, most_waiting=2)
    assert refresher.wait(lambda: a.attempts == 1, 30)
    web.held[url] = threading.Event()
    assert not refresher.ask(a, 0.05)
    assert not refresher.ask(a, -1.0)
    waiters = [threading.Thread(target=lambda: refresher.ask(a, 30)) for _ in range(2)]
    for waiter in waiters:
        waiter.start()
    settled(lambda: a.waiting == 2)
    third = threading.Thread(target=lambda: refresher.ask(a, 3600), daemon=True)
    third.start()
    settled(lambda: not third.is_alive())  # while the two still wait
    assert a.waiting == 2
    web.held[url].set()
    for waiter in waiters:
        waiter.join()
    assert a.waiting == 0


@pytest.mark.must(38)
def test_who_may_not_ask_needs_no_lock_and_who_waited_holds_none(
    run: Run, web: Any, ring: Any
) -> None:
    a, url = source("a"), "https://a.example/keys"
    web.documents[url] = ring.jwks("ec256")
    free: list[bool] = []

    def is_free() -> bool:
        taken = a.ended.acquire(blocking=False)
        if taken:
            a.ended.release()
        return taken

    @contextmanager
    def waiting() -> Iterator[bool]:
        yield True
        # as the pool does: here a thread may wait for its turn
        free.extend(in_threads(1, is_free))

    refresher, _ = run(a, waiting=waiting)
    assert refresher.wait(lambda: a.attempts == 1, 30)
    assert refresher.ask(a, 30)
    assert free == [True]
    with ThreadPoolExecutor(1) as other, a.ended:
        assert other.submit(refresher.ask, a, 30).result(30)  # the cool-down is used up
    assert free == [True]


def test_nobody_waits_for_a_refresher_that_does_not_run(web: Any) -> None:
    a = source("a")
    assert Refresher((a,), web, FakeClock()).ask(a, 30)
    assert web.fetched == []


@pytest.mark.must(33)
def test_a_file_is_reread_when_it_changes_and_kept_when_it_is_broken(
    run: Run, ring: Any, tmp_path: Path
) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(ring.jwks("ec256"))
    mounted = Source(Document(group="", algorithms=("ES256",), file=file), "mesh")
    refresher, clock = run(mounted)
    assert refresher.wait(lambda: mounted.state.generation == 1, 30)

    def look(content: bytes | None) -> None:
        """Let two seconds pass over a new content, replaced as a ConfigMap is."""
        if content is not None:
            fresh = tmp_path / "fresh"
            fresh.write_bytes(content)
            fresh.replace(file)
        else:
            file.unlink()
        attempts = mounted.attempts
        clock.now += 2
        refresher.wake()
        assert refresher.wait(lambda: mounted.attempts > attempts, 30)

    look(ring.jwks("ec256", "ec256-b"))
    assert mounted.state.generation == 2
    look(ring.jwks("ec256", "ec256-b"))
    for broken in (b"", b"{", None):
        look(broken)
        assert mounted.state.generation == 2
        assert mounted.state.error
        loaded = mounted.loaded(clock())
        assert loaded is not None
        assert set(loaded.keys.keys) == {"ec256", "ec256-b"}
    look(ring.jwks("ec256-b"))
    assert (mounted.state.generation, mounted.state.error) == (3, "")


def test_a_fetch_that_breaks_is_logged_and_tried_again(
    ring: Any, caplog: pytest.LogCaptureFixture
) -> None:
    a = source("a")
    calls: list[object] = []

    def fetch(location: object, ca_file: object) -> bytes:
        calls.append(location)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return bytes(ring.jwks("ec256"))

    clock = FakeClock()
    refresher = Refresher((a,), fetch, clock, chance=lambda: 1.0)
    refresher.start()
    try:
        assert refresher.wait(lambda: a.attempts == 1, 30)
        assert not a.busy
        clock.now += 50
        refresher.wake()
        assert refresher.wait(lambda: a.loaded(clock()) is not None, 30)
    finally:
        refresher.stop()
    assert "a bug" in caplog.text


def test_it_stops_and_starts_again(run: Run, web: Any, ring: Any) -> None:
    a = source("a")
    web.documents["https://a.example/keys"] = ring.jwks("ec256")
    refresher, clock = run(a)
    assert refresher.wait(lambda: a.attempts == 1, 30)
    refresher.stop()
    refresher.stop()
    clock.now += 3600
    refresher.start()
    refresher.start()
    assert refresher.wait(lambda: a.attempts == 2, 30)
