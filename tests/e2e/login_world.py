"""A gateway where people sign in, the provider at which they do, and a browser without a screen.

The provider is a small one of our own whose every answer a test may bend; what is certified is in
`peers`, and Entra's like in the demo.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import json
import secrets
import threading
import time
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.e2e.contract_inbound_tools import Answer, Key, Pod

CLIENT, SECRET, AUDIENCE = "gateway", "the client's secret", "api://gateway"
CALLBACK, LOGOUT = "/.attache/callback", "/.attache/logout"
SIGNED_OUT, LOGIN = "/.attache/backchannel-logout", "/.attache/login"
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FETCH = {"accept": "*/*", "sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"}
SESSION = "__Host-attache-gateway"


class Provider:
    """An OpenID Connect provider that signs *person* in without asking. Refresh tokens rotate."""

    def __init__(self) -> None:
        self.key, self.person, self.life = Key("k1"), "ann", 3600
        self.authorizations: list[dict[str, str]] = []
        self.grants: list[dict[str, str]] = []
        self.refusals: list[str] = []
        self.id_claims: dict[str, Any] = {}
        self.access_claims: dict[str, Any] = {}
        self.slow, self.rotates, self.down = 0.0, True, False
        self._codes: dict[str, dict[str, str]] = {}
        self._refresh: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self._answer(*world.page(parts.path, asked))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(*world.token(form, self.headers.get("authorization", "")))

            def _answer(self, status: int, said: Any, location: str = "") -> None:
                body = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                if location:
                    self.send_header("location", location)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def page(self, path: str, asked: dict[str, str]) -> tuple[int, Any, str]:
        if path == "/.well-known/openid-configuration":
            names = ("authorize", "token", "jwks", "end_session")
            ends = ("authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint")
            urls = {end: f"{self.url}/{name}" for name, end in zip(names, ends, strict=True)}
            return 200, {"issuer": self.url, **urls}, ""
        if path == "/jwks":
            return 200, {"keys": [self.key.jwk]}, ""
        if path == "/authorize":
            self.authorizations.append(asked)
            return 302, {}, self.answer_to(asked)
        if path == "/end_session":
            return 302, {}, asked["post_logout_redirect_uri"]
        return 404, {}, ""

    def answer_to(self, asked: dict[str, str], **different: str) -> str:
        """Where the browser goes with its new code."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        said = {"code": code, "state": asked["state"], "iss": self.url} | different
        return f"{asked['redirect_uri']}?{urlencode(said)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        with self._lock:
            self.grants.append(form)
        if self.down:
            return 503, b"<html>down</html>"
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        assert pair == f"{CLIENT}:{SECRET.replace(' ', '+').replace(chr(39), '%27')}"
        if form["grant_type"] == "authorization_code":
            asked = self._codes.pop(form["code"], None)
            verifier = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
            right = asked and asked["redirect_uri"] == form["redirect_uri"]
            if not right or asked is None or asked["code_challenge"] != challenge:
                return self._refuse("code")
            return 200, self._tokens(asked["nonce"], self.person, asked)
        time.sleep(self.slow)
        with self._lock:
            token = form["refresh_token"]
            known = self._refresh.pop(token, None) if self.rotates else self._refresh.get(token)
        if known is None:
            return self._refuse("refresh token")
        return 200, self._tokens("", known[0], {})

    def refreshes(self) -> int:
        """How often a refresh token was presented."""
        return sum(form["grant_type"] == "refresh_token" for form in self.grants)

    def statement(self, **claims: Any) -> str:
        """A token that says *claims* about this client; None leaves a claim out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "sub": self.person, "sid": f"s-{self.person}"}
        whole = said | {"iat": now, "exp": now + 120} | claims
        header = whole.pop("header", {})
        return self.key.token({n: v for n, v in whole.items() if v is not None}, **header)

    def logout_token(self, **claims: Any) -> str:
        """A logout token as the specification has it, with whatever is to be different."""
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        right = {"jti": secrets.token_hex(8), "events": event, "header": {"typ": "logout+jwt"}}
        return self.statement(**right | claims)

    def _refuse(self, what: str) -> tuple[int, Any]:
        self.refusals.append(what)
        return 400, {"error": "invalid_grant"}

    def _tokens(self, nonce: str, person: str, asked: dict[str, str]) -> dict[str, Any]:
        now = int(time.time())
        refresh = secrets.token_urlsafe(24)
        with self._lock:
            self._refresh[refresh] = (person, "")
        said = {"iss": self.url, "aud": AUDIENCE, "sub": person, "client_id": CLIENT}
        said |= {"iat": now, "exp": now + self.life, "scope": "access", "jti": secrets.token_hex(8)}
        said |= {"auth_time": now, "acr": asked.get("acr_values", "plain")} | self.access_claims
        answer = {
            "access_token": self.key.token(said),
            "token_type": "Bearer",
            "expires_in": self.life,
            "refresh_token": refresh,
        }
        if nonce:
            answer["id_token"] = self.statement(nonce=nonce, sub=person, **self.id_claims)
        return answer


class Browser:
    """Keeps cookies as a browser does, follows what it is told to, and nothing else."""

    def __init__(self, port: int, host: str = "") -> None:
        self.port, self.host = port, host or f"127.0.0.1:{port}"
        self.cookies: dict[str, str] = {}
        self.seen: list[str] = []

    def ask(
        self, path: str, method: str = "GET", body: str = "", keep: bool = True, **headers: str
    ) -> Answer:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"host": self.host} | {n.replace("_", "-"): v for n, v in headers.items()}
        if self.cookies and "cookie" not in sent:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with closing(client):
            client.request(method, path, body=body or None, headers=sent)
            answer = Answer(client.getresponse())
        if keep:
            self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Do to the jar what the answer says."""
        for name, value in answer.pairs:
            if name != "set-cookie":
                continue
            self.seen.append(value)
            ((key, morsel),) = SimpleCookie(value).items()
            if morsel["max-age"] == "0":
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = morsel.value

    def page(self, path: str, **headers: str) -> Answer:
        """Navigate, without following anything."""
        return self.ask(path, **PAGE | headers)

    def begin(self, path: str) -> dict[str, str]:
        """Ask for a page, be sent to sign in, and return what the provider is asked."""
        answer = self.page(path)
        assert answer.status == 302, (answer.status, answer.body)
        asked = parse_qs(urlsplit(answer.headers["location"]).query)
        return {name: values[0] for name, values in asked.items()}

    def finish(self, location: str) -> Answer:
        """Come back from the provider."""
        parts = urlsplit(location)
        return self.page(f"{parts.path}?{parts.query}")

    def sign_in(self, provider: Provider, path: str = "/app/") -> Answer:
        """All of it, up to the page that was asked for."""
        back = self.finish(provider.answer_to(self.begin(path)))
        assert back.status == 302, (back.status, back.body)
        assert back.headers["location"] == path
        return self.page(path)


