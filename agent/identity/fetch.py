"""What stands at an issuer's URL, or in a mounted file, fetched so that it cannot hurt us?"""

from __future__ import annotations

import os
import socket
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from agent.identity.issuers.document import insecure
from agent.identity.unusable import Unusable

MAX_BODY = 1024 * 1024  # bytes; SECURITY.md 32
_CHUNK = 16 * 1024
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "attache"}


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches by SECURITY.md 32. Time-outs are in seconds; `total` cuts a body that drips."""

    connect: float = 3.0
    read: float = 5.0
    total: float = 10.0
    max_body: int = MAX_BODY

    def __call__(self, location: str | Path, ca_file: Path | None = None) -> bytes | Unusable:
        """Return the bytes at *location*; every failure is a value with a sentence."""
        if isinstance(location, Path):
            return self._read(location)
        if why_not := insecure(location):
            return Unusable(f"{location} is refused: {why_not}")
        if ca_file is not None and not ca_file.is_file():
            return Unusable(f"{location}: the CA file {ca_file} is not there")
        return self._get(location, ca_file)

    def _read(self, path: Path) -> bytes | Unusable:
        try:
            # Without O_NONBLOCK a FIFO in the file's place would hold us for ever.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return Unusable(f"{path} is not a file")
                body = file.read(self.max_body + 1)
        except OSError as why:
            return Unusable(f"{path} cannot be read: {why.strerror}")
        return body if len(body) <= self.max_body else self._too_long(path)

    def _get(self, url: str, ca_file: Path | None) -> bytes | Unusable:
        adapter = _Watched()
        watchdog = threading.Timer(self.total, adapter.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            with requests.Session() as session:
                session.trust_env = False  # neither proxies, nor .netrc, nor another CA bundle
                session.mount("https://", adapter)
                session.mount("http://", adapter)
                with session.get(
                    url,
                    headers=_HEADERS,
                    timeout=(self.connect, self.read),
                    allow_redirects=False,
                    stream=True,
                    verify=str(ca_file) if ca_file else True,
                ) as response:
                    answer = self._body(url, response)
        except (requests.RequestException, HTTPError, OSError, ValueError) as why:
            answer = Unusable(f"{url} cannot be fetched: {_reason(why)}")
        finally:
            watchdog.cancel()
            adapter.release()
        if adapter.is_cut:
            return Unusable(f"{url} did not answer in full within {self.total:g} s")
        return answer

    def _body(self, url: str, response: requests.Response) -> bytes | Unusable:
        if response.is_redirect or 300 <= response.status_code < 400:
            return Unusable(f"{url} redirects, which is refused: name the final address")
        if response.status_code != 200:
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 9 else 0.0
            return Unusable(f"{url} answered {response.status_code}", retry_after=seconds)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            return Unusable(f"{url} answered in an encoding that nobody asked for")
        body = bytearray()
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > self.max_body:
                return self._too_long(url)
        return bytes(body)

    def _too_long(self, location: object) -> Unusable:
        return Unusable(f"{location} is longer than {self.max_body} bytes")


class _Watched(HTTPAdapter):
    """Keeps a second hold of the sockets it opens, so that a watchdog can shut them down.

    A time-out of requests starts again with every byte that arrives; a peer that drips one byte
    a second would hold the thread for ever.
    """

    def __init__(self) -> None:
        super().__init__(max_retries=0)
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.is_cut = False

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        hold = self._hold

        class Held(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return hold(super()._new_conn())

        pool.ConnectionCls = Held
        return pool

    def _hold(self, opened: socket.socket) -> socket.socket:
        with self._lock:
            self._sockets.append(opened.dup())  # TLS takes the first one over and closes it
            cut = self.is_cut
        if cut:
            self.cut()
        return opened

    def cut(self) -> None:
        """End every connection, now and from now on."""
        with self._lock:
            self.is_cut = True
            for held in self._sockets:
                try:
                    held.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the peer was faster

    def release(self) -> None:
        """Let go of the sockets."""
        with self._lock:
            for held in self._sockets:
                held.close()
            self._sockets.clear()


def _reason(why: Exception) -> str:
    """The innermost cause in one line, without the object addresses of the outer ones."""
    cause: BaseException = why
    seen = 0
    while seen < 8:
        inner = getattr(cause, "reason", None) or (cause.args[-1] if cause.args else None)
        inner = inner if isinstance(inner, BaseException) else cause.__cause__
        if inner is None:
            break
        cause, seen = inner, seen + 1
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
