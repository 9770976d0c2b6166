"""Callers that take their time. They begin with the siege and are looked at when it ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType

from tests.e2e.attacks.sockets import END_STREAM, HEADERS, Talk, connect, request

PATIENCE = 60.0  # seconds; Envoy gives them ten

FIRST = "/open/first"
_HEAD = request("/open/slow", close=False).removesuffix(b"\r\n")


def _half_a_block() -> bytes:
    talk = Talk()
    return bytes(talk.raw(HEADERS, END_STREAM, 1, b"\x82\x86").sent)


SLOW: Mapping[str, tuple[bytes, bytes]] = MappingProxyType(
    {  # what is said at once, and what once in a while until there is an answer
        "headers that never end": (_HEAD, b""),
        "headers, a line at a time": (_HEAD, b"X-A: b\r\n"),
        "headers, a letter at a time": (_HEAD + b"X-A: ", b"a"),
        "a first line, a letter at a time": (b"GET /open/slow", b"a"),
        "half of a second request": (request(FIRST, close=False) + _HEAD, b""),
        "HTTP/2 headers that never end": (_half_a_block(), b""),
    }
)


class Slowness:
    """One connection for each of `SLOW`; `ends` says how it ended, as far as it did."""

    def __init__(self, port: int) -> None:
        self.ends: dict[str, bytes] = {}
        self._threads = [
            threading.Thread(target=self._dribble, args=(port, name), daemon=True) for name in SLOW
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> dict[str, bytes]:
        """What each heard before its connection ended."""
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.ends

    def _dribble(self, port: int, name: str) -> None:
        first, more = SLOW[name]
        heard, end = b"", time.monotonic() + PATIENCE
        with connect(port) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(first)
            connection.settimeout(0.5)
            while time.monotonic() < end:
                try:
                    data = connection.recv(65536)
                except TimeoutError:
                    connection.sendall(more)
                    continue
                heard += data
                if not data or b"408" in heard:  # HTTP/2 ends the stream and keeps the connection
                    break
            else:
                return
        self.ends[name] = heard
