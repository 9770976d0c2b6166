"""How is the agent? `/livez`, `/readyz`, `/metrics`, `/status` and our part of the keys.

A probe and a scrape every few seconds, on loopback, and nothing that changes anything
(SECURITY.md 47).
"""

from __future__ import annotations

import errno
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from agent.config.fields import Address
from agent.http_server import BoundedServer, Incoming
from agent.telemetry.metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)

MAX_REQUESTS = 16  # answered at once; a further one is closed unanswered
MAX_BYTES = 16 * 1024  # of a request, its line and headers together
DEADLINE = 5.0  # seconds from the connection to the last byte of the answer
KEYS_PATH = "/.well-known/jwks.json"
# Well below internalTokens.publishDelay: whoever caches has the new key before it signs.
KEYS_MAX_AGE = 300

JSON = "application/json"
Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type and body."""


class AdminUnavailable(Exception):
    """The admin address cannot be served; the text is a sentence with the setting and a remedy."""


class AdminServer:
    """Serves what its callables return; they are asked anew for each request.

    `ready` returns a sentence for each thing that is missing, `degraded` one for each that has to
    be mended although the agent is ready. `status` and `jwks` return what
    becomes JSON; they hold no secret and no private key. `jwks` is None where we mint no tokens.
    """

    def __init__(
        self,
        address: Address,
        ready: Callable[[], list[str]],
        status: Callable[[], Mapping[str, Any]],
        jwks: Callable[[], Mapping[str, Any]] | None,
        metrics: Metrics,
        degraded: Callable[[], list[str]] = list,
    ) -> None:
        self._ready = ready
        self._degraded = degraded
        self._status = status
        self._jwks = jwks
        self._metrics = metrics
        self._server = _listen(address, self.answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="admin",
            daemon=True,
        )  # fmt: skip

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; returns at once, requests in flight end by themselves."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> Answer:
        """Return the answer to GET *path* (without its query)."""
        if path == "/livez":  # SECURITY.md 44: asks nobody
            return HTTPStatus.OK, JSON, _json({"alive": True})
        if path == "/readyz":
            missing = self._ready()
            status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
            said: dict[str, Any] = {"ready": not missing, "missing": missing}
            if degraded := self._degraded():
                said["degraded"] = degraded
            return status, JSON, _json(said)
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._metrics.expose()
        if path == "/status":
            return HTTPStatus.OK, JSON, _json(self._status())
        if path == KEYS_PATH and self._jwks is not None:
            return HTTPStatus.OK, JSON, _json(self._jwks())
        return _problem(HTTPStatus.NOT_FOUND, f"nothing is here; {_PATHS}")


_PATHS = f"there are /livez, /readyz, /metrics, /status and {KEYS_PATH}"


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False).encode() + b"\n"


def _problem(status: HTTPStatus, sentence: str) -> Answer:
    return status, JSON, _json({"error": sentence})


def _listen(address: Address, answer: Callable[[str], Answer]) -> _Server:
    if not address.loopback:  # SECURITY.md 24
        raise AdminUnavailable(
            f"agent.admin: {address} can be reached from outside the pod; use 127.0.0.1"
        )
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )[0]
        return _Server(family, (str(sockaddr[0]), address.port), answer)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AdminUnavailable(
                f"agent.admin: {address} is taken by another process; stop it, or give agent.admin "
                "another port"
            ) from error
        raise AdminUnavailable(
            f"agent.admin: cannot listen on {address} ({error.strerror}); give agent.admin another "
            "address"
        ) from error


class _Server(BoundedServer):
    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        answer: Callable[[str], Answer],
    ) -> None:
        self.answer = answer
        super().__init__(family, address, _Handler, MAX_REQUESTS)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # each connection is closed after one answer all the same
    server_version = "attache"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        deadline = time.monotonic() + DEADLINE
        self.rfile = io.BufferedReader(Incoming(self.connection, deadline, MAX_BYTES), 1024)

    def parse_request(self) -> bool:
        # One answer for all methods that change something, the known and the unknown.
        parsed = super().parse_request()
        if parsed and self.command not in ("GET", "HEAD"):
            self._send(*_problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered"))
            return False
        return parsed

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        # A web page that rebinds its name to 127.0.0.1 sends its own name as Host. Envoy passes
        # the outside's name on for the keys, which are public.
        if path != KEYS_PATH and not _ours(self.headers.get_all("Host", [])):
            self._send(*_problem(HTTPStatus.FORBIDDEN, "Host must name this machine's loopback"))
            return
        try:
            answer = self.server.answer(path)
        except Exception:
            log.exception("admin %s failed; this is a fault of the agent", path)
            answer = _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "see the agent's log")
        self._send(*answer)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.connection.settimeout(DEADLINE)
        keys = status == HTTPStatus.OK and self.path.partition("?")[0] == KEYS_PATH
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", f"max-age={KEYS_MAX_AGE}" if keys else "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses itself: JSON as all else, and nothing of the request in it."""
        self.command = getattr(self, "command", None) or "GET"
        self.path = getattr(self, "path", "")
        self._send(*_problem(HTTPStatus(code), HTTPStatus(code).phrase.lower()))

    def version_string(self) -> str:
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        log.debug("admin: " + format, *args)


def _ours(hosts: list[str]) -> bool:
    """Whether the one Host, if there is any, is a loopback name or address."""
    if not hosts:
        return True
    if len(hosts) > 1:
        return False
    try:
        return Address.parse(hosts[0].lower(), default_port=80).loopback
    except ValueError:
        return False
