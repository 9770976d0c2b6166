"""How do Envoy's questions reach us by grpcio's server, where `agent.transport` says so?"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import grpc

from agent.envoy.ads import METHOD, SERVICE, STOPPING, STREAMS, Ads, Stream
from agent.envoy.unix import Claim


def handler(
    service: str, method: str, answer: Callable[[bytes, float | None], bytes]
) -> grpc.GenericRpcHandler:
    """A service of one method, given the seconds that its caller still waits (None: for ever)."""

    def run(message: bytes, context: grpc.ServicerContext) -> bytes:
        return answer(message, context.time_remaining())

    return grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(run)}
    )


def ads_handler(ads: Ads) -> grpc.GenericRpcHandler:
    """The aggregated discovery service around *ads*."""

    def serve(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        stream = ads.enter()
        if stream is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, STOPPING)
        assert stream is not None  # abort raises
        if not context.add_callback(stream.over):
            stream.over()  # it has ended already
        threading.Thread(
            target=_listen, args=(stream, requests), name="ads-reader", daemon=True
        ).start()
        yield from ads.converse(stream)

    return grpc.method_handlers_generic_handler(
        SERVICE, {METHOD: grpc.stream_stream_rpc_method_handler(serve)}
    )


def _listen(stream: Stream, requests: Iterator[bytes]) -> None:
    """Pass on what Envoy says until its side of the stream ends."""
    with contextlib.suppress(grpc.RpcError, ValueError):  # grpcio's words for a broken stream
        for request in requests:
            stream.hear(request)
    stream.over()


def ads_pool() -> Executor:
    """Threads for as many streams as `Ads` has at a time, and one that is just being refused."""
    return ThreadPoolExecutor(STREAMS + 1, thread_name_prefix="xds")


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
