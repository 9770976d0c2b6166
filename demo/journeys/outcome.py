"""What did a journey find? Checks with what was expected and what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Claims = Mapping[str, Any]
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so."""

    name: str
    expected: str
    got: str
    ok: bool


@dataclass(slots=True)
class Checks:
    """Checks in the order in which they are made."""

    made: list[Check] = field(default_factory=list)

    def equal(self, name: str, expected: object, got: object) -> None:
        """*got* must be *expected*."""
        self.made.append(Check(name, _short(expected), _short(got), expected == got))

    def holds(self, name: str, expected: str, got: object, ok: object) -> None:
        """*ok* must be true; *expected* says in words what it means."""
        self.made.append(Check(name, expected, _short(got), bool(ok)))


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, as far as a journey looks at it."""

    status: int
    body: Any
    correlation: str

    @property
    def reason(self) -> str:
        """The reason of a denial, empty for another answer."""
        kind = self.body.get("type", "") if isinstance(self.body, dict) else ""
        return str(kind).removeprefix("urn:attache:") if "urn:attache:" in str(kind) else ""

    def get(self, name: str) -> Any:
        """A member of the body, None where there is none."""
        return self.body.get(name) if isinstance(self.body, dict) else None

    def shown(self) -> str:
        """Status and reason, for a line on the screen."""
        return f"{self.status} {self.reason}".rstrip()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
