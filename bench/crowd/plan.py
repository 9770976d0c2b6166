"""Who asks which application for what, and what should come of it?"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

STORES = ("minted", "suite", "behalf")
FORGED = "attache=00000000000000000000000000000000"
SHARED_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to call. It makes `calls` calls, at most `most` where some are taken back.

    `denied` is why the sidecar lets none of them out: what no library carries has no subject.
    """

    name: str
    calls: int
    most: int = 0
    denied: str = ""

    @property
    def bound(self) -> int:
        """How many calls there may be."""
        return max(self.calls, self.most)


_COMMON = (
    Way("one", 1),
    Way("retried", 2),
    Way("streamed", 2),
    Way("handed", 1),
    Way("queued", 1, denied="no_subject"),
)
# What each application does, by its name.
WAYS: dict[str, tuple[Way, ...]] = {
    "asynchronous": (
        *_COMMON,
        Way("gathered", 3),
        Way("hedged", 1, most=2),
        Way("afterwards", 2),
        Way("executed", 2),
        Way("in-a-thread", 1),
        Way("generated", 1),
    ),
    "threaded": (
        *_COMMON,
        Way("pooled", 3),
        Way("threaded", 1),
        Way("timed", 1),
        Way("generated", 1, denied="no_subject"),
    ),
    "node": (
        *_COMMON,
        Way("all", 3),
        Way("hedged", 1, most=2),
        Way("timed", 1),
        Way("fetched", 1),
    ),
    # no instrumentation: what it passes on by hand is all that there is
    "relaying": (
        Way("relayed", 1),
        Way("relayed-by-a-pool", 2),
        Way("one", 1, denied="no_subject"),
    ),
}


@dataclass(frozen=True, slots=True)
class Errand:
    """One request of the person with that number, with headers that they chose themselves."""

    person: int
    application: str
    way: Way
    store: str
    mark: str
    headers: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        """What is asked of the application."""
        return f"/do/{self.way.name}/{self.store}/{self.mark}"


def plan(people: int, calls: int, applications: Sequence[str]) -> list[Errand]:
    """Errands of *people* that make at least *calls* calls, neighbours being different people.

    Every way of every application is taken in turn; everybody has at least one errand.
    """
    ways = [(name, way) for name in applications for way in WAYS[name]]
    chosen = tuple(_chosen())
    errands: list[Errand] = []
    made = 0
    for number, (application, way) in enumerate(cycle(ways)):
        if made >= calls and number >= people:
            break
        # each way meets every store and every choice
        turn = number % len(ways) + number // len(ways)
        # fetch reaches the one destination that has the sidecar's own address
        store = "minted" if way.name == "fetched" else STORES[turn % len(STORES)]
        mark = f"{number % people:05}-{number:06}"
        headers = chosen[turn % len(chosen)]
        errands.append(Errand(number % people, application, way, store, mark, headers))
        made += way.calls
    return errands


def _chosen() -> Iterator[tuple[tuple[str, str], ...]]:
    """What clients put into their requests: nothing; a trace of their own; one that all share.

    With them come handles that they made up.
    """
    own = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"
    forged = (
        ("baggage", f"tenant=t1,{FORGED}"),
        ("tracestate", f"vendor=1,{FORGED}"),
        ("x-attache-context", FORGED.partition("=")[2]),
    )
    yield ()
    yield (("traceparent", own), *forged)
    yield (("traceparent", SHARED_TRACE), ("baggage", "tenant=t1"), ("tracestate", "vendor=1"))
    yield ("traceparent", SHARED_TRACE), *forged


def expected(errands: Sequence[Errand]) -> int:
    """How many calls these errands make at least."""
    return sum(errand.way.calls for errand in errands)
