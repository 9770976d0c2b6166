"""Does a program that nobody calls speak as itself?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from demo.journeys.outcome import Check, Checks, Record
from demo.stage import Stage
from demo.waiting import until


@dataclass(frozen=True, slots=True)
class Worker:
    """What the journey found: one of the worker's rounds."""

    checks: tuple[Check, ...]
    round: str
    seen: dict[str, Any]
    records: tuple[Record, ...]


def run(stage: Stage) -> Worker:
    """The worker counts kettles; one round that begins now is looked at."""
    checks = Checks()
    before = len(_rounds(stage))
    line = until(lambda: _rounds(stage)[before:], "a round of the worker", 20)[0]
    name, status, text = line.split(" ", 2)
    body = json.loads(text) if status == "200" else {}
    seen: dict[str, Any] = body.get("asked_by", {})
    records = stage.decisions(seen.get("request", "-"), at_least=2)
    checks.equal("the worker gets an answer", ("200", 3), (status, body.get("left")))
    checks.equal(
        "inventory sees the worker itself, and no person",
        ("app", "shop/worker", ""),
        (seen.get("kind"), seen.get("client"), seen.get("name")),
    )
    checks.equal(
        "the audit log names the worker",
        [("allow", "app", "shop/worker", ["shop/worker"])],
        [
            (r["decision"], r["kind"], r["client"], list(r["actors"]))
            for r in records
            if r["at"] == "inventory"
        ],
    )
    checks.equal(
        "one correlation id joins both sides",
        [("worker", "outbound", "internal:app"), ("inventory", "inbound", None)],
        [(r["at"], r["direction"], r["credential"]) for r in records],
    )
    return Worker(tuple(checks.made), name, seen, tuple(records))


def _rounds(stage: Stage) -> list[str]:
    lines = stage.pods["worker"].program.log.read_text().splitlines(keepends=True)
    return [line.strip() for line in lines if line.startswith("round-") and line.endswith("\n")]
