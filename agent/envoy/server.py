"""How do Envoy's questions reach us? gRPC on Unix sockets, nobody else's (SECURITY.md 24).

Checks come on one socket, by the transport that `agent.transport` chooses; the configuration's
stream has another, and is always grpcio's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

import grpc

from agent.config.listeners import Agent
from agent.envoy.lean.loop import Loop
from agent.envoy.pool import CheckPool
from agent.envoy.unix import Claim, listen

log = logging.getLogger("attache.server")

Decide = Callable[[bytes, float], bytes]
"""CheckRequest and the seconds that remain → CheckResponse.

Raises `WouldBlock` on a thread that must not wait, and nothing else.
"""

Transport = Literal["lean", "grpcio"]

# Envoy gives each try 4.5 s: an answer after that is no answer (SECURITY.md 39).
LONGEST = 4.0
MARGIN = 0.25

_SERVICE, _METHOD = "envoy.service.auth.v3.Authorization", "Check"


class Server(Protocol):
    """What serves, until it is stopped."""

    def stop(self, grace: float) -> None:
        """Leave the path, answer what is under way for up to *grace* seconds, end."""


class UnknownTransport(ValueError):
    """The environment names a transport that there is not; the text says which there are."""


def transport_of(agent: Agent, environment: Mapping[str, str]) -> Transport:
    """What carries Checks: the file's word, else the environment's, else the default.

    The environment serves whoever must change it for many agents at once, as our own tests do.
    """
    said = environment.get("ATTACHE_TRANSPORT", "")
    if "transport" in agent.model_fields_set or not said:
        return agent.transport
    for known in get_args(Transport):
        if said == known:
            return cast("Transport", known)
    right = " or ".join(get_args(Transport))
    raise UnknownTransport(f"ATTACHE_TRANSPORT is '{said[:32]}'; write {right}, or leave it out")


def serve_checks(transport: Transport, path: Path, decide: Decide, pool: CheckPool) -> Server:
    """Answer Checks on the Unix socket *path*; raise `SocketInUse` or `OSError`."""
    if transport == "lean":
        return LeanServer(path, decide, pool)
    return GrpcServer(path, pool, check_handler(decide))


def patience(remaining: float | None) -> float:
    """How many seconds a decision may take whose asker waits *remaining* (None: for ever)."""
    return LONGEST if remaining is None else max(0.0, min(LONGEST, remaining - MARGIN))


def check_handler(decide: Decide) -> grpc.GenericRpcHandler:
    """The ext_authz service around a plain function, bytes in and bytes out."""

    def check(message: bytes, context: grpc.ServicerContext) -> bytes:
        return decide(message, patience(context.time_remaining()))

    return grpc.method_handlers_generic_handler(
        _SERVICE, {_METHOD: grpc.unary_unary_rpc_method_handler(check)}
    )


class LeanServer:
    """Our own transport: hits on its one thread, what waits on *pool*."""

    def __init__(self, path: Path, decide: Decide, pool: CheckPool) -> None:
        def check(message: bytes, remaining: float | None) -> bytes:
            return decide(message, patience(remaining))

        def begin(place: Path) -> None:
            self._loop = Loop(
                listen(place), {f"/{_SERVICE}/{_METHOD}": check}, pool, pool.never_wait
            )

        self._claim = Claim(path, begin)
        self._loop.start()

    def stop(self, grace: float) -> None:
        """See `Server`."""
        self._claim.give_up()
        self._loop.stop(grace)


class GrpcServer:
    """grpcio's server on the Unix socket *path*, for any service."""

    def __init__(self, path: Path, pool: Executor, handler: grpc.GenericRpcHandler) -> None:
        self._server = grpc.server(
            cast("ThreadPoolExecutor", pool),  # of which grpcio uses what every Executor has
            handlers=[handler],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_concurrent_streams", 4096),
                ("grpc.max_receive_message_length", 1 << 20),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )

        def begin(place: Path) -> None:
            try:
                self._server.add_insecure_port(f"unix:{place}")
            except RuntimeError as error:
                raise OSError(f"agent.socket {path} cannot be opened: {error}") from None
            self._server.start()

        self._claim = Claim(path, begin)

    def stop(self, grace: float) -> None:
        """See `Server`."""
        self._claim.give_up()
        self._server.stop(grace).wait()
