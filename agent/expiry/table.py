"""Which of our things end, when, and which of them must be spoken of now? Pure; facts in, rows out.

Times are UTC seconds since the epoch. What a thing is called comes from the configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

DAY = 86_400.0
STEPS = (30 * DAY, 14 * DAY, 7 * DAY, DAY, 0.0)
"""Seconds before an end at which the log speaks, once each; 0 is the end itself."""


class Kind(StrEnum):
    """What expires."""

    CERTIFICATE = "certificate"
    AUTHORITY = "authority"
    SECRET = "secret"
    REFRESH_TOKEN = "refresh-token"
    SIGNING_KEY = "signing-key"
    ISSUER_KEYS = "issuer-keys"


REMEDIES: Mapping[Kind, str] = {
    Kind.CERTIFICATE: "Put the new certificate, with its key, into the file",
    Kind.AUTHORITY: "Add the successor's certificate to the file",
    Kind.SECRET: "Make a new one at the server, put it into the file and say its new end",
    Kind.REFRESH_TOKEN: "Run `attache login` for it",
    Kind.SIGNING_KEY: "Make one with `attache keys new`",
    Kind.ISSUER_KEYS: "See why the issuer does not answer",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one thing. `name` is its place in the configuration, `source` its file.

    `ends_at` is None where it has no end, or none that we know; `since` is when it began to be
    used. `problem` is a sentence where nothing could be read.
    """

    kind: Kind
    name: str
    source: str = ""
    ends_at: float | None = None
    since: float | None = None
    problem: str = ""


class State(StrEnum):
    """How a thing stands; the first four want somebody."""

    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    URGENT = "urgent"
    SOON = "soon"
    FINE = "fine"
    UNKNOWN = "unknown"
    AGING = "aging"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `remaining` and `age` are in seconds."""

    fact: Fact
    state: State
    remaining: float | None
    age: float | None

    def document(self) -> dict[str, Any]:
        """The row as /status and `--json` show it; times are RFC 3339."""
        fact = self.fact
        return {
            "kind": fact.kind.value,
            "name": fact.name,
            "source": fact.source or None,
            "state": self.state.value,
            "expiresAt": None if fact.ends_at is None else written(fact.ends_at),
            "remainingSeconds": None if self.remaining is None else round(self.remaining),
            "ageSeconds": None if self.age is None else round(self.age),
            "problem": fact.problem or None,
        }


def table(now: float, facts: Iterable[Fact]) -> tuple[Row, ...]:
    """The rows of *facts*, what wants somebody first, then by their end."""
    rows = [_row(now, fact) for fact in facts]
    order = tuple(State)
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                order.index(row.state),
                row.remaining if row.remaining is not None else 0.0,
                row.fact.kind,
                row.fact.name,
            ),
        )
    )


def _row(now: float, fact: Fact) -> Row:
    remaining = None if fact.ends_at is None else fact.ends_at - now
    age = None if fact.since is None else max(0.0, now - fact.since)
    return Row(fact, _state(fact, remaining, age), remaining, age)


def _state(fact: Fact, remaining: float | None, age: float | None) -> State:
    if fact.problem:
        return State.UNREADABLE
    if remaining is None:
        return State.UNKNOWN if age is None else State.AGING
    if remaining <= 0:  # `exp == now` is expired, as with tokens (SECURITY.md 7)
        return State.EXPIRED
    if remaining <= 7 * DAY:
        return State.URGENT
    return State.SOON if remaining <= 30 * DAY else State.FINE


@dataclass(frozen=True, slots=True)
class Told:
    """What the log has said of one thing: of which end (or problem), and at which step."""

    ends_at: float | None
    step: float | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence for the log. `loud`: within a day, over, or unreadable; `good`: it is mended."""

    sentence: str
    loud: bool = False
    good: bool = False


Memory = Mapping[tuple[Kind, str], Told]


def due(told: Memory, rows: Iterable[Row]) -> tuple[dict[tuple[Kind, str], Told], list[Remark]]:
    """What is to be said now, given what was *told*; and what then is told.

    Each step is spoken of once for each end: a renewed thing begins anew, and a thing that was not
    looked at for a while is spoken of once, not once for each step that went by.
    """
    now_told: dict[tuple[Kind, str], Told] = {}
    remarks: list[Remark] = []
    for row in rows:
        fact = row.fact
        key = (fact.kind, fact.name)
        before = told.get(key)
        step = None if row.remaining is None else _step(row.remaining)
        if fact.problem:
            if before is None or before.problem != fact.problem:
                remarks.append(Remark(f"{_named(fact)}: {fact.problem}", loud=True))
            # Of its end nothing new is known: it must not be told again when it is readable.
            now_told[key] = (
                Told(before.ends_at, before.step, fact.problem)
                if before
                else Told(None, None, fact.problem)
            )
            continue
        now_told[key] = Told(fact.ends_at, step)
        if step is None:
            if before and (before.step is not None or before.problem):
                remarks.append(Remark(_mended(row), good=True))
            continue
        known = before if before and before.ends_at == fact.ends_at else None
        if known is None or known.step is None or step < known.step:
            remarks.append(Remark(_warning(row), loud=step <= DAY))
    return now_told, remarks


def _step(remaining: float) -> float | None:
    """The last step that was reached, None before the first."""
    reached = [step for step in STEPS if remaining <= step]
    return reached[-1] if reached else None


def _named(fact: Fact) -> str:
    return f"{fact.kind} {fact.name}" + (f" ({fact.source})" if fact.source else "")


def _warning(row: Row) -> str:
    fact, remaining = row.fact, row.remaining
    assert fact.ends_at is not None
    assert remaining is not None
    what = (
        f"EXPIRED on {written(fact.ends_at)}"
        if remaining <= 0
        else f"expires in {span(remaining)}, on {written(fact.ends_at)}"
    )
    reread = "; it is reread at once" if fact.source else ""
    return f"{_named(fact)} {what}. {REMEDIES[fact.kind]}{reread}."


def _mended(row: Row) -> str:
    end = row.fact.ends_at
    until = f"valid until {written(end)}" if end is not None else "readable again"
    return f"{_named(row.fact)} is {until}"


def written(at: float) -> str:
    """UTC seconds as `2026-12-31T23:59:59Z` (RFC 3339); the year 9999 for what is beyond it."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "9999-12-31T23:59:59Z"


def span(seconds: float) -> str:
    """A duration as a person says it.

    >>> span(13.5 * DAY), span(5400), span(86400 * 1.2), span(59)
    ('13 days', '90 minutes', '28 hours', '59 seconds')
    """
    whole = max(0, int(seconds))
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} seconds"
