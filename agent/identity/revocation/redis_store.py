"""How does an operator's revocation get into Redis? One transaction for each change."""

from __future__ import annotations

import json
from typing import Any

import redis

from agent.config.revocation import RedisList
from agent.identity.revocation.entry import Entry, Mistake, written
from agent.identity.revocation.listing import MAX_ENTRIES
from agent.identity.revocation.redis_link import Unreachable, client_of, sentence
from agent.identity.revocation.redis_source import read_text
from agent.identity.revocation.unwritten import Goes, NotWritten


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
