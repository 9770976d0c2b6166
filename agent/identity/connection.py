"""How is one request sent so that no server can turn it against us (SECURITY.md 32)?"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from agent.identity.issuers.document import insecure
from agent.identity.unusable import Unusable

MAX_BODY = 1024 * 1024  # bytes
_CHUNK = 16 * 1024
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "attache"}
_LONGEST_WAIT = 3600.0  # seconds; what a server's Retry-After may ask for


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds and bytes; `total` cuts a body that drips."""

    connect: float = 3.0
    read: float = 5.0
    total: float = 10.0
    max_body: int = MAX_BODY


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered, whole. `retry_after` is in seconds, 0 where it asked for nothing."""

    status: int
    body: bytes = field(repr=False)
    retry_after: float = 0.0


class Connection:
    """Sends one request at a time, and keeps the connection for the next one.

    It follows no redirect, ignores the environment's proxies, .netrc and CA bundles, keeps no
    cookies of use, and is over within `limits.total` whatever the server does.
    """

    def __init__(self, ca_file: Path | None, limits: Limits) -> None:
        self._ca_file = ca_file
        self._limits = limits
        self._adapter = _Watched()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        self.is_cut = False

    def close(self) -> None:
        """Close what is open."""
        self._session.close()
        self._adapter.release()

    def send(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Unusable:
        """Return the answer; every failure is a value with a sentence without a secret."""
        if why_not := insecure(url):
            return Unusable(f"{url} is refused: {why_not}")
        if self._ca_file is not None and not self._ca_file.is_file():
            return Unusable(f"{url}: the CA file {self._ca_file} is not there")
        limits, adapter = self._limits, self._adapter
        watchdog = threading.Timer(limits.total, adapter.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            with self._session.request(
                method,
                url,
                data=form,
                headers={**_HEADERS, **(headers or {})},
                timeout=(limits.connect, limits.read),
                allow_redirects=False,
                stream=True,
                verify=str(self._ca_file) if self._ca_file else True,
            ) as response:
                answer = self._read(url, response)
        except (requests.RequestException, HTTPError, OSError, ValueError) as why:
            answer = Unusable(f"{url} cannot be fetched: {_reason(why)}")
        finally:
            watchdog.cancel()
        self._session.cookies.clear()
        if adapter.is_cut:
            self.is_cut = True
            return Unusable(f"{url} did not answer in full within {limits.total:g} s")
        return answer

    def _read(self, url: str, response: requests.Response) -> Reply | Unusable:
        if response.is_redirect or 300 <= response.status_code < 400:
            return Unusable(f"{url} redirects, which is refused: name the final address")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            return Unusable(f"{url} answered in an encoding that nobody asked for")
        body = bytearray()
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > self._limits.max_body:
                return Unusable(f"{url} is longer than {self._limits.max_body} bytes")
        return Reply(response.status_code, bytes(body), _wait(response.headers.get("Retry-After")))


def _wait(value: str | None) -> float:
    """Seconds of a Retry-After header (RFC 9110 §10.2.3), an hour at most.

    >>> _wait("7"), _wait("99999999"), _wait("Thu, 01 Jan 1970 00:00:09 GMT"), _wait("soon")
    (7.0, 3600.0, 0.0, 0.0)
    """
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_WAIT) if len(value) < 9 else 0.0
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, min(at - time.time(), _LONGEST_WAIT))


class _Watched(HTTPAdapter):
    """Keeps a second hold of the socket it opens, so that a watchdog can shut it down.

    A time-out of requests starts again with every byte that arrives; a peer that drips one byte
    a second would hold the thread for ever.
    """

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.is_cut = False

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if getattr(pool.ConnectionCls, "held", False):
            return pool
        hold = self._hold

        class Held(pool.ConnectionCls):  # type: ignore[misc]
            held = True

            def _new_conn(self) -> socket.socket:
                return hold(super()._new_conn())

        pool.ConnectionCls = Held
        return pool

    def _hold(self, opened: socket.socket) -> socket.socket:
        self.release()  # one request at a time: the one before is closed
        with self._lock:
            self._socket = opened.dup()  # TLS takes the first one over and closes it
            cut = self.is_cut
        if cut:
            self.cut()
        return opened

    def cut(self) -> None:
        """End the connection, now and from now on."""
        with self._lock:
            self.is_cut = True
            if self._socket is None:
                return
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the peer was faster

    def release(self) -> None:
        """Let go of the socket."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = None


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
