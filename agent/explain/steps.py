"""What is told of a decision: its steps in their order, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.config.finding import printable
from agent.errors import Reason

_MAX_SHOWN = 200  # characters of one value of a token


class Mark(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "unchecked"  # nothing at hand to check it with
    NOT_REACHED = "not reached"


class Verdict(StrEnum):
    """How the decision ended."""

    ALLOWED = "allowed"
    CONDITIONAL = "allowed under conditions"
    DENIED = "denied"


EXIT: Mapping[Verdict, int] = {
    Verdict.ALLOWED: 0,
    Verdict.DENIED: 1,
    Verdict.CONDITIONAL: 3,  # 2 is an invalid configuration
}


# What is not known where a step is unchecked
SIGNATURE = "the signature is good"
NOT_REVOKED = "the token is not revoked"
CONDITIONS: Mapping[str, str] = {"signature": SIGNATURE, "revocation": NOT_REVOKED}


@dataclass(frozen=True, slots=True)
class Step:
    """One step in a sentence; `more` are further ones, each about one rule or claim."""

    name: str
    mark: Mark
    sentence: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision, explained.

    `reason`, `status` and `detail` are a denial's. `headers` is what the next one in line sees of
    it (no token is in it: what would be one is described), `removed` what is taken from it.
    """

    verdict: Verdict
    steps: tuple[Step, ...]
    reason: Reason | None = None
    status: int | None = None
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """What has to hold beside what was checked."""
        return tuple(CONDITIONS[each.name] for each in self.steps if each.mark is Mark.UNCHECKED)

    def document(self) -> dict[str, Any]:
        """For machines: plain values, ready for JSON."""
        return {
            "verdict": self.verdict.value,
            "decision": "deny" if self.verdict is Verdict.DENIED else "allow",
            "conditions": list(self.conditions),
            "reason": self.reason.value if self.reason else None,
            "status": self.status,
            "detail": self.detail or None,
            "steps": [
                {
                    "step": step.name,
                    "outcome": step.mark.value,
                    "sentence": step.sentence,
                    "more": list(step.more),
                }
                for step in self.steps
            ],
            "headers": dict(self.headers),
            "removed": list(self.removed),
        }


def shown(value: object) -> str:
    """A claim's value as a terminal may show it: bounded, nothing in it that is obeyed."""
    if isinstance(value, (list, tuple)):
        text = ", ".join(str(item) for item in value)
    else:
        text = str(value)
    text = printable(text)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
