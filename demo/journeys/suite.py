"""Do two services of one suite share the caller's own token?"""

from __future__ import annotations

from dataclasses import dataclass

from demo import people
from demo.journeys.asking import ask
from demo.journeys.outcome import Answer, Check, Checks, Claims
from demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Suite:
    """What the journey found."""

    checks: tuple[Check, ...]
    answer: Answer
    a: Claims
    forwarded: Claims


def run(stage: Stage) -> Suite:
    """Ed opens a page of the portal."""
    checks = Checks()
    ed = stage.people["ed"]
    bearer = stage.idp.person(ed, people.SUITE_SCOPE)
    answer = ask(stage.pods["portal"], "GET", "/pages/welcome", bearer)
    passed = stage.wire.passed(answer.correlation)
    forwarded = passed["profile"].claims if "profile" in passed else {}
    checks.equal("portal → profile answers", 200, answer.status)
    checks.holds(
        "the very same token travels on",
        f"uti {bearer.claims['uti']}",
        forwarded.get("uti"),
        forwarded == bearer.claims,
    )
    checks.equal(
        "the second service knows name, email and id",
        {"name": ed.name, "email": ed.email, "id": ed.id},
        answer.get("profile"),
    )
    other = stage.idp.person(ed, people.TASKS_SCOPE)
    refused = ask(stage.pods["portal"], "GET", "/pages/welcome", other)
    checks.equal("a token for another service", "401 wrong_audience", refused.shown())
    return Suite(tuple(checks.made), answer, bearer.claims, forwarded)
