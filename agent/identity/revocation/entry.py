"""What does one entry of the list revoke? It is read strictly, from what YAML or JSON said."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from agent.identity.claims import LATEST

MAX_TEXT = 2048  # characters of one value

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One revocation. Everything that is written must match; an empty text is not written.

    `issued_before` and `until` are UTC seconds. `issuer` narrows and never stands alone.
    """

    token_id: str = ""
    session: str = ""
    subject: str = ""
    client: str = ""
    tenant: str = ""
    issuer: str = ""
    issued_before: float | None = None
    until: float | None = None
    note: str = ""

    @property
    def kind(self) -> str:
        """The most telling selector, as the file writes it: a metric's label."""
        return next((MEMBERS[name] for name in SELECTORS if getattr(self, name)), "issuedBefore")

    @property
    def cuts_everybody(self) -> bool:
        """Whether no selector spares anyone: every token issued before a time is revoked."""
        return not any(getattr(self, name) for name in (*SELECTORS, "issuer"))

    @property
    def id(self) -> str:
        """A name by what is revoked, the same wherever it is written; `until` and `note` are not
        part of it.
        """
        said = {name: value for name, value in written(self).items() if name not in _BESIDE}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]

    def over(self, now: float) -> bool:
        """Whether the entry has ended."""
        return self.until is not None and now >= self.until


# In the order in which they tell tokens apart.
SELECTORS = ("token_id", "session", "subject", "client", "tenant")
MEMBERS = {
    field.name: re.sub(r"_(\w)", lambda match: match[1].upper(), field.name)
    for field in fields(Entry)
}
_BESIDE = ("until", "note")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why a value is no entry; `member` is where, empty for the whole."""

    member: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.member + ': ' if self.member else ''}{self.reason}; {self.remedy}"


def read_entry(value: object) -> Entry | Mistake:
    """Return the entry that *value* says: a mapping of plain values."""
    if not isinstance(value, Mapping):
        return Mistake("", "an entry must be a mapping", 'write {subject: "…"} or the like')
    said: dict[str, Any] = {}
    for member, inner in value.items():
        name = _NAMES.get(member)
        if name is None:
            known = ", ".join(_NAMES)
            return Mistake(str(member)[:40], "this member is unknown", f"write one of {known}")
        read = _READ.get(name, _text)(member, inner)
        if isinstance(read, Mistake):
            return read
        said[name] = read
    entry = Entry(**said)
    if entry.cuts_everybody and entry.issued_before is None:
        return Mistake(
            "",
            "an entry without a selector would revoke everything",
            "write tokenId, session, subject, client, tenant or issuedBefore",
        )
    if entry.kind == "issuedBefore" and entry.issued_before is None:
        return Mistake(
            "issuer",
            "an issuer alone would revoke all of its tokens for good",
            "write issuedBefore or a selector too, or remove the issuer from attache.yaml",
        )
    return entry


def written(entry: Entry) -> dict[str, Any]:
    """Return *entry* as it is written in a file or in Redis; `read_entry` reads it back."""
    said: dict[str, Any] = {}
    for name, member in MEMBERS.items():
        value = getattr(entry, name)
        if value is None or value == "":
            continue
        said[member] = rfc3339(value) if name in _TIMES else value
    return said


def rfc3339(seconds: float) -> str:
    """UTC seconds as people write them, without a fraction where there is none."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat()
    return text.replace("+00:00", "Z")


def time_of(value: object) -> float | None:
    """UTC seconds from `2026-11-21T10:00:00Z` or from a number of them; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if 0 <= value <= LATEST else None  # false for NaN too
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return None
    try:
        seconds = datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= LATEST else None


def _text(member: str, value: object) -> str | Mistake:
    if not isinstance(value, str):
        return Mistake(member, "this must be text", "put it in quotes")
    if not value or len(value) > MAX_TEXT or not value.isprintable():
        return Mistake(
            member,
            f"this is empty, longer than {MAX_TEXT} characters, or holds a control character",
            "write the claim's value, or remove the member",
        )
    return value


def _time(member: str, value: object) -> float | Mistake:
    seconds = time_of(value)
    if seconds is None:
        return Mistake(
            member,
            "this is not a time with its zone",
            "write it like 2026-11-21T10:00:00Z, or as UTC seconds",
        )
    return seconds


_NAMES = {member: name for name, member in MEMBERS.items()}
_TIMES = ("issued_before", "until")
_READ: dict[str, Callable[[str, object], Any]] = dict.fromkeys(_TIMES, _time)
