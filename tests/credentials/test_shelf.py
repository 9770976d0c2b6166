"""Both bounds of a shelf, and who leaves first."""

from __future__ import annotations

import pytest

from agent.credentials.shelf import Shelf


@pytest.mark.must(42)
def test_neither_bound_is_ever_passed() -> None:
    shelf = Shelf[int, int](entries=10, size=50)
    for key in range(1000):
        shelf.put(key, key, size=key % 20)
        assert len(shelf) <= 10
        assert shelf.held <= 50
        assert shelf.held == sum(value % 20 for value in shelf.values())


def test_the_least_recently_used_leaves_first() -> None:
    shelf = Shelf[str, int](entries=2, size=100)
    shelf.put("a", 1, 1)
    shelf.put("b", 2, 1)
    assert shelf.get("a") == 1
    shelf.put("c", 3, 1)
    assert [shelf.get(key) for key in "abc"] == [1, None, 3]


def test_what_is_larger_than_the_shelf_is_not_kept_and_takes_nothing_away() -> None:
    shelf = Shelf[str, int](entries=2, size=10)
    shelf.put("a", 1, 5)
    shelf.put("b", 2, 11)
    assert (shelf.get("a"), shelf.get("b"), shelf.held) == (1, None, 5)


def test_a_value_that_replaces_another_counts_once() -> None:
    shelf = Shelf[str, int](entries=2, size=10)
    for size in (4, 6, 3):
        shelf.put("a", size, size)
    assert (shelf.held, len(shelf)) == (3, 1)
    shelf.drop("a")
    shelf.drop("a")
    assert (shelf.held, len(shelf)) == (0, 0)
