"""Requests that end before they should."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from collections.abc import Callable

from tests.e2e.attacks.siege import Siege
from tests.e2e.attacks.sockets import Bytes, request

ENDINGS: dict[str, tuple[Callable[[Siege], Bytes], set[str]]] = {
    # what is said, and what the application may have got of it: a whole request or nothing
    "half-closed behind a good request": (lambda s: Bytes((request("/api/x", s.bearer),), ends="half"), {"/api/x"}),
    "half-closed without a token": (lambda s: Bytes((request("/api/x"),), ends="half"), set()),
    "half-closed in the headers": (lambda s: Bytes((request("/open/x")[:-2],), ends="half"), set()),
    "half-closed in a name": (lambda s: Bytes((b"GET /open/x HTTP/1.1\r\nHo",), ends="half"), set()),
    "reset behind a request without a token": (lambda s: Bytes((request("/api/x"),), ends="reset"), set()),
    "reset behind a good request": (lambda s: Bytes((request("/api/x", s.bearer),), ends="reset"), {"/api/x"}),
    "reset in the headers": (lambda s: Bytes((request("/open/x")[:-2],), ends="reset"), set()),
    "reset in the body": (lambda s: Bytes((request("/api/x", s.bearer, "Content-Length: 99", method="POST", body=b"abc"),), ends="reset"), {"/api/x"}),
    "reset in a chunk": (lambda s: Bytes((request("/api/x", s.bearer, "Transfer-Encoding: chunked", method="POST", body=b"9\r\nabc"),), ends="reset"), {"/api/x"}),
    "half-closed in the body, refused": (lambda s: Bytes((request("/api/x", "Content-Length: 99", method="POST", body=b"forged"),), ends="half"), set()),
    "reset in a WebSocket's handshake": (lambda s: Bytes((request("/ws/accept", "Upgrade: websocket", "Connection: Upgrade", close=False),), ends="reset"), set()),
}  # fmt: skip
