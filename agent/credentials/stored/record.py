"""What stands in a store for one refresh token? A value, and its strict form as bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

VERSION = 1
MAX_BYTES = 256 * 1024  # of a record; tokens are at most 32 KiB each
MAX_TOKEN = 32 * 1024
SEEDS = 16  # mounted tokens that are remembered, so that none is adopted twice


class NotARecord(ValueError):
    """The bytes are no record of this version; the text says why, without a value."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that was journalled before it was sent. `at`: the first time, in UTC seconds.

    `token` is the SHA-256 of what is sent, `nonce` names the writer's run, `tries` counts.
    """

    token: str
    nonce: str
    at: float
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Access:
    """The access token that came with the refresh token. Times are UTC seconds."""

    value: str = field(repr=False)
    obtained_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Record:
    """One refresh token and where it stands. Times are UTC seconds, lifetimes seconds.

    `authority` and `client` say to whom it may be sent. `rotates` is what the last answer showed:
    whether a used token was replaced. `ended` is a `State` that only a login ends, or "", and
    `reason` the server's word for it. `seeds` are fingerprints of mounted tokens.
    """

    authority: str
    client: str
    token: str = field(repr=False)
    obtained_at: float
    used_at: float
    generation: int = 0
    rotates: bool = True
    attempt: Attempt | None = None
    access: Access | None = None
    ended: str = ""
    reason: str = ""
    idle_lifetime: float | None = None
    seeds: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the refresh token."""
        return fingerprint(self.token)

    def without_attempt(self) -> Record:
        """This record with nothing under way."""
        return replace(self, attempt=None)


def fingerprint(token: str) -> str:
    """The SHA-256 of a token, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def written(record: Record) -> bytes:
    """The record as bytes, before they are sealed."""
    return json.dumps({"version": VERSION, **asdict(record)}, separators=(",", ":")).encode()


def read(content: bytes) -> Record:
    """The record in *content*; `NotARecord` for anything else, also a newer version's."""
    if len(content) > MAX_BYTES:
        raise NotARecord("it is too long")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise NotARecord("it is not JSON") from None
    if not isinstance(found, dict):
        raise NotARecord("it is no object")
    if found.pop("version", None) != VERSION:
        raise NotARecord("another version of the agent wrote it")
    attempt, access = found.get("attempt"), found.get("access")
    return Record(
        authority=_text(found, "authority"),
        client=_text(found, "client"),
        token=_text(found, "token", least=1),
        obtained_at=_number(found, "obtained_at"),
        used_at=_number(found, "used_at"),
        generation=int(_number(found, "generation")),
        rotates=found.get("rotates") is not False,
        attempt=None if attempt is None else _attempt(_object(attempt)),
        access=None if access is None else _access(_object(access)),
        ended=_text(found, "ended"),
        reason=_text(found, "reason"),
        idle_lifetime=None
        if found.get("idle_lifetime") is None
        else _number(found, "idle_lifetime"),
        seeds=_seeds(found.get("seeds")),
    )


def _attempt(found: Mapping[str, Any]) -> Attempt:
    tries = int(_number(found, "tries"))
    return Attempt(_text(found, "token"), _text(found, "nonce"), _number(found, "at"), tries)


def _access(found: Mapping[str, Any]) -> Access:
    value = _text(found, "value", least=1)
    return Access(value, _number(found, "obtained_at"), _number(found, "expires_at"))


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotARecord("a part of it is no object")
    return value


def _text(found: Mapping[str, Any], name: str, least: int = 0) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not least <= len(value) <= MAX_TOKEN:
        raise NotARecord(f"its {name} is no text of a sensible length")
    return value


def _number(found: Mapping[str, Any], name: str) -> float:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotARecord(f"its {name} is no number")
    if not 0 <= value < 2**53:
        raise NotARecord(f"its {name} is out of range")
    return value


def _seeds(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise NotARecord("its seeds are no list of texts")
    return tuple(value[-SEEDS:])
