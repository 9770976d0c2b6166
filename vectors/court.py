"""What does a whole agent answer? Everything of it but Envoy: its own file, keys and pipelines."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from agent.app import App
from agent.config.loading import load
from agent.groundwork import Groundwork
from agent.identity.refresh import Source
from demo.ports import Ports
from vectors.ring import Ring

TENANT = "11111111-1111-4111-8111-111111111111"
API, AUDIENCE, SCOPE = "/api/tasks", "api://task-api", "tasks.write"
GATEWAY = "https://gateway.shop.internal"
OP_KEYS = ("rsa", "ec256", "ed")  # of the OpenID issuer; "rsa-b" is Entra's, "ec256-b" internal
SECONDS = 5.0  # Envoy's patience with one Check


@dataclass(frozen=True)
class Verdict:
    """What Envoy would do: let the request pass with these headers, or say why not."""

    allowed: bool
    reason: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class _Pages(ThreadingHTTPServer):
    """Documents on loopback, by path; counts what is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.held = threading.Event()  # where cleared, nobody is answered
        self.held.set()
        self.origin = f"http://127.0.0.1:{self.server_port}"

    def publish(self, issuer: str, base: str, jwks: bytes) -> None:
        """Discovery of *issuer* below the path *base*, and its keys."""
        said = {"issuer": issuer, "jwks_uri": f"{self.origin}{base}/keys"}
        self.pages[f"{base}/.well-known/openid-configuration"] = json.dumps(said).encode()
        self.pages[f"{base}/keys"] = jwks


