"""How is Azure's platform asked for a managed identity's token? The rim around azure-identity.

azure-identity knows the platforms (IMDS, App Service, Arc, …). Its cache, its retries and its log
are switched off: ours stand in front, and a Check has a deadline (ENTRA.md §3).
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from agent.config.fields import is_loopback
from agent.credentials.answers import Answer
from agent.credentials.wire import MAX_BODY, retry_after

SERVER = "Azure's managed identity endpoint"
# IMDS asks to try again on 404, 410 and 5xx. A cold Check waits for a short hiccup; what lasts
# longer is a denial, and the next Check or the next look asks anew.
PAUSES = (0.2, 0.4, 0.8)
_CONNECT = 1.5  # seconds; the endpoint is on this machine or its host
_CHUNK = 16 * 1024
_CODE = re.compile(r"AADSTS(\d{4,8})", re.ASCII)
_SAFE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Platform:
    """One managed identity of this machine or pod; *client_id* is empty for the system's own."""

    client_id: str = ""

    def token(self, resource: str, seconds: float) -> Answer:
        """Ask for a token to *resource*, for at most *seconds*; a hiccup is tried again."""
        ends = time.monotonic() + seconds
        for pause in PAUSES:
            answer, passing = self._once(resource, ends)
            if not passing or time.monotonic() + 2 * pause >= ends:
                return answer
            time.sleep(pause)
        return self._once(resource, ends)[0]

    def _once(self, resource: str, ends: float) -> tuple[Answer, bool]:
        # Imported by whoever needs it: it takes longer than all else together.
        from azure.core.exceptions import AzureError
        from azure.core.pipeline.transport import RequestsTransport
        from azure.identity import ManagedIdentityCredential

        _hush()
        line = _Line(ends)
        with requests.Session() as session:
            session.trust_env = False  # a proxy would be given the token (SECURITY.md 32)
            session.mount("https://", line)
            session.mount("http://", line)
            transport = RequestsTransport(
                session=session, session_owner=False, use_env_settings=False
            )
            try:
                # A new one each time, for it would answer from its own cache.
                credential = ManagedIdentityCredential(
                    client_id=self.client_id or None,
                    transport=transport,
                    retry_total=0,
                    # else it silently becomes workload identity (ENTRA.md §3)
                    _exclude_workload_identity_credential=True,
                )
                got = credential.get_token_info(f"{resource}/.default")
            except (AzureError, ValueError, LookupError, TypeError, AttributeError, OSError):
                return meaning(line.last, self.client_id, resource), line.last.passing
        body: dict[str, Any] = {
            "access_token": got.token,
            "token_type": got.token_type,
            "expires_in": got.expires_on - time.time(),
        }
        if got.refresh_on:
            body["refresh_in"] = got.refresh_on - time.time()
        return Answer(200, body), False


@dataclass(frozen=True, slots=True)
class Last:
    """What the endpoint said last. `status` is 0 where it said nothing; `why` says the rest."""

    status: int = 0
    body: Mapping[str, Any] | None = None
    retry_after: int | None = None
    why: str = "cannot be reached"

    @property
    def passing(self) -> bool:
        """Whether the endpoint itself asks to try again."""
        return self.status in (404, 410) or self.status >= 500


def meaning(last: Last, client_id: str, resource: str) -> Answer:
    """What an answer without a token means. Pure; every case is a 503 for the caller."""
    who = f"managed identity '{client_id}'" if client_id else "a system-assigned managed identity"
    if last.status == 429:
        return Answer(429, last.body or {}, last.retry_after)
    if last.passing or last.status == 0 or last.body is None:
        told = last.why if not last.status else f"answers with status {last.status}"
        hint = "" if last.status else "; is there one, and may this pod reach it?"
        return Answer(0, failure=told + hint, retry_after=last.retry_after)
    said = _said(last.body)
    if last.status == 400 and said.startswith("invalid_resource"):
        return Answer(
            0,
            failure=f"Azure does not know the resource '{resource}' ({said}). Correct it, or have "
            "the tenant's administrator consent to that application.",
            ours=True,
        )
    if last.status == 400:
        return Answer(
            0,
            failure=f"this machine or pod has no {who.removeprefix('a ')} ({said}). Assign it, or "
            "correct clientId.",
            ours=True,
        )
    return Answer(
        0,
        failure=f"{SERVER} refuses us (status {last.status}, {said}). Let this pod reach it with "
        f"{who}.",
        ours=True,
    )


def _said(body: Mapping[str, Any]) -> str:
    """The codes in an error, without its text."""
    error = body.get("error")
    if isinstance(error, Mapping):  # App Service nests it
        error = error.get("code")
    word = error if isinstance(error, str) and _SAFE.fullmatch(error) else "no error code"
    found = _CODE.search(str(body.get("error_description", "")))
    return f"{word}, {found[1]}" if found else word


class _Line(HTTPAdapter):
    """One fetch's way to the endpoint: so long, so many bytes, to nobody beyond this machine."""

    def __init__(self, ends: float) -> None:
        super().__init__(max_retries=0)
        self._ends = ends
        self.last = Last()

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **how: Any
    ) -> requests.Response:
        """Send, and read the whole answer while there is time; *how* keeps `verify` and `cert`."""
        if not _local(str(request.url)):
            self.last = Last(why="is not on this machine, and not https")
            raise requests.exceptions.InvalidURL
        self.last = Last()
        left = self._left()
        how |= {"stream": True, "timeout": (min(_CONNECT, left), left), "proxies": {}}
        try:
            response = super().send(request, **how)
            content = bytearray()
            while chunk := response.raw.read1(_CHUNK):
                content += chunk
                self._left()
                if len(content) > MAX_BODY:
                    self.last = Last(why="sends too much")
                    raise requests.exceptions.ContentDecodingError
        except requests.Timeout:
            self.last = Last(why="does not answer in time")
            raise
        except HTTPError as error:
            raise requests.exceptions.ConnectionError from error
        response._content = bytes(content)
        response._content_consumed = True  # type: ignore[attr-defined]
        wait = retry_after(response.headers.get("Retry-After"))
        self.last = Last(response.status_code, _object(content), wait)
        return response

    def _left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise requests.Timeout
        return left


def _object(content: bytes | bytearray) -> Mapping[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _local(url: str) -> bool:
    """Whether *url* is https, or stays with this machine and its host (169.254.169.254)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or is_loopback(host):
        return True
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def _hush() -> None:
    """Keep azure's and msal's own words about requests and answers out of the log."""
    for name in ("azure", "msal.managed_identity"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
