"""At the edge callers are strangers: where they come from and what they continue is made up."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from collections.abc import Callable

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import Attack, Siege
from tests.e2e.attacks.sockets import Talk, pseudo, request

GROUP = "Edge: strangers' ids, origins and internal tokens"

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def fresh(seen: Seen, _: Siege) -> bool:
    """Ids of our own making, one handle, and the peer as where the caller came from."""
    (handle,) = seen.all("x-attache-context")
    return (
        "0af7651916cd43dd8448eb211c80319c" not in repr(seen)
        and seen.all("baggage") == [f"attache={handle}"]
        and seen.all("tracestate") == [f"attache={handle}"]
        and seen.all("x-correlation-id") == seen.all("x-request-id")
        and len(seen.all("x-request-id")) == 1
        and seen.all("x-forwarded-proto") == ["http"]
        and seen.all("x-envoy-external-address") == ["127.0.0.1"]
        # Envoy appends the peer: where that is loopback, the machine's own address
        and [one.rpartition(",")[2].strip() != "10.0.0.1" for one in seen.all("x-forwarded-for")]
        == [True]
    )


def _both(name: str, *lines: tuple[str, str]) -> list[Attack]:
    fields = [(key.lower().encode(), value.encode()) for key, value in lines]
    return [
        Attack(f"h1 {name}", lambda s: request("/open/x", *(f"{key}: {value}" for key, value in lines)), "200", "", 1, fresh, at="edge"),
        Attack(f"h2 {name}", lambda s: Talk().headers(1, pseudo(b"/open/x", *fields)), "200", "", 1, fresh, at="edge"),
    ]  # fmt: skip


def _token(
    name: str,
    token: Callable[[Siege], str],
    answer: str,
    reason: str,
    saw: int = 0,
    *,
    at: str = "edge",
) -> list[Attack]:
    return [
        Attack(f"h1 {name}", lambda s: request("/api/x", f"Authorization: Bearer {token(s)}"), answer, reason, saw, at=at),
        Attack(f"h2 {name}", lambda s: Talk().headers(1, pseudo(b"/api/x", (b"authorization", f"Bearer {token(s)}".encode()))), answer, reason, saw, at=at),
    ]  # fmt: skip


ORIGINS = (
    "Forwarded", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl",
    "X-Forwarded-Proto", "X-Real-Ip", "X-Forwarded-Client-Cert", "X-Envoy-External-Address", "X-Envoy-Original-Path",
)  # fmt: skip

ROWS = (
    *(row for name in ORIGINS for row in _both(name, (name, "forged"))),
    *_both("X-Forwarded-For", ("X-Forwarded-For", "10.0.0.1")),
    *_both("X-Forwarded-For, as us", ("X-Forwarded-For", "127.0.0.1, 10.0.0.1")),
    *_both("traceparent", ("traceparent", TRACE)),
    *_both("traceparent and tracestate", ("traceparent", TRACE), ("tracestate", "attache=forgedforgedforged,v=forged")),
    *_both("baggage", ("baggage", "user=forged,attache=forgedforgedforged")),
    *_both("baggage twice", ("baggage", "user=forged"), ("Baggage", "attache=forgedforgedforged")),
    *_both("X-Request-Id", ("X-Request-Id", "forged")),
    *_both("X-Correlation-Id", ("X-Correlation-Id", "forged")),
    *_both("X-Attache-Context", ("X-Attache-Context", "forgedforgedforged")),
    *_both("other tracers' headers", ("X-Client-Trace-Id", "t"), ("X-Envoy-Force-Trace", "forged")),
    *_token("internal token", lambda s: s.internal(), "401", "untrusted_issuer"),
    *_token("internal token, forged", lambda s: s.internal()[:-8] + "forged00", "401", "invalid_token|malformed_token"),
    *_token("internal token inside is one of us", lambda s: s.internal(), "200", "", 1, at="pod"),
    *_token("the internal issuer's name on another's token", lambda s: s.token(iss="https://gw"), "401", "unknown_key|invalid_token"),
)  # fmt: skip
