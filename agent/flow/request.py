"""What is asked? A request as Envoy shows it to us, whatever carried it here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from agent.context.carriers import MOVED_STATE


class Direction(StrEnum):
    """Whether somebody calls the application, or the application calls somebody."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Request(NamedTuple):
    """One request. `target` is the raw path with its query; header names are lower-case.

    `direction` and `destination` come from our own route's context extensions, never from a header
    (SECURITY.md 25), as do `passthrough`, a host that no destination names,
    `underscores_refused`: this Envoy lets no header with a `_` in its name come in.
    `preflight`: once allowed, Envoy answers this OPTIONS itself; no application sees it.
    `headers_listed`: every header that we read is among those which Envoy shows us. `unmatched`:
    the route is for hosts that no destination names. `body` is there only where our route has it
    sent.
    """

    direction: Direction
    method: str
    target: str
    host: str
    headers: Mapping[str, str]
    destination: str = ""
    passthrough: bool = False
    underscores_refused: bool = False
    preflight: bool = False
    headers_listed: bool = False
    unmatched: bool = False
    body: str = ""

    @property
    def is_grpc(self) -> bool:
        """Whether Envoy answers it by a gRPC status: it asks this question (not of gRPC-Web)."""
        kind = self.header("content-type")
        return kind == "application/grpc" or kind.startswith("application/grpc+")

    def header(self, name: str) -> str:
        """A header's value, empty where it is absent."""
        headers = self.headers  # protobuf's map: asking first takes a third of `get`
        return headers[name] if name in headers else ""  # noqa: SIM401

    @property
    def tracestate(self) -> str:
        """The states of other tracers, from wherever this Envoy leaves them."""
        plain, moved = self.header("tracestate"), self.header(MOVED_STATE)
        return f"{plain},{moved}" if plain and moved else plain or moved
