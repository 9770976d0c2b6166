"""What is answered? An `Allow` with the headers to write, or a `Denial`; and the facts behind."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.errors import Denial
from agent.identity.principal import Verified


@dataclass(frozen=True, slots=True)
class Allow:
    """Let the request pass, with these headers overwritten and those removed.

    No name stands in both (ENVOY.md: a removal would win). `metadata` is for Envoy's access log.
    """

    set: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]
    metadata: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Allow(sets {', '.join(name for name, _ in self.set)})"


@dataclass(slots=True)
class Facts:
    """What the audit record will say; filled in as the pipeline learns it.

    `link` is how an outbound call found its caller: `resolved`, `none`, or the reason why not.
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


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer and its facts."""

    outcome: Allow | Denial
    facts: Facts = field(default_factory=Facts)
