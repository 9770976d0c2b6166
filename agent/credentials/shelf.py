"""What is kept, and what goes when there is no more room? Bounded in entries and in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """Values by key; the least recently used ones leave first (SECURITY.md 42).

    Pure: no lock, no clock. Whoever shares one between threads brings the lock.

    >>> shelf = Shelf[str, int](entries=2, size=100)
    >>> for key in "abc":
    ...     shelf.put(key, ord(key), size=1)
    >>> shelf.get("a"), shelf.get("c")
    (None, 99)
    """

    def __init__(self, entries: int, size: int) -> None:
        self._entries = entries
        self._size = size
        self._held = 0
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def held(self) -> int:
        """Bytes that the values take, as `put` was told."""
        return self._held

    def get(self, key: K) -> V | None:
        """The value under *key*, which counts as used now."""
        item = self._items.get(key)
        if item is None:
            return None
        self._items.move_to_end(key)
        return item[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep *value*, which takes *size* bytes; one larger than the whole shelf is not kept."""
        self.drop(key)
        if size > self._size:
            return
        self._items[key] = (value, size)
        self._held += size
        while len(self._items) > self._entries or self._held > self._size:
            _, (_, freed) = self._items.popitem(last=False)
            self._held -= freed

    def drop(self, key: K) -> None:
        """Forget *key*, if it is there."""
        item = self._items.pop(key, None)
        if item is not None:
            self._held -= item[1]

    def values(self) -> Iterator[V]:
        """Every value, the least recently used one first."""
        return (value for value, _ in self._items.values())
