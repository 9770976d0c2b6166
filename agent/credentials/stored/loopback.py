"""Where does the browser come back to? A listener on loopback for one redirect (RFC 8252 §7.3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from agent.credentials.stored.login import Mistake

Judge = Callable[[str], "str | Mistake | None"]
"""Gives the code in a query, or why there is none; None for what is not the answer."""

_DONE = b"<!doctype html><title>Attache</title><p>Done. You can close this window.\n"
_FAILED = b"<!doctype html><title>Attache</title><p>This did not work. See the terminal.\n"
_NOTHING = b"<!doctype html><title>Attache</title><p>Nothing is here.\n"
_SECONDS = 5.0  # that one request may take


class Loopback:
    """Listens on 127.0.0.1 until the answer has come."""

    def __init__(self, host: str, port: int, path: str) -> None:
        """*host* is the name in the redirect URI; *port* 0 takes a free one. `OSError`."""
        self._judge: Judge = lambda query: None
        self._path = path
        self._found: str | Mistake | None = None
        self._landed = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        self.redirect = f"http://{host}:{self._server.server_address[1]}{path}"
        self._hosts = {f"{name}:{self._server.server_address[1]}" for name in _NAMES}
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def wait(self, judge: Judge, seconds: float) -> str | Mistake:
        """The code, as soon as *judge* finds it in a request."""
        self._judge = judge
        self._landed.wait(seconds)
        return self._found or Mistake(
            f"nobody came back from the sign-in within {seconds:.0f} s; try again, or --device"
        )

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str, hosts: list[str]) -> tuple[int, bytes]:
        """What a browser is told that asks for *target*."""
        parts = urlsplit(target)
        # A page that rebinds its name to 127.0.0.1 sends its own name as Host.
        if parts.path != self._path or len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 404, _NOTHING
        if self._landed.is_set():
            return 404, _NOTHING
        found = self._judge(parts.query)
        if found is None:
            return 400, _FAILED
        self._found = found
        self._landed.set()
        return (400, _FAILED) if isinstance(found, Mistake) else (200, _DONE)


_NAMES = ("127.0.0.1", "localhost")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], loopback: Loopback) -> None:
        self.loopback = loopback
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SECONDS
    server_version, sys_version = "attache", ""

    def do_GET(self) -> None:
        status, body = self.server.loopback.answer(self.path, self.headers.get_all("Host", []))
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")  # the address holds the code
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """The request line holds the code: it goes nowhere."""
