"""A stored token at a certified provider that revokes a grant whose token is used twice."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import requests

from agent.credentials.stored.record import fingerprint
from demo.waiting import NotInTime, until
from tests.e2e.contract_outbound_tools import Server
from tests.e2e.peers.oidc_provider import DEVICE, OidcProvider, client

RESOURCE = "https://api.example/opaque"
SCOPES = ["openid", "offline_access", "tasks.read"]
DESK = client(
    "desk",
    "client_secret_basic",
    "authorization_code",
    "refresh_token",
    DEVICE,
    application_type="native",
    redirect_uris=["http://127.0.0.1/callback"],
)


def provider(folder: Path) -> OidcProvider:
    """With the client of these tests, which may come back to any port of loopback (RFC 8252)."""
    return OidcProvider(folder, clients=[DESK])


def key_file(folder: Path) -> Path:
    file = folder / "key"
    if not file.exists():
        file.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    return file


def identity(peer: OidcProvider, **more: Any) -> dict[str, Any]:
    oauth = {
        "issuer": peer.issuer,
        "clientId": "desk",
        "secretFile": str(peer.secret_file),
        "caFile": str(peer.ca_file),
    }
    return {"name": "crm", "oauth": {k: v for k, v in (oauth | more).items() if v}}


def token(store: dict[str, Any], **more: Any) -> dict[str, Any]:
    wanted = {
        "scopes": SCOPES,
        "resource": RESOURCE,
        "login": {"parameters": {"prompt": "consent"}},
    }
    return {"name": "crm", "identity": "crm", "store": store, **wanted, **more}


def configuration(
    peer: OidcProvider, store: dict[str, Any], address: str, **more: Any
) -> dict[str, Any]:
    identity_changes = more.pop("oauth", {})
    return {
        "workload": {"name": "task-api", "namespace": "shop"},
        "routes": [{"path": "/**", "anonymous": True}],
        "identities": [identity(peer, **identity_changes)],
        "storedTokens": [token(store, **more)],
        "destinations": [
            {
                "name": "crm",
                "hosts": ["crm.shop"],
                "address": address,
                "credential": {"refreshToken": {"token": "crm"}},
            }
        ],
    }


class Login:
    """`attache login`, as a person would use it."""

    def __init__(self, config: Path, *options: str) -> None:
        command = [str(Path(sys.executable).with_name("attache")), "login", "crm"]
        command += ["--config", str(config), "--no-browser", *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.said = ""

    def told(self, pattern: str) -> str:
        """What it has printed that fits *pattern*."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(self.said)

    def end(self) -> int:
        assert self.process.stdout is not None
        self.said += self.process.stdout.read()
        return self.process.wait(60)


def browse(peer: OidcProvider, url: str, who: str = "alice") -> requests.Response:
    """Follow the provider's pages as a browser would, through to our own listener."""
    with peer.session() as browser:
        got = browser.get(url, timeout=20)
        for _ in range(8):
            prompt = re.search(r'name="prompt" value="(\w+)"', got.text)
            if not prompt:
                return got
            form = {"prompt": prompt[1], "login": who, "password": "any"}
            got = browser.post(got.url, data=form, timeout=20)
    raise AssertionError("the sign-in does not come to an end")


def type_code(peer: OidcProvider, page: str, code: str, who: str = "alice") -> None:
    """Type a device's code in, sign in, and consent."""
    with peer.session() as browser:
        got = browser.get(page, timeout=20)
        for _ in range(12):
            hidden = dict(
                re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', got.text)
            )
            action = re.search(r'action="([^"]+)"', got.text)
            if not action:
                return
            target = requests.compat.urljoin(got.url, action[1])
            form = {**hidden, "user_code": code, "login": who, "password": "any", "confirm": "yes"}
            got = browser.post(target, data=form, timeout=20)
    raise AssertionError("the device's sign-in does not come to an end")


class Relay(Server):
    """Stands before the token endpoint, and does what a test says before and after an answer."""

    def __init__(self, peer: OidcProvider) -> None:
        self.peer = peer
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None
        self.sent: list[str] = []
        self.issued: list[str] = []  # fingerprints of what the provider gave
        self._used: set[str] = set()
        self._again = 0
        self._under_way = 0
        self._lock = threading.Lock()
        super().__init__(self._pass)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    def _pass(
        self, method: str, path: str, pairs: list[tuple[str, str]], body: bytes
    ) -> tuple[int, dict[str, str], Any]:
        tokens = parse_qs(body.decode()).get("refresh_token", [])
        with self._lock:
            self.sent += tokens
            self._under_way += 1
            self._again += len(self._used.intersection(tokens))
        try:
            return self._answer(pairs, body, tokens)
        finally:
            with self._lock:
                self._under_way -= 1

    def rest(self, awaited: str = "") -> None:
        """Wait until nothing is under way.

        *awaited* is the fingerprint of a token that may be in the kernel's hands still: what a
        process wrote before it died arrives.
        """
        with suppress(NotInTime):
            until(lambda: not awaited or awaited in map(fingerprint, self.sent), "it", 3.0)
        until(lambda: not self._under_way, "the relay comes to rest")

    def reused(self) -> int:
        """How many tokens came that had been used up, since the last time that this was asked."""
        with self._lock:
            found, self._again = self._again, 0
        return found

    def _answer(
        self, pairs: list[tuple[str, str]], body: bytes, tokens: list[str]
    ) -> tuple[int, dict[str, str], Any]:
        self.before()
        headers = {k: v for k, v in pairs if k in ("authorization", "content-type", "accept")}
        with self.peer.session() as session:
            got = session.post(self.peer.token_url, data=body, headers=headers, timeout=20)
        answer = got.json()
        if got.status_code == 200:
            with self._lock:
                self._used.update(tokens)
                self.issued.append(fingerprint(answer.get("refresh_token", "")))
        self.after()
        return got.status_code, {}, answer


def signed_in(peer: OidcProvider, config: Path) -> str:
    """Log in by the browser's way; what the command printed."""
    login = Login(config)
    url = login.told(r"^\s+(https://\S+)")
    assert browse(peer, url).text.find("Done") > 0
    assert login.end() == 0, login.said
    return login.said


def life(pod: Any) -> dict[str, Any]:
    """The row of /status."""
    row: dict[str, Any] = pod.admin_json("/status")["credentials"]["storedTokens"][0]
    return row


def write(folder: Path, config: dict[str, Any]) -> Path:
    """A file for commands that need no running agent."""
    file = folder / "offline.yaml"
    file.write_text(json.dumps(config | {"listeners": {"outbound": {"port": 15001}}, "routes": []}))
    return file
