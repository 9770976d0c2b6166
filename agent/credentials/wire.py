"""How do we speak to a token endpoint? https, no redirect, 1 MiB, in time (SECURITY.md 32)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
)

from agent.config.fields import is_loopback
from agent.credentials.answers import Answer

MAX_BODY = 1024 * 1024
_CHUNK = 16 * 1024
_CONNECT = 3.0  # seconds; a host that is there accepts sooner
_MAX_RETRY_AFTER = 3600
_DISCOVERY_LIFE = 24 * 3600.0  # seconds, as msal remembers it
_MAX_DOCUMENTS = 256


class NoAnswer(Exception):
    """The server gave nothing that msal may see; the call's `answer` holds what is known."""


@dataclass(frozen=True, slots=True)
class Response:
    """What msal sees of an answer."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    def raise_for_status(self) -> None:
        """Raise for an error status, as msal expects of an HTTP client."""
        if self.status_code >= 400:
            raise NoAnswer(f"status {self.status_code}")


@dataclass(slots=True)
class Call:
    """One use of the wire: when it must be over (monotonic seconds), and how it ended."""

    ends: float
    answer: Answer


class Wire:
    """An HTTP client for msal and for plain token endpoints, shared by threads.

    It ignores the environment's proxies and CA bundles (ENTRA.md §3), keeps no cookies, follows no
    redirect, and lets nothing but JSON objects through: msal would log another body as it stands.
    Discovery documents are remembered for a day, answers of token endpoints never.
    """

    def __init__(
        self, ca_file: Path | None = None, certificate: tuple[Path, Path] | None = None
    ) -> None:
        """*certificate* and its key prove us over TLS; each new connection reads them anew."""
        self._session = requests.Session()
        self._session.trust_env = False
        if certificate:
            self._session.cert = (str(certificate[0]), str(certificate[1]))
        self._session.verify = str(ca_file) if ca_file else True
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=8, pool_maxsize=64, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._calls = threading.local()
        self._documents: dict[str, tuple[float, Response]] = {}

    def close(self) -> None:
        """Close the connections that are kept open; the next request makes a new one."""
        self._session.close()

    @contextmanager
    def call(self, seconds: float) -> Iterator[Call]:
        """Everything sent by this thread inside the block is over in *seconds*."""
        call = self._calls.current = Call(
            time.monotonic() + seconds, Answer(0, failure="was not asked")
        )
        try:
            yield call
        finally:
            self._calls.current = None

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> Response:
        """GET for msal: discovery documents, remembered while they are fresh."""
        known = self._documents.get(url)
        if known and not params and time.monotonic() < known[0]:
            return known[1]
        response = self._send("GET", url, params=params, headers=headers)
        if response.status_code == 200 and not params:
            if len(self._documents) >= _MAX_DOCUMENTS:
                self._documents.clear()
            self._documents[url] = (time.monotonic() + _DISCOVERY_LIFE, response)
        return response

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any
    ) -> Response:
        """POST for msal and for us; the answer is never remembered."""
        return self._send("POST", url, params=params, data=data, headers=headers)

    def document(self, url: str) -> dict[str, Any] | None:
        """A discovery document, remembered while it is fresh; None where the server has none."""
        try:
            got = self.get(url)
        except NoAnswer:
            call: Call = self._calls.current
            if 400 <= call.answer.status < 500:
                return None
            raise
        found: dict[str, Any] = json.loads(got.text)
        return found if got.status_code == 200 else None

    def forget(self, url: str) -> None:
        """Drop a discovery document that proved wrong."""
        self._documents.pop(url, None)

    def post_once(self, url: str, data: Any, headers: Any) -> Response:
        """POST what must not be sent twice; `Answer.sent` says whether it certainly was not."""
        return self._send("POST", url, tries=1, data=data, headers=headers)

    def _send(self, method: str, url: str, tries: int = 2, **parts: Any) -> Response:
        call: Call | None = getattr(self._calls, "current", None)
        if call is None:
            raise RuntimeError("the wire was used outside of a call")
        parts["headers"] = {**(parts.get("headers") or {}), "Accept-Encoding": "identity"}
        if not _allowed(url):
            call.answer = Answer(0, failure="names an endpoint that is not https", sent=False)
            raise NoAnswer("not https")
        for attempt in range(1, tries + 1):
            call.answer = Answer(0, failure="was asked")
            try:
                return self._once(call, method, url, parts)
            except requests.exceptions.SSLError as error:
                told = "shows a certificate that we do not trust"
                call.answer = Answer(0, failure=told, sent=not _unsent(error))
                raise NoAnswer("TLS") from None
            except (requests.Timeout, ReadTimeoutError) as error:
                told = "does not answer in time"
                call.answer = Answer(0, failure=told, sent=not _unsent(error))
                raise NoAnswer("time-out") from None
            except (requests.RequestException, HTTPError, OSError) as error:
                told = "cannot be reached or broke the connection off"
                call.answer = Answer(0, failure=told, sent=not _unsent(error))
                # A kept connection that the server closed meanwhile: once more, on a new one.
                if attempt == tries or not _broken_off(error):
                    raise NoAnswer("connection") from None
        raise AssertionError("unreachable")

    def _once(self, call: Call, method: str, url: str, parts: dict[str, Any]) -> Response:
        left = _left(call)
        with self._session.request(
            method,
            url,
            allow_redirects=False,
            stream=True,
            timeout=(min(_CONNECT, left), left),
            **parts,
        ) as got:
            body = _read(got, call)
            call.answer = Answer(got.status_code, body, retry_after(got.headers.get("Retry-After")))
            if body is None or got.status_code >= 500 or 300 <= got.status_code < 400:
                raise NoAnswer(f"status {got.status_code}")
            return Response(got.status_code, json.dumps(body), {})


def _read(got: requests.Response, call: Call) -> dict[str, Any] | None:
    """The body if it is one JSON object of at most 1 MiB, read before the call must be over."""
    content = bytearray()
    while chunk := got.raw.read1(_CHUNK):
        content += chunk
        if len(content) > MAX_BODY:
            return None
        _left(call)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _left(call: Call) -> float:
    left = call.ends - time.monotonic()
    if left <= 0:
        raise requests.Timeout
    return left


def _unsent(error: BaseException) -> bool:
    """Whether no connection came about, so that not a byte of the request was sent.

    Whatever is not known to be so counts as sent: the server may have acted on it.
    """
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(error, requests.exceptions.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" in repr(reason) or "doesn't match" in repr(reason)
    return isinstance(error, requests.ConnectTimeout) or isinstance(
        reason, (NewConnectionError, ConnectTimeoutError)
    )


def _broken_off(error: BaseException) -> bool:
    """Whether an established connection ended, other than one that was never there."""
    text = repr(error)
    return "RemoteDisconnected" in text or "ConnectionResetError" in text or "BrokenPipe" in text


def _allowed(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def retry_after(value: str | None, now: float | None = None) -> int | None:
    """Seconds of a Retry-After header (RFC 9110 §10.2.3), at most an hour.

    >>> retry_after("7"), retry_after("Thu, 01 Jan 1970 00:00:09 GMT", 0.0), retry_after("soon")
    (7, 9, None)
    """
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), _MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, min(int(at - (time.time() if now is None else now)), _MAX_RETRY_AFTER))
