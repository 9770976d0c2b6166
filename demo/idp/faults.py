"""What goes wrong on demand? Faults, and the board that says which request meets one."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "throttle",  # 429 in plain text, with Retry-After
    "html_error",  # an error page of a proxy in between: status 5xx
    "json_error",  # a 5xx with a JSON body
    "latency",  # the right answer, late
    "hang",  # no answer until the fault is cleared
    "reset",  # the connection is reset
    "empty",  # 200 and no body
    "html",  # 200 and a web page
    "truncated",  # the right answer, cut in half
    "wrong_issuer",  # a discovery document in another's name
    "aad_error",  # the AADSTS error `code`
]
KINDS: tuple[str, ...] = get_args(Kind)

Endpoint = Literal["discovery", "keys", "token", "authorize", "imds"]
ENDPOINTS: tuple[str, ...] = get_args(Endpoint)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, where, and how often. None means any, and until cleared.

    `tenant` is a GUID or an alias; `grant` a grant type, its last part alone being enough
    ("jwt-bearer"). `retry_after` and `milliseconds` say their unit or are seconds. `code`,
    `suberror` and `claims` are those of an aad_error.
    """

    kind: Kind
    endpoint: Endpoint | None = None
    tenant: str | None = None
    grant: str | None = None
    count: int | None = None
    status: int = 503
    retry_after: int = 1
    milliseconds: int = 0
    code: int = 50196
    suberror: str | None = None
    claims: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault kind {self.kind!r} is none of {', '.join(KINDS)}")
        if self.endpoint is not None and self.endpoint not in ENDPOINTS:
            raise ValueError(f"endpoint {self.endpoint!r} is none of {', '.join(ENDPOINTS)}")
        if self.count is not None and self.count < 1:
            raise ValueError("count must be at least 1")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request as faults and counters see it."""

    endpoint: Endpoint
    tenant: str
    grant: str = ""


def applies(fault: Fault, visit: Visit) -> bool:
    """Tell whether *fault* is meant for *visit*."""
    return (
        fault.endpoint in (None, visit.endpoint)
        and fault.tenant in (None, visit.tenant)
        and (
            fault.grant is None or visit.grant.rpartition(":")[2] == fault.grant.rpartition(":")[2]
        )
    )


def _short(grant: str) -> str:
    return grant.rpartition(":")[2]


@dataclass(slots=True)
class _Posted:
    fault: Fault
    left: int | None
    cleared: threading.Event = field(default_factory=threading.Event)


class FaultBoard:
    """The faults in force, first posted first. Safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posted: list[_Posted] = []
        self._hanging: set[threading.Event] = set()

    def post(self, fault: Fault) -> None:
        """Put *fault* in force."""
        with self._lock:
            self._posted.append(_Posted(fault, fault.count))

    def clear(self) -> None:
        """End all faults, and let go what hangs."""
        with self._lock:
            events = {posted.cleared for posted in self._posted} | self._hanging
            self._posted.clear()
            self._hanging.clear()
        for event in events:
            event.set()

    def take(self, visit: Visit) -> tuple[Fault, threading.Event] | None:
        """Return the fault that *visit* meets, and the event of its clearing."""
        with self._lock:
            for posted in self._posted:
                if applies(posted.fault, visit):
                    if posted.left is not None:
                        posted.left -= 1
                        if posted.left == 0:
                            self._posted.remove(posted)
                    self._hanging.add(posted.cleared)
                    return posted.fault, posted.cleared
        return None

    def posted(self) -> tuple[Fault, ...]:
        """Return the faults in force."""
        with self._lock:
            return tuple(posted.fault for posted in self._posted)