class _Page(BaseHTTPRequestHandler):
    server: _Pages

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.held.wait(30)
        page = self.server.pages.get(self.path)
        self.send_response(404 if page is None else 200)
        self.send_header("content-length", str(len(page or b"")))
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Court:
    """One agent with an OpenID, an Entra and an internal issuer, asked directly.

    *agent*: members of the configuration's `agent`. Ends with the `with` block.
    """

    def __init__(self, ring: Ring | None = None, **agent: Any) -> None:
        self.ring = ring or Ring.new()
        self._agent = agent
        self._stack = ExitStack()

    def __enter__(self) -> Court:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="court-")))
            self.audit, self.socket = folder / "audit.log", folder / "agent.sock"
            self.pages = _Pages()
            stack.callback(self.pages.server_close)
            threading.Thread(target=self.pages.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(self.pages.shutdown)
            stack.callback(self.pages.held.set)
            self.file = folder / "attache.yaml"
            self.file.write_text(json.dumps(self._configuration(folder)), encoding="utf-8")
            self.app = App(self.file, Groundwork.of(load(self.file)))
            self.app.start()
            stack.callback(self.app.stop)
            self._stack = stack.pop_all()
        if missing := self.app.missing():
            self._stack.close()
            raise RuntimeError(f"the agent is not ready: {missing}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def op(self) -> str:
        """The OpenID issuer's name."""
        return f"{self.pages.origin}/op"

    @property
    def entra(self) -> str:
        """The Entra issuer's name."""
        return f"{self.pages.origin}/{TENANT}/v2.0"

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a good token of the OpenID issuer."""
        now = int(time.time())
        said = {"iss": self.op, "aud": AUDIENCE, "sub": "alice", "scope": SCOPE, "name": "Alice"}
        return said | {"iat": now - 10, "exp": now + 86_400} | changed

    def genuine(self) -> list[str]:
        """A good token of each issuer and algorithm."""
        now = int(time.time())
        entra = {"iss": self.entra, "tid": TENANT, "oid": "bob", "ver": "2.0", "scp": SCOPE}
        entra |= {"sub": "pairwise", "azp": "client", "name": "Bob"}
        internal = {"iss": GATEWAY, "aud": "task-api", "client_id": "shop/gateway", "hops": 1}
        internal |= {"txn": "txn-1", "act": {"sub": "shop/gateway"}, "jti": "j", "exp": now + 300}
        mint = self.ring.mint
        return [
            *(mint(name, self.claims()) for name in OP_KEYS),
            mint("rsa", self.claims(), alg="PS256"),
            mint("rsa-b", self.claims() | entra),
            mint("ec256-b", self.claims() | internal, typ="at+jwt"),
        ]

    def source(self, owner: str) -> Source:
        """The first document of the issuer of this name, and what the agent knows of it."""
        sources = self.app._trust._sources.values()
        return next(source for source in sources if source.owner == owner)

    def decide(self, message: bytes, seconds: float = SECONDS) -> Verdict:
        """The agent's answer to these bytes."""
        return verdict(self.app.decide(message, seconds))

    def ask(self, token: str, path: str = API, **headers: str) -> Verdict:
        """The answer to a GET with this bearer token."""
        return self.decide(question({"authorization": f"Bearer {token}"} | headers, path))

    def _configuration(self, folder: Path) -> dict[str, Any]:
        ports, op = Ports(), f"{self.pages.origin}/op"
        self.inbound, application = ports.take(), self.pages.origin.removeprefix("http://")
        self.pages.pages[API] = b"the application"
        ring = self.ring
        self.pages.publish(op, "/op", ring.jwks(*OP_KEYS))
        for version in ("", "/v2.0"):
            base = f"/{TENANT}{version}"
            self.pages.publish(f"{self.pages.origin}{base}", base, ring.jwks("rsa-b"))
        mesh = folder / "mesh.json"
        mesh.write_bytes(ring.jwks(ring.jwk("ec256-b", workload="shop/gateway")))
        entra = {"authority": self.pages.origin, "tenants": [TENANT], "audiences": [AUDIENCE]}
        trusted = {"issuer": op, "audiences": [AUDIENCE]}
        internal = {"trustDomain": "shop.internal", "issuers": [GATEWAY], "audience": "task-api"}
        return {
            "workload": {"name": "task-api", "namespace": "shop"},
            "listeners": {
                "inbound": {"port": self.inbound, "application": application},
                "outbound": {"port": ports.take()},
            },
            "issuers": [
                {
                    "name": "op",
                    "oidc": trusted | {"algorithms": ["RS256", "PS256", "ES256", "EdDSA"]},
                },
                {"name": "entra", "entra": entra},
                {"name": "mesh", "internal": internal | {"jwks": {"file": str(mesh)}}},
            ],
            "routes": [
                {"path": "/healthz", "methods": ["GET"], "anonymous": True},
                {"path": API, "require": {"scopes": [SCOPE]}},
                {"path": "/api/{id}/**", "require": {}},
            ],
            "inbound": {"headers": {"x-auth-nick": "nick"}},
            "destinations": [
                {
                    "name": "notes",
                    "hosts": ["notes.shop:8001"],
                    "address": "127.0.0.1:1",
                    "credential": {"forward": {}},
                },
                {"name": "open", "hosts": ["open.shop"], "credential": {"none": {}}},
            ],
            "agent": {
                "socket": str(self.socket),
                "admin": f"127.0.0.1:{ports.take()}",
                **self._agent,
            },
            "envoy": {"admin": f"127.0.0.1:{ports.take()}"},
            "audit": {"file": str(self.audit)},
        }


def question(
    headers: Mapping[str, str] | Iterable[tuple[str, bytes]] = (),
    path: str = API,
    method: str = "GET",
    host: str = "task-api.shop",
    **extensions: str,
) -> bytes:
    """A CheckRequest; headers as pairs of bytes go the way of `encode_raw_headers`."""
    message = CheckRequest()
    context = message.attributes.context_extensions
    for name, value in ({"direction": "inbound"} | extensions).items():
        context[name] = value
    http = message.attributes.request.http
    http.method, http.path, http.host = method, path, host
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            http.headers[name] = value
    else:
        raw = [HeaderValue(key=name, raw_value=value) for name, value in headers]
        http.header_map.CopyFrom(HeaderMap(headers=raw))
    encoded: bytes = message.SerializeToString()
    return encoded


def verdict(answer: bytes) -> Verdict:
    """What Envoy makes of a CheckResponse: only a status of 0 lets a request pass."""
    response = CheckResponse.FromString(answer)
    if response.status.code == 0:
        ok = response.ok_response
        written = {option.header.key: option.header.value for option in ok.headers}
        return Verdict(True, headers=written, removed=tuple(ok.headers_to_remove))
    denied = response.denied_response
    body = json.loads(denied.body) if denied.body.startswith("{") else {}
    said = {option.header.key: option.header.value for option in denied.headers}
    reason = str(body.get("type", "")).removeprefix("urn:attache:")
    return Verdict(False, reason, denied.status.code, said)
