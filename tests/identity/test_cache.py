"""The bounds of the cache of verified tokens (SECURITY.md 15, 42)."""

import threading

import pytest

from agent.identity.cache import Cache


def filled(entries: int, size: int, names: str, cost: int = 1) -> Cache[str]:
    cache: Cache[str] = Cache(entries, size)
    for name in names:
        cache.put(name.encode(), name, cost)
    return cache


@pytest.mark.must(42)
def test_the_least_recently_used_entry_makes_room() -> None:
    cache = filled(3, 100, "abc")
    assert cache.get(b"a") == "a"
    cache.put(b"d", "d", 1)
    assert cache.get(b"b") is None
    assert [cache.get(name) for name in (b"a", b"c", b"d")] == ["a", "c", "d"]


@pytest.mark.must(42)
def test_bytes_are_bounded_too() -> None:
    cache = filled(100, 10, "abcdef", cost=4)
    assert len(cache) == 2
    assert cache.bytes_held == 8
    cache.put(b"huge", "huge", 11)
    assert cache.get(b"huge") is None
    assert len(cache) == 2


def test_replacing_and_discarding_give_the_bytes_back() -> None:
    cache = filled(10, 100, "ab", cost=10)
    cache.put(b"a", "new", 30)
    assert (cache.get(b"a"), cache.bytes_held) == ("new", 40)
    cache.discard(b"a")
    cache.discard(b"never there")
    assert (cache.get(b"a"), cache.bytes_held, len(cache)) == (None, 10, 1)


def test_threads_never_break_its_bounds() -> None:
    cache: Cache[int] = Cache(50, 500)

    def work(seed: int) -> None:
        for turn in range(2000):
            name = str((turn * 7 + seed) % 120).encode()
            if cache.get(name) is None:
                cache.put(name, turn, 1 + turn % 20)
            if turn % 5 == 0:
                cache.discard(name)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) <= 50
    assert 0 <= cache.bytes_held <= 500
    for name in range(120):
        cache.discard(str(name).encode())
    assert (len(cache), cache.bytes_held) == (0, 0)
