"""How do Envoy's questions reach us? gRPC on a Unix socket, nobody else's (SECURITY.md 24)."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import grpc

log = logging.getLogger("attache.server")

Decide = Callable[[bytes, float], bytes]
"""CheckRequest and the seconds that remain → CheckResponse; never raises."""

# Envoy gives each try 4.5 s: an answer after that is no answer (SECURITY.md 39).
LONGEST = 4.0
MARGIN = 0.25


class SocketInUse(OSError):
    """Another process answers on our socket."""


def check_handler(decide: Decide) -> grpc.GenericRpcHandler:
    """The ext_authz service around a plain function, bytes in and bytes out."""

    def check(message: bytes, context: grpc.ServicerContext) -> bytes:
        remaining = context.time_remaining()
        seconds = LONGEST if remaining is None else max(0.0, min(LONGEST, remaining - MARGIN))
        return decide(message, seconds)

    return grpc.method_handlers_generic_handler(
        "envoy.service.auth.v3.Authorization",
        {"Check": grpc.unary_unary_rpc_method_handler(check)},
    )


def serve(path: Path, pool: Executor, handlers: list[grpc.GenericRpcHandler]) -> grpc.Server:
    """Start a server on the Unix socket *path*, mode 0660; raise `SocketInUse` or `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if _answers(path):
        raise SocketInUse(
            f"another agent answers on {path}; stop it or choose another agent.socket"
        )
    server = grpc.server(
        cast("ThreadPoolExecutor", pool),  # of which grpcio uses what every Executor has
        handlers=handlers,
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", 4096),
            ("grpc.max_receive_message_length", 1 << 20),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    with _private_files():
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise OSError(f"agent.socket {path} cannot be opened: {error}") from None
    server.start()
    return server


@contextlib.contextmanager
def _private_files() -> Iterator[None]:
    """Create the socket as 0660 from the start; a chmod afterwards would leave a gap."""
    before = os.umask(0o117)
    try:
        yield
    finally:
        os.umask(before)


def _answers(path: Path) -> bool:
    """Whether a process listens on *path*; a dead one's socket file is removed, nothing else is.

    Raises `OSError` where that cannot be told: what is there may be another's.
    """
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1)
    try:
        probe.connect(str(path))
    except FileNotFoundError:
        return False
    except (BlockingIOError, TimeoutError):  # unix(7): it listens, and its backlog is full
        return True
    except ConnectionRefusedError:  # a file that is no socket refuses, too
        if not path.is_socket():
            raise FileExistsError(
                f"agent.socket {path} is a file; choose a path that is free"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return False
    finally:
        probe.close()
    return True
