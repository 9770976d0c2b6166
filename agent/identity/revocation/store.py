"""Where does an operator's revocation go? Into the file or the Redis that the agents read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import redis

from agent.atomic_file import replace_file
from agent.config.revocation import RedisList, Revocation
from agent.identity.fetch import Fetcher
from agent.identity.revocation.editing import with_entry, without
from agent.identity.revocation.entry import Entry, Mistake, written
from agent.identity.revocation.listing import MAX_BYTES, MAX_ENTRIES, NotAList, read_list
from agent.identity.revocation.redis_link import Unreachable, client_of, sentence
from agent.identity.revocation.redis_source import read_text
from agent.identity.unusable import Unusable

Goes = Callable[[str, Entry], bool]
"""Whether the entry under a name is to go."""


class NotWritten(Exception):
    """The list is as it was; the text says why and what to do."""


class Store(Protocol):
    """A list that can be changed. Every method raises `NotWritten`."""

    def listed(self) -> Mapping[str, Entry | Mistake]: ...
    def add(self, entry: Entry, name: str = "") -> str: ...
    def remove(self, goes: Goes) -> list[str]: ...


def store_of(rules: Revocation) -> Store:
    """Return the store of the list that *rules* name."""
    if rules.redis is not None:
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


class RedisStore:
    """The list in a hash of Redis; each change counts the version on, in one transaction."""

    def __init__(self, config: RedisList) -> None:
        self._config = config
        self._client = client_of(config, lambda: None)

    def listed(self) -> dict[str, Entry | Mistake]:
        """Every entry by its name in the hash."""
        (raw,) = self._ask(("HGETALL", self._config.key))
        return {name.decode("utf-8", "backslashreplace"): read_text(raw[name]) for name in raw}

    def add(self, entry: Entry, name: str = "") -> str:
        """Write *entry* under *name*, else its id, and return that."""
        key = self._config.key
        (size,) = self._ask(("HLEN", key))
        if size >= MAX_ENTRIES:
            raise NotWritten(
                f"the list has {size} entries, and agents read {MAX_ENTRIES}; run 'attache "
                "revocations prune', or write one issuedBefore for a tenant or client"
            )
        text = json.dumps(written(entry), ensure_ascii=False)
        self._ask(("HSET", key, name or entry.id, text), ("INCR", f"{key}:version"))
        return name or entry.id

    def remove(self, goes: Goes) -> list[str]:
        """Remove what *goes* names, and return the names."""
        key = self._config.key
        gone = [
            name
            for name, entry in self.listed().items()
            if goes(name, entry if isinstance(entry, Entry) else Entry())
        ]
        if gone:
            self._ask(("HDEL", key, *gone), ("INCR", f"{key}:version"))
        return gone

    def _ask(self, *commands: tuple[str, ...]) -> list[Any]:
        try:
            with self._client.pipeline(transaction=True) as pipe:
                queue: Any = pipe.execute_command
                for command in commands:
                    queue(*command)
                return pipe.execute()
        except (redis.RedisError, Unreachable, OSError, ValueError) as error:
            raise NotWritten(sentence(error, self._config)) from None
