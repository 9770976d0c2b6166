"""When does the webhook's certificate change, so that the API server never meets a stranger?

The next certificate is made, then trusted (its authority stands in caBundle beside the serving
one's), and only then served. All of it is in one Secret, written with its resourceVersion: several
replicas take the same steps, and whoever is second reads what the first wrote.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from agent.inject.certificate import Certificate, Unusable, authorities, made, read

SETTLE = 60.0  # seconds between trusting and serving: every API server has read the new caBundle
RENEW = 2 / 3  # of its life


class Step(Enum):
    """What is due."""

    NOTHING = auto()
    FIRST = auto()  # nothing can be served: make one and serve it at once
    NEXT = auto()  # make one, and let it be trusted
    PROMOTE = auto()  # serve the one that is trusted


@dataclass(frozen=True, slots=True)
class State:
    """What the Secret holds. `since` is when `next` was made, in UTC seconds."""

    serving: Certificate | None = None
    next: Certificate | None = None
    since: float = 0.0
    bundle: bytes = b""


def due(state: State, trusted: bytes, names: Sequence[str], now: float) -> Step:
    """Return the step to take at *now*; *trusted* is the caBundle that the API server has."""
    serving = state.serving
    if serving is None or not serving.begins <= now < serving.ends or not _for(serving, names):
        return Step.FIRST
    if state.next is None:
        late = serving.begins + (serving.ends - serving.begins) * RENEW
        return Step.NEXT if now >= late else Step.NOTHING
    if not now < state.next.ends:
        return Step.NEXT
    if now - state.since >= SETTLE and _holds(trusted, state.next.authority):
        return Step.PROMOTE
    return Step.NOTHING


def taken(state: State, step: Step, names: Sequence[str], now: float, life: float) -> State:
    """Return the state after *step*. Certificates are made with randomness of the system's."""
    if step is Step.PROMOTE:
        return State(state.next, None, 0.0, state.bundle)  # the old authority is trusted on
    if step is Step.NOTHING:
        return state
    new = made(names, now, life)
    old = state.serving.authority if state.serving else b""
    if step is Step.FIRST:
        return State(new, None, 0.0, new.authority + old)
    return State(state.serving, new, now, new.authority + old)


def stored(state: State) -> dict[str, str]:
    """The Secret's `data`."""
    data = {"ca.crt": state.bundle}
    if state.serving:
        data |= {"tls.crt": state.serving.chain, "tls.key": state.serving.key}
        data["tls-ca.crt"] = state.serving.authority
    if state.next:
        data |= {"next.crt": state.next.chain, "next.key": state.next.key}
        data["next-ca.crt"] = state.next.authority
        data["next-since"] = str(int(state.since)).encode()
    return {name: base64.b64encode(value).decode() for name, value in data.items()}


def restored(data: Mapping[str, str]) -> State:
    """The state that the Secret's *data* says; what cannot be used counts as absent."""
    try:
        said = {name: base64.b64decode(value, validate=True) for name, value in data.items()}
        since = float(said.get("next-since", b"0"))
        authorities(said.get("ca.crt", b""))
    except (binascii.Error, ValueError):
        return State()
    serving, following = _pair(said, "tls"), _pair(said, "next")
    return State(serving, following, since, said.get("ca.crt", b""))


def _pair(said: Mapping[str, bytes], name: str) -> Certificate | None:
    parts = [said.get(f"{name}{part}", b"") for part in ("-ca.crt", ".crt", ".key")]
    try:
        return read(*parts)
    except Unusable:
        return None


def _for(certificate: Certificate, names: Sequence[str]) -> bool:
    return set(names) <= set(certificate.names)


def _holds(bundle: bytes, authority: bytes) -> bool:
    try:
        return set(authorities(authority)) <= set(authorities(bundle))
    except Unusable:
        return False
