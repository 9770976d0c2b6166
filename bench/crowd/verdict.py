"""Did every call go out for the one who asked, or not at all? A pure rule over what was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.crowd.plan import Errand


@dataclass(frozen=True, slots=True)
class Visit:
    """One call as its destination saw it: whose credential came with it, and for which audience.

    `leaked` names the headers that still held a handle (SECURITY.md 29).
    """

    store: str
    mark: str
    subject: str
    audience: str
    leaked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Missed:
    """A call that was not let out, as its application was told."""

    mark: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a crowd. `wrong` are sentences about whatever should not be."""

    people: int
    errands: int
    calls: int
    crossings: int
    denied: dict[str, int]
    wrong: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
        """The figures."""
        return asdict(self)


def judge(
    errands: Sequence[Errand],
    subjects: Mapping[int, str],
    audiences: Mapping[str, str],
    visits: Iterable[Visit],
    missed: Iterable[Missed],
) -> Verdict:
    """Hold what was seen against what was planned.

    *subjects* are the people's by their number, *audiences* the destinations' by their name.
    """
    planned = {errand.mark: errand for errand in errands}
    seen: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    crossings = 0
    for visit in visits:
        errand = planned.get(visit.mark)
        if errand is None:
            wrong.append(f"{visit.store} was called about '{visit.mark}', which nobody asked for")
            continue
        seen[visit.mark] += 1
        who = f"{errand.application}/{errand.way.name} {visit.mark}"
        if visit.subject != subjects[errand.person]:
            crossings += 1
            wrong.append(f"{who}: {visit.store} saw {visit.subject or 'nobody'}")
        if (visit.store, visit.audience) != (errand.store, audiences[errand.store]):
            wrong.append(f"{who}: {visit.store} got a token for {visit.audience}")
        wrong.extend(f"{who}: a handle left the pod in {name}" for name in visit.leaked)
    for miss in missed:
        reasons.setdefault(miss.mark, Counter())[miss.reason] += 1
    for errand in errands:
        found, denials = seen[errand.mark], reasons.get(errand.mark, Counter())
        wrong.extend(_of(errand, found, denials))
    total = Counter[str]()
    for each in reasons.values():
        total += each
    people = len({errand.person for errand in errands})
    return Verdict(people, len(errands), seen.total(), crossings, dict(total), tuple(wrong))


def _of(errand: Errand, found: int, denials: Counter[str]) -> Iterable[str]:
    """What is wrong with one errand: each call got out, or was denied for the reason foreseen."""
    way = errand.way
    who = f"{errand.application}/{way.name} {errand.mark}"
    if way.denied:
        if found or denials != Counter({way.denied: way.calls}):
            yield f"{who}: {found} calls got out, {dict(denials)} instead of {way.denied}"
    elif denials or not way.calls <= found <= way.bound:
        yield f"{who}: {found} calls of {way.calls} got out, denied: {dict(denials)}"
