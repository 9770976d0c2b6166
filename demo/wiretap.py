"""What travels between the pods? Relays that note each request's claims, for show.

A relay stands where a network cable would: after the caller's Envoy, before the callee's. It keeps
the claims of what it saw, never the token or its signature.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

_MAX_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Passed:
    """One request on its way to *place*; `claims` is empty where it carried no bearer."""

    place: str
    correlation: str
    method: str
    path: str
    claims: dict[str, Any]


class Requests:
    """Finds the heads of requests in the bytes of one HTTP/1.1 connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._body = 0
        self._lost = False

    def feed(self, data: bytes) -> list[tuple[str, dict[str, str]]]:
        """Return (request line, headers) of each head that *data* completes."""
        found: list[tuple[str, dict[str, str]]] = []
        self._buffer += data
        while self._buffer and not self._lost:
            skipped = min(self._body, len(self._buffer))
            self._buffer, self._body = self._buffer[skipped:], self._body - skipped
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if self._body or not end:
                self._lost = len(self._buffer) > _MAX_HEAD
                break
            line, *fields = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (field.partition(":") for field in fields)
            }
            found.append((line, headers))
            self._buffer = rest
            self._body = int(headers.get("content-length", "0"))
            # nobody here sends chunks; one who did would be relayed unread
            self._lost = "transfer-encoding" in headers
        if self._lost:
            self._buffer = b""
        return found


def claims_of(authorization: str) -> dict[str, Any]:
    """The claims of a bearer token, unchecked: for show only."""
    parts = authorization.removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


class Wiretap:
    """The relays of one demo, in one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wiretap", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._passed: deque[Passed] = deque(maxlen=10_000)

    def start(self) -> None:
        """Begin to relay what `relay` adds."""
        self._thread.start()

    def relay(self, place: str, port: int, target: int) -> None:
        """Relay connections to *port* on to *target*, both on loopback."""

        async def serve() -> None:
            async def connected(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
                await self._connection(place, target, r, w)

            # a crowd connects at once: beyond the backlog, connections are lost without a word
            server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=2048)
            self._servers.append(server)

        asyncio.run_coroutine_threadsafe(serve(), self._loop).result(10)

    def passed(self, correlation: str) -> dict[str, Passed]:
        """What went by under one correlation id, the last by place."""
        return {item.place: item for item in list(self._passed) if item.correlation == correlation}

    def stop(self) -> None:
        """Cut all relays."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(
        self, place: str, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        back = asyncio.ensure_future(_pump(onward_reader, writer))
        try:
            requests = Requests()
            while data := await reader.read(65536):
                for line, headers in requests.feed(data):
                    self._note(place, line, headers)
                onward.write(data)
                await onward.drain()
        except OSError:
            pass
        finally:
            onward.close()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await back
            writer.close()

    def _note(self, place: str, line: str, headers: dict[str, str]) -> None:
        method, path, *_ = (*line.split(" "), "", "")
        claims = claims_of(headers.get("authorization", ""))
        self._passed.append(
            Passed(place, headers.get("x-correlation-id", ""), method, path, claims)
        )


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
