"""Where does an operator's revocation go? Into the file or the Redis that the agents read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from agent.atomic_file import replace_file
from agent.config.revocation import Revocation
from agent.identity.fetch import Fetcher
from agent.identity.revocation.editing import with_entry, without
from agent.identity.revocation.entry import Entry, Mistake
from agent.identity.revocation.listing import MAX_BYTES, NotAList, read_list
from agent.identity.revocation.unwritten import Goes, NotWritten
from agent.identity.unusable import Unusable

__all__ = ["FileStore", "Goes", "NotWritten", "Store", "store_of"]


class Store(Protocol):
    """A list that can be changed. Every method raises `NotWritten`."""

    def listed(self) -> Mapping[str, Entry | Mistake]: ...
    def add(self, entry: Entry, name: str = "") -> str: ...
    def remove(self, goes: Goes) -> list[str]: ...


def store_of(rules: Revocation) -> Store:
    """Return the store of the list that *rules* name."""
    if rules.redis is not None:
        # redis takes 8 MB, which only those pay who use it
        from agent.identity.revocation.redis_store import RedisStore

        return RedisStore(rules.redis)
    if rules.file is not None:
        return FileStore(rules.file)
    raise ValueError("a revocation section without a source")


class FileStore:
    """The list in a file; one writer at a time, and never half a list."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))

    def listed(self) -> dict[str, Entry | Mistake]:
        """Every entry by its id."""
        try:
            return {entry.id: entry for entry in read_list(self._content(), str(self._path))}
        except NotAList as refused:
            raise NotWritten(str(refused)) from None

    def add(self, entry: Entry, name: str = "") -> str:
        """Write *entry*, and return its id."""
        self._change(lambda content: with_entry(content, entry, str(self._path)))
        return entry.id

    def remove(self, goes: Goes) -> list[str]:
        """Remove what *goes* names, and return the ids."""
        gone: list[str] = []

        def leaves(entry: Entry) -> bool:
            if goes(entry.id, entry):
                gone.append(entry.id)
            return goes(entry.id, entry)

        self._change(lambda content: without(content, leaves, str(self._path)))
        return gone

    def _content(self) -> bytes:
        if not self._path.exists():
            return b"[]\n"
        content = Fetcher(max_body=MAX_BYTES)(self._path)
        if isinstance(content, Unusable):
            raise NotWritten(f"{content.sentence}; correct it first")
        return content

    def _change(self, change: Callable[[bytes], bytes]) -> None:
        try:
            with _alone(self._path.parent):
                before = self._content()
                after = change(before)
                if after != before:
                    read_list(after, str(self._path))
                    replace_file(self._path, after, self._mode())
        except NotAList as refused:
            raise NotWritten(str(refused)) from None
        except OSError as why:
            raise NotWritten(
                f"{self._path} cannot be written ({why.strerror}); where it is a ConfigMap change "
                "that, else make its folder writable"
            ) from None

    def _mode(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return stat.S_IMODE(self._path.stat().st_mode)
        return 0o644  # who writes and who reads are two users, and no secret is in it


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: the file itself is replaced, and a lock on it would be lost."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
