"""How does Python's own HTTP server serve strangers? With a bound for everything.

It is enough for a probe, a scrape and an admission review every now and then. Its gaps are closed
here: threads are counted, and a request has one deadline and one bound for all of its bytes.
"""

from __future__ import annotations

import io
import logging
import socket
import socketserver
import threading
import time
from typing import Any

log = logging.getLogger(__name__)


class BoundedServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Answers *max_requests* at once; a further connection is closed unanswered."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a slow reader must not hold up the end of the process
    request_queue_size = 64

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        handler: type[socketserver.BaseRequestHandler],
        max_requests: int,
    ) -> None:
        self.address_family = family
        self._free = threading.BoundedSemaphore(max_requests)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, while there are any."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer on a thread of its own, and give it back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The peer's doing, not ours."""
        log.debug("a request ended early", exc_info=True)


class Incoming(io.RawIOBase):
    """The bytes of one request: *max_bytes*, and until *deadline* (of the monotonic clock)."""

    def __init__(self, connection: socket.socket, deadline: float, max_bytes: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = max_bytes

    def again(self, deadline: float, max_bytes: int) -> None:
        """Begin anew: the next request on the same connection."""
        self._deadline = deadline
        self._left = max_bytes

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some; `TimeoutError` beyond either bound."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0 or self._left <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        count = self._connection.recv_into(buffer, min(len(buffer), self._left))
        self._left -= count
        return count
