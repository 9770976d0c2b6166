"""What is revoked by the hash in Redis? Asked twice a second, read whole when it has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from agent.config.revocation import RedisList
from agent.identity.revocation.entry import Entry, Mistake, read_entry
from agent.identity.revocation.listing import MAX_BYTES, MAX_ENTRIES
from agent.identity.revocation.reconciled import Held, reconciled
from agent.identity.revocation.redis_link import Unreachable, client_of, sentence
from agent.identity.revocation.state import Fresh, Look, Same, Trouble
from agent.identity.strict_json import NotStrict, strict_object

INTERVAL = 0.5  # seconds between two looks
SMALL = 200  # entries that are read whole at every look: then no change needs a version
WHOLE = 10.0  # seconds after which a larger list is read whole all the same
_TOLD = 3  # entries that a complaint names


@dataclass(frozen=True, slots=True)
class Mark:
    """What a cheap look sees: the version key and the number of entries. `at` is monotonic."""

    version: int
    size: int
    connection: int
    at: float


def whole_due(last: Mark | None, now: Mark) -> bool:
    """Whether the list has to be read whole: it may have changed, or it costs nothing."""
    if last is None or now.size <= SMALL:
        return True
    if (now.version, now.size, now.connection) != (last.version, last.size, last.connection):
        return True
    return now.at - last.at >= WHOLE


class RedisSource:
    """The hash `key` of a Redis: a name for each entry, to its JSON; `key:version` counts changes.

    What cannot be read of it is left out and complained about; where it was readable before, the
    last readable text applies.
    """

    interval = INTERVAL

    def __init__(self, config: RedisList, clock: Callable[[], float]) -> None:
        self.name = f"Redis {config.address}/{config.database} {config.key}"
        self._config = config
        self._clock = clock
        self._connections = 0
        self._client = client_of(config, self._connected)
        self._held = Held()
        self._raw: dict[bytes, bytes] = {}
        self._last: Mark | None = None
        self._complaints: tuple[str, ...] = ()
        self._seen_in = 0  # the connection in which the list was last read

    def resume(self, by_id: Mapping[str, Entry], version: int) -> None:
        """Take up where a process before this one was: what it knew, it knew for a reason."""
        self._held = Held(dict(by_id), version)

    def look(self, ticks: float) -> Look:
        """Ask once; *ticks* is in seconds of a monotonic clock. Waits for a few seconds at most."""
        try:
            return self._look(ticks)
        except (redis.RedisError, Unreachable, OSError, ValueError) as error:
            self._client.close()
            return Trouble(sentence(error, self._config))

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _connected(self) -> None:
        self._connections += 1

    def _look(self, ticks: float) -> Look:
        key = self._config.key
        version, size = self._ask(("GET", f"{key}:version"), ("HLEN", key))
        mark = Mark(_version(version), int(size), self._connections, ticks)
        if mark.size > MAX_ENTRIES:
            return Trouble(
                f"{self.name} holds {mark.size} entries, more than {MAX_ENTRIES}; remove those "
                "whose tokens have expired (attache revocations prune)",
                lasting=True,
            )
        if not whole_due(self._last, mark):
            return Same()
        return self._read(key, ticks)

    def _read(self, key: str, ticks: float) -> Look:
        raw: dict[bytes, bytes]
        raw, version = self._ask(("HGETALL", key), ("GET", f"{key}:version"))
        if sum(len(name) + len(text) for name, text in raw.items()) > MAX_BYTES:
            return Trouble(
                f"{self.name} holds more than {MAX_BYTES} bytes; shorten its entries", lasting=True
            )
        mark = Mark(_version(version), len(raw), self._connections, ticks)
        watched = self._seen_in == self._connections
        now = self._clock()
        if watched and raw == self._raw and mark.version == self._held.version:
            self._last = mark
            ended = any(entry.over(now) for entry in self._held.kept.values())
            return self._fresh(now) if ended else Same()
        entries, bad = self._entries(raw)
        held = reconciled(self._held, entries, mark.version, watched=watched, now=now)
        if len(held.all) > MAX_ENTRIES:
            return Trouble(
                f"{self.name} and what it has lost are more than {MAX_ENTRIES} entries; remove "
                "those whose tokens have expired",
                lasting=True,
            )
        self._held, self._raw, self._last = held, raw, mark
        self._seen_in = self._connections
        self._complaints = _about(bad)
        return self._fresh(now)

    def _ask(self, *commands: tuple[str, str]) -> list[Any]:
        """The answers to *commands*, which Redis runs as one."""
        with self._client.pipeline(transaction=True) as pipe:
            queue: Any = pipe.execute_command  # the library types it for nobody
            for command in commands:
                queue(*command)
            return pipe.execute()

    def _fresh(self, now: float) -> Fresh:
        kept = {name: e for name, e in self._held.kept.items() if not e.over(now)}
        self._held = replace(self._held, kept=kept)
        said = self._complaints
        if kept:
            said = (
                *said,
                f"{self.name} came back without {len(kept)} entries that nobody was seen to "
                f"remove ({', '.join(sorted(kept)[:_TOLD])}); they still apply. Bring them back "
                "with 'attache revocations restore', and remove what is to go",
            )
        return Fresh(self._held.all, self._held.version, said)

    def _entries(self, raw: Mapping[bytes, bytes]) -> tuple[dict[str, Entry], dict[str, str]]:
        """The entries by name, and what is wrong with the others."""
        entries: dict[str, Entry] = {}
        bad: dict[str, str] = {}
        for field, text in raw.items():
            name = field.decode("utf-8", "backslashreplace")[:256]
            entry = read_text(text)
            if isinstance(entry, Entry):
                entries[name] = entry
                continue
            bad[name] = str(entry)
            if name in self._held.all:
                entries[name] = self._held.all[name]
        return entries, bad


def read_text(text: bytes) -> Entry | Mistake:
    """Return the entry that one value of the hash says."""
    try:
        return read_entry(strict_object(text))
    except NotStrict as why:
        return Mistake("", str(why), 'write a JSON object like {"subject":"…"}')


def _version(said: bytes | None) -> int:
    """The counter; whatever is no number counts as none."""
    return int(said) if said and said.isdigit() and len(said) < 19 else 0


def _about(bad: Mapping[str, str]) -> tuple[str, ...]:
    if not bad:
        return ()
    shown = "; ".join(f"'{name}': {why}" for name, why in sorted(bad.items())[:_TOLD])
    return (f"{len(bad)} of its entries cannot be read and are left out or as before ({shown})",)
