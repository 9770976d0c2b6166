"""How does a handle travel? In headers that tracing libraries copy (W3C Trace Context, Baggage).

`baggage` survives Envoy's own tracer, `tracestate` does not, and `x-attache-context` serves
applications that forward headers themselves (ENVOY.md, measured).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

HANDLE_HEADER = "x-attache-context"
# Our Envoy moves `tracestate` here before its tracer reads it: a tracer writes what it read over
# what we answer, a stranger's handle or one that must not leave [M].
MOVED_STATE = "x-attache-tracestate"
INSIDE = (HANDLE_HEADER, MOVED_STATE)  # no call takes these out of the pod
MEMBER = "attache"

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HANDLE = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
# Trace Context §3.2.2: version 00 ends with the flags, a later one may go on
_TRACEPARENT = re.compile(
    r"(?!ff|00.{53}-)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-[!-~]*)?", re.ASCII
)
_MAX_BAGGAGE = 8192  # W3C Baggage §3.3.2: what everyone must be able to pass on
_MAX_STATE = 512  # W3C Trace Context §3.3.1.5: at least this much should be passed on
_MAX_STATE_MEMBERS = 32


class Carried(NamedTuple):
    """Every handle found in a request's headers, each once, and the other carriers."""

    handles: tuple[str, ...]
    request_id: str
    trace_id: str


def read(baggage: str, tracestate: str, header: str, request_id: str, traceparent: str) -> Carried:
    """Collect the carriers of an outbound request; absent headers are empty strings."""
    found = [part.strip() for part in header.split(",") if part.strip()] if header else []
    if baggage or tracestate:
        found = _members(baggage) + _members(tracestate) + found
    if len(found) > 1:
        found = list(dict.fromkeys(found))
    return Carried(tuple(found), request_id, trace_id(traceparent) if traceparent else "")


def trace_id(traceparent: str) -> str:
    """The trace id of a valid `traceparent`, else an empty string (Trace Context §3.2)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if not match or match[1] == "0" * 32 or match[2] == "0" * 16:
        return ""
    return match[1]


def with_handle(handle: str, baggage: str, tracestate: str) -> tuple[str, str]:
    """Return (baggage, tracestate) that carry *handle* and no other handle of ours."""
    if not (baggage or tracestate):  # as most requests come
        member = f"{MEMBER}={handle}"
        return member, member
    rest = without_handle(baggage)
    kept = f"{MEMBER}={handle}" + (f",{rest}" if rest else "")
    if len(kept.encode()) > _MAX_BAGGAGE:
        kept = f"{MEMBER}={handle}"
    states = [f"{MEMBER}={handle}"]  # Trace Context §3.5: the latest writer stands first
    size = len(states[0])
    for member in _split(without_handle(tracestate))[: _MAX_STATE_MEMBERS - 1]:
        size += len(member) + 1
        if size > _MAX_STATE:
            break
        states.append(member)
    return kept, ",".join(states)


def without_handle(header: str) -> str:
    """The members of a `baggage` or `tracestate` value that are not ours.

    None of a value with control characters, which no header may carry on (RFC 9110 §5.5).
    """
    if _CONTROL.search(header):
        return ""
    if not _may_hold_ours(header):
        return header
    members = _split(header)
    kept = [member for member in members if _key(member) != MEMBER]
    return ",".join(kept) if len(kept) < len(members) else header


def well_formed(handle: str) -> bool:
    """Whether a text could be a handle at all."""
    return _HANDLE.fullmatch(handle) is not None


def _members(header: str) -> list[str]:
    if not _may_hold_ours(header):
        return []
    return [
        member.partition("=")[2].partition(";")[0].strip()
        for member in _split(header)
        if _key(member) == MEMBER
    ]


def _may_hold_ours(header: str) -> bool:
    return MEMBER in header or "%" in header


def _key(member: str) -> str:
    # OpenTelemetry's baggage decodes names, and the last `%61ttache` would take our member's place
    return unquote_plus(member.partition("=")[0]).strip()


def _split(header: str) -> list[str]:
    return [member.strip() for member in header.split(",") if member.strip()]
