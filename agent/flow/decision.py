"""What is answered? An `Allow` with the headers to write, or a `Denial`; and the facts behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from agent.errors import Denial
from agent.identity.principal import Verified

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True, eq=False)
class Part:
    """Headers to overwrite and names to remove, the same for many requests.

    `metadata` is for Envoy's access log. `encoded`, `written` and `removed` are the codec's: what
    many allows share is checked and written down once.
    """

    set: Headers = ()
    remove: tuple[str, ...] = ()
    metadata: Headers = ()
    encoded: bytes = field(default=b"", repr=False)
    written: frozenset[str] = field(default=frozenset(), repr=False)
    removed: frozenset[str] = field(default=frozenset(), repr=False)

    def __repr__(self) -> str:
        return f"Part(sets {', '.join(name for name, _ in self.set)})"


class Allow(NamedTuple):
    """Let the request pass, with these headers overwritten and those removed.

    What is this request's own: values for the headers *names*, names to `remove`, and the `txn` for
    Envoy's access log (empty where it is not told). Names and values stand apart, for the names are
    nearly always the same. `shared` are parts that other requests have too. No name is both written
    and removed (ENVOY.md: a removal would win).
    """

    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    txn: str = ""
    shared: tuple[Part, ...] = ()

    @classmethod
    def of(cls, written: Headers, removed: tuple[str, ...], metadata: Headers = ()) -> Allow:
        """An allow with these headers."""
        return cls(shared=(Part(written, removed, metadata),))

    @property
    def set(self) -> Headers:
        """Every header that is written."""
        shared = tuple(pair for part in self.shared for pair in part.set)
        return (*zip(self.names, self.values, strict=True), *shared)

    @property
    def metadata(self) -> Headers:
        """What Envoy's access log learns."""
        shared = tuple(pair for part in self.shared for pair in part.metadata)
        return ((("txn", self.txn),) if self.txn else ()) + shared

    @property
    def remove(self) -> tuple[str, ...]:
        """Every name that is removed."""
        return self.removed + tuple(name for part in self.shared for name in part.remove)

    def __repr__(self) -> str:
        return f"Allow(sets {', '.join(name for name, _ in self.set)})"


class Redirect(NamedTuple):
    """Send the browser to *location*: to sign in, where *denial* says why, or back from there."""

    location: str
    denial: Denial | None = None
    status: int = 302


Outcome = Allow | Denial | Redirect


@dataclass(frozen=True, slots=True)
class Carried:
    """The session by which a request came, instead of a bearer token.

    `asked` is what its sign-in was asked to show, `begun` when that was, in UTC seconds. `others`
    is the Cookie header without it.
    """

    id: str
    asked: str
    begun: float
    others: str


@dataclass(slots=True)
class Facts:
    """What the audit record will say; filled in as the pipeline learns it.

    `itself` names this workload where it spoke for itself and no caller stands behind the call.
    `link` is how an outbound call found its caller: `resolved`, `none`, or the reason why not.
    `response` goes to the caller whatever the answer is: without it no script could read a denial.
    `page`: a person reads a denial, and not a program.
    """

    txn: str = ""
    trace_id: str = ""
    rule: str = ""
    path: str | None = None
    destination: str | None = None
    credential: str | None = None
    verified: Verified | None = None
    dropped_headers: int = 0
    link: str | None = None
    itself: str | None = None
    response: Headers = ()
    carried: Carried | None = None
    page: bool = False


class Decision(NamedTuple):
    """One answer and its facts."""

    outcome: Outcome
    facts: Facts
