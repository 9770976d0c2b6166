"""How do the API server's questions arrive? Over HTTPS, one to a connection, all of it bounded."""

from __future__ import annotations

import io
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from agent.config.fields import Address
from agent.http_server import BoundedServer, Incoming

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
MAX_BODY = 4 * 1024 * 1024  # bytes; the API server takes objects of 3 MiB at most
MAX_BODIES = 24 * 1024 * 1024  # bytes of all bodies that are here at a time
MAX_HEADERS = 16 * 1024  # bytes of a request besides its body
DEADLINE = 10.0  # seconds from the connection to the last byte of the answer

Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type and body."""
Ask = Callable[[str, str, bytes], Answer]
"""Method, path (without its query) and body, to the answer."""


class Listener:
    """Serves *answer* on *address*; with *context*, over the TLS that it returns at the time.

    One request to a connection: the API server would not repeat a POST on a connection that we
    close while it is idle, and a pod would fail for it.
    """

    def __init__(
        self,
        address: Address,
        answer: Ask,
        context: Callable[[], ssl.SSLContext | None] | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        family, _, _, _, sockaddr = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )[0]
        where = (str(sockaddr[0]), address.port)
        self._server = _Server(family, where, answer, context, deadline)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1},
            name=f"http-{address.port}", daemon=True,
        )  # fmt: skip

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self, grace: float = 0.0) -> None:
        """Accept no more; give what is in flight *grace* seconds."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        end = time.monotonic() + grace
        while self._server.open and time.monotonic() < end:
            time.sleep(0.02)


class _Server(BoundedServer):
    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        answer: Ask,
        context: Callable[[], ssl.SSLContext | None] | None,
        deadline: float,
    ) -> None:
        self.answer = answer
        self.deadline = deadline
        self.open: dict[socket.socket, float] = {}  # and until when
        self._left = MAX_BODIES
        self._lock = threading.Lock()
        self._context = context
        super().__init__(family, address, _Handler, MAX_CONNECTIONS)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """On the connection's own thread: a slow handshake holds up nobody else."""
        connection = request
        if self._context is not None:
            if (context := self._context()) is None:
                return  # no certificate yet
            connection = context.wrap_socket(
                request, server_side=True, do_handshake_on_connect=False
            )
        connection.settimeout(self.deadline)
        self.open[connection] = time.monotonic() + self.deadline
        try:
            if self._context is not None:
                connection.do_handshake()
            super().finish_request(connection, client_address)
        finally:
            self.open.pop(connection, None)
            if connection is not request:
                self.shutdown_request(connection)

    def take(self, size: int) -> bool:
        """Make room for a body; False where there is none."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """The body is gone."""
        with self._lock:
            self._left += size

    def service_actions(self) -> None:
        """Cut whoever is too slow; a byte now and then buys no time."""
        now = time.monotonic()
        for connection, until in list(self.open.items()):
            if now > until:
                try:  # the plain socket's: an SSLSocket's own would confuse its reader
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:
                    log.debug("a slow connection was gone before it was cut")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "attache"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        deadline = time.monotonic() + self.server.deadline
        incoming = Incoming(self.connection, deadline, MAX_HEADERS + MAX_BODY)
        self.rfile = io.BufferedReader(incoming, 16 * 1024)

    def parse_request(self) -> bool:
        """Every method is answered in one place."""
        self.close_connection = True
        if not super().parse_request():
            return False
        self.close_connection = True
        length = self._length()
        if length is None:
            return False
        if not self.server.take(length):
            self._send(*plain(HTTPStatus.SERVICE_UNAVAILABLE, "too much is asked at once"))
            return False
        try:
            self._answer(length)
        finally:
            self.server.give_back(length)
        return False

    def _answer(self, length: int) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        body = self.rfile.read(length)
        if len(body) < length:
            return  # the peer is gone
        path = self.path.partition("?")[0]
        try:
            answer = self.server.answer(self.command, path, body)
        except Exception:
            log.exception("%s failed; this is a fault of the injector: report the trace", path)
            answer = plain(HTTPStatus.INTERNAL_SERVER_ERROR, "see the injector's log")
        self._send(*answer)

    def _length(self) -> int | None:
        """Bytes of the body; None where the request was refused."""
        lengths = self.headers.get_all("Content-Length", [])
        if self.headers.get("Transfer-Encoding") is not None or len(lengths) > 1:
            self._send(*plain(HTTPStatus.LENGTH_REQUIRED, "send one Content-Length"))
            return None
        length = lengths[0].strip() if lengths else "0"
        if not (length.isascii() and length.isdigit()) or len(length) > 12:
            self._send(*plain(HTTPStatus.BAD_REQUEST, "Content-Length is no number"))
            return None
        if int(length) > MAX_BODY:
            sentence = f"at most {MAX_BODY} bytes are read"
            self._send(*plain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence))
            return None
        return int(length)

    def handle_expect_100(self) -> bool:
        """Said once the length is known."""
        return True

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses itself; nothing of the request is in it."""
        self.command = getattr(self, "command", None) or "GET"
        self._send(*plain(HTTPStatus(code), HTTPStatus(code).phrase.lower()))

    def version_string(self) -> str:
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        log.debug("http: " + format, *args)


def plain(status: HTTPStatus, sentence: str) -> Answer:
    """An answer in words."""
    return status, "text/plain; charset=utf-8", sentence.encode() + b"\n"
