"""How is a load made? Keep-alive connections over one epoll loop, each with one request in flight.

The client's own speed does not matter for CPU per request, which is read from the servers' own
CPU clocks.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What one run saw: latencies in seconds, and how many answers were not 200."""

    seconds: float
    latencies: list[float]
    failed: int

    def quantile(self, q: float) -> float:
        """The latency below which the share *q* of the answers came, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Connection:
    """One keep-alive connection to a loopback port, with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent = 0.0

    def send(self, request: bytes) -> None:
        """Send a whole request."""
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> int | None:
        """The status of a complete answer, None while more is to come."""
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError("the server closed a keep-alive connection")
        self.buffer += received
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return None
        self.buffer = rest[length:]
        return int(head[9:12])


def run(
    port: int,
    requests: Iterator[bytes],
    connections: int,
    total: int,
    seconds: float = float("inf"),
) -> Load:
    """Send *total* requests over *connections* connections; each waits for its answer.

    It ends sooner where *seconds* are over.
    """
    selector = selectors.DefaultSelector()
    open_ones = [Connection(port) for _ in range(connections)]
    latencies: list[float] = []
    failed = sent = 0
    started = time.perf_counter()
    end = started + seconds
    try:
        for connection in open_ones:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(next(requests))
            sent += 1
        while len(latencies) < sent:
            events = selector.select(timeout=10)
            if not events:
                raise TimeoutError(f"no answer within 10 s after {len(latencies)} answers")
            for key, _ in events:
                connection = key.data
                status = connection.answer()
                if status is None:
                    continue
                latencies.append(time.perf_counter() - connection.sent)
                failed += status != 200
                if sent < total and time.perf_counter() < end:
                    connection.send(next(requests))
                    sent += 1
        return Load(time.perf_counter() - started, latencies, failed)
    finally:
        selector.close()
        for connection in open_ones:
            connection.socket.close()
