"""What do the applications call? Destinations that note whose credential each call brought."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from bench.crowd.verdict import Visit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Stores:
    """One server for all destinations, told apart by the host that was called.

    `/BEHAVIOUR/MARK`: answers `now`, `fails-first` (503 to a mark's first call), `slow-first`
    (its first call waits), or echoes a `stream`. Signatures are the sidecars' matter: this only
    reads who a token speaks for.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._visits: list[Visit] = []
        self._calls: Counter[tuple[str, str]] = Counter()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._answer,
                port=port,
                interface="asgi3",
                log_level="warning",
                access_log=False,
                lifespan="off",
            )
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @property
    def visits(self) -> list[Visit]:
        """What was seen so far."""
        return self._visits.copy()

    def start(self) -> None:
        """Serve, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(10)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        _, behaviour, mark = scope["path"].split("/")
        subject, audience = _speaks(headers.get("authorization", ""))
        store = headers["host"].partition(".")[0]
        if store.isdigit():  # called by the sidecar's address (fetch)
            store = "minted"
        leaked = (k for k, v in headers.items() if "attache=" in v or k.startswith("x-attache"))
        self._visits.append(Visit(store, mark, subject, audience, tuple(leaked)))
        self._calls[behaviour, mark] += 1
        first = self._calls[behaviour, mark] == 1
        status = 503 if behaviour == "fails-first" and first else 200
        if behaviour == "slow-first" and first:
            await asyncio.sleep(0.5)
        start = {"type": "http.response.start", "status": status}
        await send(start | {"headers": [(b"content-type", b"text/plain")]})
        if behaviour == "stream":
            await _echo(receive, send)
        await send({"type": "http.response.body", "body": b"seen\n"})


async def _echo(receive: Receive, send: Send) -> None:
    more = True
    while more:
        message = await receive()
        more = bool(message.get("more_body"))
        body = message.get("body", b"")
        await send({"type": "http.response.body", "body": body, "more_body": True})


def _speaks(authorization: str) -> tuple[str, str]:
    """The user and the audience of a bearer token; empty strings where there is none."""
    part = authorization.removeprefix("Bearer ").split(".")[1:2]
    if not part:
        return "", ""
    claims = json.loads(base64.urlsafe_b64decode(part[0] + "=="))
    return str(claims.get("oid", "")), str(claims.get("aud", ""))
