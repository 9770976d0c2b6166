"""Which tokens were verified before, in bounded memory (SECURITY.md 15, 42)?"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """The most recently used values by a digest; bounded in entries and in bytes.

    The lock is held for a dictionary's operation only, never while anything is verified.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._found: OrderedDict[bytes, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    @property
    def bytes_held(self) -> int:
        """The cost of all entries, in bytes."""
        return self._bytes

    def get(self, digest: bytes) -> Value | None:
        """The value of *digest*, which becomes the most recently used one."""
        with self._lock:
            found = self._found.get(digest)
            if found is None:
                return None
            self._found.move_to_end(digest)
            return found[0]

    def put(self, digest: bytes, value: Value, cost: int) -> None:
        """Remember *value*, of *cost* bytes; the least recently used ones make room."""
        if cost > self._max_bytes:
            return
        with self._lock:
            self._drop(digest)
            self._found[digest] = (value, cost)
            self._bytes += cost
            while len(self._found) > self._max_entries or self._bytes > self._max_bytes:
                _, (_, freed) = self._found.popitem(last=False)
                self._bytes -= freed

    def discard(self, digest: bytes) -> None:
        """Forget *digest*."""
        with self._lock:
            self._drop(digest)

    def _drop(self, digest: bytes) -> None:
        gone = self._found.pop(digest, None)
        if gone is not None:
            self._bytes -= gone[1]