ROUTES: list[dict[str, Any]] = [
    {"path": "/open", "anonymous": True},
    {"path": "/app/strong", "login": {}, "require": {"acr": ["gold"]}},
    {"path": "/app/recent", "login": {}, "require": {"maxAge": "5m"}},
    {"path": "/app/roles", "login": {}, "require": {"anyRole": ["Admin"]}},
    {"path": "/app/**", "login": {}, "require": {"scopes": ["access"]}},
    {"path": "/api/**", "require": {"scopes": ["access"]}},
]


def configuration(provider: Provider, folder: Path, **different: Any) -> dict[str, Any]:
    """The gateway's; a route's empty `login` becomes the one there is."""
    folder.mkdir(exist_ok=True)
    (folder / "secret").write_text(SECRET)
    (folder / "session-keys").write_text("0123456789abcdef0123456789abcdef\n")
    oauth = {"issuer": provider.url, "clientId": CLIENT, "secretFile": str(folder / "secret")}
    login = {"identity": "gateway", "scopes": ["access"]}
    whole = {
        "listeners": {"edge": True},
        "issuers": [{"name": "people", "oidc": {"issuer": provider.url, "audiences": [AUDIENCE]}}],
        "identities": [{"name": "gateway", "oauth": oauth}],
        "routes": [
            route | ({"login": login | route["login"]} if "login" in route else {})
            for route in ROUTES
        ],
        "sessions": {"keyFile": str(folder / "session-keys")},
    }
    return whole | different


class Gateway(Pod):
    """The pod with a browser's view of it."""

    def browser(self) -> Browser:
        return Browser(self.port)
