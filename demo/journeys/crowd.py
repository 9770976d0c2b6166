"""Two hundred people at once: did every service see the right one each time?"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from demo import people
from demo.idp.directory import User
from demo.journeys.outcome import Check, Checks
from demo.people import Bearer
from demo.stage import Stage

SIGN_INS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Errand:
    """One request of one person; *mark* goes along in what they ask for."""

    person: User
    bearer: Bearer
    mark: str
    method: str
    url: str
    body: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What one service saw of the crowd."""

    service: str
    visits: int
    people: int
    crossings: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """What the journey found."""

    checks: tuple[Check, ...]
    people: int
    requests: int
    seconds: float
    sights: tuple[Sight, ...]

    @property
    def crossings(self) -> int:
        """How often any service saw another person than the one who asked."""
        return sum(sight.crossings for sight in self.sights)


def run(stage: Stage) -> Crowd:
    """Everybody creates a task, looks at an order and opens a page, all at the same time."""
    errands = _prepare(stage)
    began = time.monotonic()
    answers = asyncio.run(_all_at_once(errands))
    seconds = time.monotonic() - began
    owners = {errand.mark: errand.person for errand in errands}
    sights = tuple(_sight(stage, service, owners) for service in SEEN)
    checks = Checks()
    good = [_right(errand, answer) for errand, answer in zip(errands, answers, strict=True)]
    kinds = Counter(reason for reason in good if reason)
    checks.equal("every answer is its asker's own", {}, dict(kinds))
    each = len(stage.crowd)
    checks.equal(
        "every service saw everybody once",
        {sight.service: each for sight in sights},
        {sight.service: sight.visits for sight in sights},
    )
    crossings = sum(sight.crossings for sight in sights)
    checks.equal("crossings", 0, crossings)
    return Crowd(tuple(checks.made), each, len(errands), seconds, sights)


def _prepare(stage: Stage) -> list[Errand]:
    idp, run_mark = stage.idp, secrets.token_hex(3)
    urls = {name: stage.pods[name].url for name in ("tasks", "gateway", "portal")}

    def errands(numbered: tuple[int, User]) -> list[Errand]:
        number, person = numbered
        marks = [f"{run_mark}-{kind}-{number:03}" for kind in ("task", "order", "page")]
        bearers = [
            idp.person(person, scope)
            for scope in (people.TASKS_SCOPE, people.GATEWAY_SCOPE, people.SUITE_SCOPE)
        ]
        task, order, page = zip(marks, bearers, strict=True)
        found = [
            Errand(
                person, task[1], task[0], "POST", f"{urls['tasks']}/api/tasks", {"title": task[0]}
            ),
            Errand(person, order[1], order[0], "GET", f"{urls['gateway']}/orders/{order[0]}"),
            Errand(person, page[1], page[0], "GET", f"{urls['portal']}/pages/{page[0]}"),
        ]
        # everybody begins with another errand, so that all kinds are under way at any time
        return found[number % 3 :] + found[: number % 3]

    with ThreadPoolExecutor(SIGN_INS_AT_ONCE) as pool:
        return [e for several in pool.map(errands, enumerate(stage.crowd)) for e in several]


async def _all_at_once(errands: list[Errand]) -> list[httpx.Response | Exception]:
    by_person: dict[str, list[Errand]] = {}
    for errand in errands:
        by_person.setdefault(errand.person.id, []).append(errand)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:

        async def walk(theirs: list[Errand]) -> list[httpx.Response | Exception]:
            return [await _send(client, errand) for errand in theirs]

        walks = await asyncio.gather(*(walk(theirs) for theirs in by_person.values()))
    return [answer for one in walks for answer in one]


async def _send(client: httpx.AsyncClient, errand: Errand) -> httpx.Response | Exception:
    try:
        return await client.request(
            errand.method, errand.url, headers=errand.bearer.headers, json=errand.body
        )
    except httpx.HTTPError as error:
        return error


def _right(errand: Errand, answer: httpx.Response | Exception) -> str:
    """Empty if the answer is the person's own, else what is wrong with it."""
    kind, person = errand.mark.split("-")[1], errand.person
    if isinstance(answer, Exception):
        return f"{kind}: {type(answer).__name__}"
    if not answer.is_success:
        return f"{kind}: {answer.status_code} {answer.text[:200]}"
    got, expected = OWN[kind](answer.json(), person)
    return "" if got == expected else f"{kind}: {got} instead of {expected}"


def _task(body: Any, person: User) -> tuple[object, object]:
    owner = {"name": person.name, "id": person.id, "tenant": person.tenant}
    got = (body["owner"], body["notification_status"], body["audit_status"])
    return got, (owner, "sent", "logged")


def _order(body: Any, person: User) -> tuple[object, object]:
    return body["stock"]["asked_by"]["name"], person.name


def _page(body: Any, person: User) -> tuple[object, object]:
    return body["profile"], {"name": person.name, "email": person.email, "id": person.id}


# What makes an answer somebody's own: (what came, what is due).
OWN = {"task": _task, "order": _order, "page": _page}

# Which services see the people themselves; Audit sees the app alone.
SEEN = ("tasks", "notification", "audit", "gateway", "orders", "inventory", "portal", "profile")


def _sight(stage: Stage, service: str, owners: Mapping[str, User]) -> Sight:
    visits = [visit for visit in stage.pods[service].journal() if visit["about"] in owners]
    crossed = [visit for visit in visits if not _is(service, visit, owners[visit["about"]])]
    subjects = {(visit["tenant"], visit["id"]) for visit in visits}
    return Sight(service, len(visits), len(subjects), len(crossed))


def _is(service: str, visit: Mapping[str, Any], person: User) -> bool:
    """Whether a service saw whom it should: the person, or at Audit the Task API."""
    if service == "audit":
        return (visit["kind"], visit["client"], visit["name"]) == ("app", people.TASK_API, "")
    # an internal subject contains the object id (DESIGN.md §7: a function of tenant and oid)
    return (
        visit["kind"] == "user"
        and person.id in visit["id"]
        and (visit["tenant"], visit["name"]) == (person.tenant, person.name)
    )
