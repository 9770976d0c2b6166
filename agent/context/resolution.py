"""Who caused this outbound call? Every carrier must say the same, or nobody is believed."""

from __future__ import annotations

from typing import Protocol

from agent.context.caller import Caller
from agent.context.carriers import Carried
from agent.context.store import same_principal
from agent.errors import Denial, Reason


class Lookup(Protocol):
    """The store, as the resolution sees it."""

    def by_handle(self, handle: str, now: float) -> Caller | None: ...
    def by_request_id(self, request_id: str, now: float) -> Caller | None: ...
    def by_token(self, given: bytes, now: float) -> Caller | None: ...
    def by_trace(self, trace_id: str, now: float) -> tuple[Caller, ...]: ...
    def left_by_another(self, caller: Caller, now: float) -> bool: ...


def resolve(
    carried: Carried, relayed: bytes | None, store: Lookup, now: float
) -> Caller | Denial | None:
    """Return the caller behind an outbound request, None where nothing points to one.

    `relayed` is the SHA-256 of the bearer token in the application's own Authorization header.
    Order (DESIGN.md §5): relayed Authorization, handle, request id, trace id. Carriers that
    disagree are `ambiguous_subject`; a handle that is not (or no longer) ours is `no_subject`,
    for it was forged, or has outlived its token.
    """
    if len(carried.handles) > 1:
        return _ambiguous("the request carries two different handles")
    by_handle = None
    if carried.handles:
        by_handle = store.by_handle(carried.handles[0], now)
        if by_handle is None:
            return Denial(
                Reason.NO_SUBJECT, "the request's handle belongs to no live inbound request"
            )
    by_token = store.by_token(relayed, now) if relayed else None
    by_request = store.by_request_id(carried.request_id, now) if carried.request_id else None
    found = [caller for caller in (by_handle, by_token, by_request) if caller is not None]
    for other in found[1:]:
        if not same_principal(found[0], other):
            return _ambiguous("the request's carriers point to different callers")
    under_trace = store.by_trace(carried.trace_id, now) if carried.trace_id else ()
    if found:
        alien = under_trace and found[0].trace_id != carried.trace_id
        if alien and not any(same_principal(found[0], caller) for caller in under_trace):
            return _ambiguous("the request's trace belongs to a different caller")
        return found[0]
    if len(under_trace) > 1 or (under_trace and store.left_by_another(under_trace[0], now)):
        return _ambiguous("several callers are live under the request's trace id")
    if under_trace and under_trace[0].expires_at <= now:
        return Denial(Reason.NO_SUBJECT, "the caller under the request's trace id has expired")
    return under_trace[0] if under_trace else None


def _ambiguous(detail: str) -> Denial:
    return Denial(Reason.AMBIGUOUS_SUBJECT, detail)
