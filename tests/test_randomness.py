"""Every byte of the source is given out once, whoever asks and how many at a time."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.randomness import BufferedRandomness


class Counting:
    """A source whose bytes can be told apart: eight of them are a number that comes once."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def __call__(self, size: int) -> bytes:
        assert size % 8 == 0
        return b"".join(next(self._numbers).to_bytes(8) for _ in range(size // 8))


def numbers(drawn: list[bytes]) -> list[bytes]:
    return [each[at : at + 8] for each in drawn for at in range(0, len(each), 8)]


@given(st.lists(st.sampled_from([8, 16, 24, 56, 4096, 8192]), max_size=60))
def test_no_byte_is_given_twice(sizes: list[int]) -> None:
    random = BufferedRandomness(Counting())
    drawn = [random(size) for size in sizes]
    assert [len(each) for each in drawn] == sizes
    assert len(set(numbers(drawn))) == sum(sizes) // 8


@pytest.mark.must(29)
def test_no_two_threads_get_the_same_bytes() -> None:
    random = BufferedRandomness(Counting(), portion=112)
    drawn: list[bytes] = []

    def draw() -> None:
        drawn.extend([random(56) for _ in range(2000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers(drawn))) == 4 * 2000 * 7
