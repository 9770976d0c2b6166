"""What does a running agent know that expires or ages, and no configured file says? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agent.credentials.stored.life import Life, State
from agent.expiry.table import Fact, Kind

Fetched = Iterable[tuple[str, str, float]]
"""(issuer's name, part of it, UTC seconds of the last fetch) of each document with keys."""

_OVERDUE = 3600.0  # seconds after which a token that should have been exercised was not

_PROBLEMS: Mapping[State, str] = {
    State.MISSING: "nobody has logged in yet. Run `attache login {name}`",
    State.LOST: "it was sent and no answer was kept. Run `attache login {name}`",
    State.REFUSED: "the provider takes it no more (invalid_grant). Run `attache login {name}`",
    State.FOREIGN: "it belongs to another server or client. Run `attache login {name}`",
    State.UNREADABLE: "its store cannot be read. See the log",
}


def refresh_tokens(lives: Iterable[Life], now: float) -> tuple[Fact, ...]:
    """Stored refresh tokens. One that is used or exercised in time ends with its login only."""
    facts = []
    for life in lives:
        left_alone = life.exercise_at is not None and now > life.exercise_at + _OVERDUE
        facts.append(
            Fact(
                Kind.REFRESH_TOKEN,
                life.name,
                ends_at=life.idle_ends_at if left_alone else life.ends_at,
                since=life.obtained_at,
                problem=_PROBLEMS.get(life.state, "").format(name=life.name),
            )
        )
    return tuple(facts)


def signing_keys(path: Path, rows: Iterable[Mapping[str, Any]], now: float) -> tuple[Fact, ...]:
    """Our signing keys, by the rows of `KeyRing.status`. They have an age and no end."""
    return tuple(
        Fact(
            Kind.SIGNING_KEY,
            f"internalTokens.keys.{row['file']}",
            str(path),
            since=now - float(row["ageSeconds"]),
        )
        for row in rows
        if row["state"] != "removed"
    )


def issuer_keys(fetched: Fetched) -> tuple[Fact, ...]:
    """Issuers' keys. Their age is that of the last fetch."""
    return tuple(
        Fact(Kind.ISSUER_KEYS, f"issuers.{name}" + (f".{part}" if part else ""), since=at)
        for name, part, at in fetched
    )


def oldest(fetched: Fetched, now: float) -> dict[str, float]:
    """Of each issuer, the seconds since the oldest of its documents was fetched."""
    ages: dict[str, float] = {}
    for name, _, at in fetched:
        ages[name] = max(ages.get(name, 0.0), now - at)
    return ages
