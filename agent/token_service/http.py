"""How is the TokenService asked by HTTP? As the Microsoft Entra SDK sidecar is, on loopback."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from agent.config.fields import Address
from agent.errors import Denial
from agent.flow.headers import CORRELATION
from agent.flow.problem import answer
from agent.flow.tokens import Ask
from agent.http_server import BoundedServer, Incoming
from agent.judge import Judge
from agent.token_service.claims import plain
from agent.token_service.sidecar import Health, Offer, Refused, Validation, read

log = logging.getLogger("attache.tokens")

CONNECTIONS = 64  # at once; a further one is closed unanswered
IDLE = 60.0  # seconds that a client's connection may wait for its next request
LONGEST = 10.0  # seconds: as long as a token endpoint may take
_MOST_BYTES = 32 * 1024  # a token of 16 KiB, and what else the inbound request carried

Answer = tuple[int, tuple[tuple[str, str], ...], bytes]
"""Status, headers and body."""

Offers = Callable[[], Mapping[str, Offer]]
"""What the configuration in force says of each destination that is handed out."""

_ALWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_JSON = ("Content-Type", "application/json")
_PROBLEM = ("Content-Type", "application/problem+json")


class HttpServer:
    """Serves *address*; raises `OSError` where it cannot."""

    def __init__(self, address: Address, judge: Judge, offers: Offers) -> None:
        def decide(handler: _Handler) -> Answer:
            return respond(handler.command, handler.path, handler.headers, judge, offers())

        handler = type("Handler", (_Handler,), {"decide": decide})
        family, _, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )[0]
        self._server = BoundedServer(family, (str(place[0]), address.port), handler, CONNECTIONS)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="tokens-http",
            daemon=True,
        )  # fmt: skip
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._server.server_address[1])

    def stop(self, _grace: float) -> None:
        """Answer no more; requests in flight end by themselves."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def respond(
    method: str, target: str, headers: Any, judge: Judge, offers: Mapping[str, Offer]
) -> Answer:
    """The answer to one request; *headers* are http.server's message."""
    hosts = headers.get_all("Host", [])
    asked = read(method, target, _joined(headers), hosts, offers)
    if isinstance(asked, Health):
        return HTTPStatus.OK, (*_ALWAYS, ("Content-Type", "text/plain")), b"Healthy"
    if isinstance(asked, Refused):
        return _refused(asked)
    if isinstance(asked, Validation):
        return _validated(asked.ask, judge)
    injection, facts = judge.hand_out(asked, LONGEST)
    if isinstance(injection, Denial):
        return _denied(injection, facts.txn, judge)
    _, value = injection.headers[0]  # no other than authorization is asked for here
    return _well({"authorizationHeader": value}, facts.txn)


def _validated(ask: Ask, judge: Judge) -> Answer:
    shown = judge.validate(ask, LONGEST)
    if isinstance(shown.outcome, Denial):
        return _denied(shown.outcome, shown.facts.txn, judge)
    document = {"protocol": "Bearer", "token": shown.token, "claims": plain(shown.claims)}
    return _well(document, shown.facts.txn)


def _well(document: Mapping[str, Any], correlation_id: str) -> Answer:
    headers = (*_ALWAYS, _JSON, (CORRELATION, correlation_id))
    return HTTPStatus.OK, headers, json.dumps(document).encode()


def _denied(denial: Denial, correlation_id: str, judge: Judge) -> Answer:
    made = answer(denial, correlation_id, judge.pipelines.challenger)
    return made.status, (_ALWAYS[1], *made.headers), made.body.encode()


def _refused(refused: Refused) -> Answer:
    document = {"type": "about:blank", "title": refused.title, "status": refused.status}
    document["detail"] = refused.detail
    allow = (("Allow", refused.allow),) if refused.allow else ()
    return refused.status, (*_ALWAYS, _PROBLEM, *allow), json.dumps(document).encode()


def _joined(headers: Any) -> dict[str, str]:
    """Equal names are one list, as everywhere in HTTP (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        found[lower] = f"{found[lower]},{value}" if lower in found else value
    return found


class _Handler(BaseHTTPRequestHandler):
    """One connection, which serves one request after the other."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # HTTP/0.9 knows no status
    server_version = "attache"
    sys_version = ""
    wbufsize = 64 * 1024  # an answer leaves in one packet
    disable_nagle_algorithm = True

    decide: Callable[[], Answer]

    def setup(self) -> None:
        super().setup()
        self._incoming = Incoming(self.connection, 0.0, 0)
        self.rfile = io.BufferedReader(self._incoming, 1024)

    def handle_one_request(self) -> None:
        self._incoming.again(time.monotonic() + IDLE, _MOST_BYTES)
        super().handle_one_request()

    def parse_request(self) -> bool:
        # One way for every method: what each place answers is the pure part's matter.
        if super().parse_request():
            self._answer()
        return False

    def _answer(self) -> None:
        body = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        try:
            status, headers, content = self.decide()
        except Exception:
            log.exception("a request for a token failed. This is a bug: report it")
            fault = Refused(500, "Internal Server Error", "see the agent's log")
            status, headers, content = _refused(fault)
        if body or self.close_connection:
            # A body is read by nobody: what follows it must not be taken for a request.
            self.close_connection = True
            headers = (*headers, ("Connection", "close"))
        self._write(status, headers, content)

    def _write(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.connection.settimeout(LONGEST)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses itself: nothing of the request stands in the answer."""
        self.command = getattr(self, "command", None) or "GET"
        self.close_connection = True
        phrase = HTTPStatus(code).phrase
        status, headers, content = _refused(Refused(code, phrase, "the request cannot be read"))
        self._write(status, (*headers, ("Connection", "close")), content)

    def version_string(self) -> str:
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        log.debug("tokens: " + format, *args)
