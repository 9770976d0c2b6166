"""Under which ids does a request travel? The transaction, the request, the trace, the handle."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from agent.context.carriers import trace_id
from agent.flow.headers import CORRELATION, REQUEST_ID
from agent.flow.request import Request
from agent.identity.claims import transaction

Randomness = Callable[[int], bytes]
"""Gives that many random bytes, fit for secrets."""

# Of the digit in that place two bits are random, and two say which variant it is.
_VARIANTS = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Correlation(NamedTuple):
    """The ids of one request. `traceparent` is complete; `baggage` and `tracestate` are theirs."""

    txn: str
    request_id: str
    trace_id: str
    traceparent: str
    handle: str
    baggage: str
    tracestate: str


def inbound_correlation(request: Request, random: Randomness, edge: bool) -> Correlation:
    """Ids for a request that came in: continued where the caller is one of us, else new.

    Every request gets a request id and a handle (128 random bits) of its own.
    """
    drawn = random(56).hex()  # two characters a byte
    request_id = _uuid4(drawn)
    handle = drawn[32:64]
    header = request.header
    given = "" if edge else header("traceparent")
    trace = trace_id(given) if given else ""
    if trace:
        traceparent = given
        tracestate = _visible(request.tracestate)
    else:  # a tracestate without its trace belongs to nobody (Trace Context §3.3)
        trace = drawn[64:96]
        traceparent = f"00-{trace}-{drawn[96:]}-01"
        tracestate = ""
    said, baggage = ("", "") if edge else (header(CORRELATION), header("baggage"))
    return Correlation(
        (said and transaction(said)) or request_id,
        request_id,
        trace,
        traceparent,
        handle,
        baggage and _visible(baggage),
        tracestate,
    )


def outbound_correlation(
    request: Request, random: Randomness, txn: str, trace: str
) -> tuple[str, str, str]:
    """(transaction id, trace id, traceparent) of a call: the caller's, else the application's."""
    traceparent = request.header("traceparent")
    own = trace_id(traceparent)
    if not own:
        drawn = random(24)
        own = trace or drawn[:16].hex()
        traceparent = f"00-{own}-{drawn[16:].hex()}-01"
    said = txn or transaction(request.header(CORRELATION))
    if not said:
        said = transaction(request.header(REQUEST_ID)) or _uuid4(random(16).hex())
    return said, own, traceparent


def _uuid4(text: str) -> str:
    """A UUID of 32 random hex digits (RFC 9562 §5.4); `uuid.UUID` takes over thrice as long."""
    variant = _VARIANTS[text[16]]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def _visible(value: str) -> str:
    """*value*, or nothing where a control character would keep us from writing it again."""
    return "" if _CONTROL.search(value) else value
