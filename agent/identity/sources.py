"""When is an issuer's document due, what is kept of it, and for how long (SECURITY.md 34, 35)?

Pure: the time (UTC seconds) and the chance (0 to 1) come in as arguments. The thread that acts on
these answers is `agent.identity.refresh`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.identity.issuers.document import Document, Loaded, Metadata, read_metadata
from agent.identity.keys import read_keys
from agent.identity.unusable import Unusable

Fetch = Callable[[str | Path, Path | None], bytes | Unusable]
"""Location and CA file (None: the system's) to the bytes there; `agent.identity.fetch` is one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a document is fetched, in seconds (ENTRA.md §1, Keys)."""

    refresh: float = 3600.0
    first_retry: float = 1.0
    last_retry: float = 300.0
    longest_wait: float = 3600.0  # what a server's Retry-After may ask for
    keep: float = 86_400.0  # how long the last good keys serve without a refresh
    cooldown: float = 300.0  # between two fetches because of unknown key ids
    certain: float = 300.0  # after so long "there is no such document" is believed


URL_PACE = Pace()
# A mounted file costs nothing to read and has no change notice that works everywhere.
FILE_PACE = Pace(refresh=2.0, last_retry=2.0, cooldown=1.0)


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one document.

    `generation` counts the changes of `loaded`. `fetched_at` is the last success, `asked_at` the
    last fetch that an unknown key id caused; `failures` are those since the last success.
    `absent_since`: since when its server has said, every time, that there is no such document.
    """

    loaded: Loaded | None = None
    generation: int = 0
    fetched_at: float = 0.0
    tried_at: float = 0.0
    next_due: float = 0.0
    asked_at: float | None = None
    failures: int = 0
    error: str = ""
    absent_since: float | None = None


def due(state: State, now: float) -> bool:
    """Whether the background fetches now. A clock that was set back must not stop it."""
    return now >= state.next_due or now < state.tried_at


def may_ask(state: State, now: float, pace: Pace) -> bool:
    """Whether an unknown key id may cause a fetch now: once per cool-down.

    Only such fetches count, so a stranger's key ids can neither use up the background's turns
    nor be used up by them.
    """
    if state.asked_at is None or now < state.asked_at:
        return True
    return now >= state.asked_at + pace.cooldown


def usable(state: State, now: float, pace: Pace) -> Loaded | None:
    """The last good keys, unless they are too old to be trusted."""
    return state.loaded if now < state.fetched_at + pace.keep else None


def never(state: State, pace: Pace) -> bool:
    """Whether there is no such document, and not merely none at the moment.

    A server that is being set up or rolled out says "not found" too, for a while.
    """
    since = state.absent_since
    return state.loaded is None and since is not None and state.tried_at >= since + pace.certain


def succeeded(state: State, loaded: Loaded, now: float, pace: Pace, chance: float) -> State:
    """What is known after a good fetch; many agents must not come back in step."""
    changed = loaded != state.loaded
    return replace(
        state,
        loaded=loaded if changed else state.loaded,
        generation=state.generation + changed,
        fetched_at=now,
        tried_at=now,
        next_due=now + pace.refresh * (1.0 - 0.1 * chance),
        failures=0,
        error="",
        absent_since=None,
    )


def failed(state: State, why: Unusable, now: float, pace: Pace, chance: float) -> State:
    """What is known after a bad fetch: all that was good before, and when to try again."""
    # Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"), a second at least.
    ceiling = min(pace.last_retry, pace.first_retry * 2.0 ** min(state.failures + 1, 30))
    since = state.absent_since
    pause = max(pace.first_retry, ceiling * chance, min(why.retry_after, pace.longest_wait))
    return replace(
        state,
        tried_at=now,
        next_due=now + pause,
        failures=state.failures + 1,
        error=why.sentence,
        absent_since=(now if since is None else since) if why.absent else None,
    )


def load(document: Document, fetch: Fetch) -> Loaded | Unusable:
    """Fetch what *document* says, by way of its metadata where it has any."""
    location = document.file or document.keys
    issuer, cloud = document.issuer, ""
    if not location:
        metadata = _discover(document, fetch)
        if isinstance(metadata, Unusable):
            return metadata
        location, issuer = metadata.jwks_uri, metadata.issuer
        cloud = metadata.cloud_instance_name
    raw = fetch(location, document.ca_file)
    if isinstance(raw, Unusable):
        return raw
    keys = read_keys(raw, document.algorithms)
    return keys if isinstance(keys, Unusable) else Loaded(issuer, keys, cloud)


def _discover(document: Document, fetch: Fetch) -> Metadata | Unusable:
    """The metadata at the first of the document's addresses that has it."""
    why = Unusable("no address is known")
    for url in document.discovery:
        raw = fetch(url, document.ca_file)
        found = raw if isinstance(raw, Unusable) else read_metadata(document, raw)
        if not isinstance(found, Unusable):
            return found
        why = found
    return why
