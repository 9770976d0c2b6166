"""Callers, clocks, and a small token endpoint over real TLS whose every answer a test chooses."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agent.context.caller import Caller
from agent.credentials.bulkhead import Bulkhead
from agent.credentials.cache import TokenCache
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified
from demo.idp import certificates

NOW = 1_800_000_000.0
TENANT = "11111111-1111-4111-8111-111111111111"
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
CLIENT = "aaaaaaaa-0000-4000-8000-000000000001"


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeExecutor(ThreadPoolExecutor):
    """Runs what is submitted when the test says so, on the test's own thread."""

    def __init__(self) -> None:
        super().__init__(1)
        self.waiting: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def run(self) -> int:
        """Run all that waits; return how many there were."""
        due, self.waiting = self.waiting, []
        for each in due:
            each()
        return len(due)


def principal(**changes: Any) -> Principal:
    """A user of Entra, unless *changes* say otherwise."""
    values: dict[str, Any] = {
        "kind": Kind.USER,
        "subject": "user-1",
        "tenant": TENANT,
        "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "issuer_name": "entra",
        "issuer_kind": IssuerKind.ENTRA,
        "client": "sign-in",
        "scopes": frozenset({"access_as_user"}),
        "roles": frozenset(),
        "expires_at": NOW + 3600,
        "claims": {"oid": "user-1", "aud": CLIENT, "name": "Alice"},
    }
    return Principal(**(values | changes))


def caller(token: str = "header.claims.signature", txn: str = "txn-1", **changes: Any) -> Caller:
    """One allowed inbound request that brought *token*."""
    verified = Verified(
        RawToken(token), hashlib.sha256(token.encode()).digest(), principal(**changes), "kid", 0.0
    )
    return Caller(verified, "handle", txn, "request", "0" * 32, verified.principal.expires_at)


def anonymous(txn: str = "txn-0") -> Caller:
    """A request on an anonymous route."""
    return Caller(None, "handle", txn, "request", "0" * 32, NOW + 300)


def app(**changes: Any) -> Caller:
    """A request that an application made for itself."""
    return caller(**({"kind": Kind.APP, "subject": "app-1", "claims": {"aud": CLIENT}} | changes))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


@pytest.fixture
def cache(clock: FakeClock, executor: ThreadPoolExecutor) -> TokenCache:
    return TokenCache(
        clock=clock, random=lambda: 0.5, executor=executor, bulkhead=Bulkhead(clock, limit=8)
    )


# --- a token endpoint of which a test says every byte ---------------------------------------------

Script = Callable[[dict[str, str]], "Scripted"]


class Scripted:
    """One answer: status, body, headers; or something that is no answer at all."""

    def __init__(
        self,
        status: int = 200,
        body: str | dict[str, Any] = "",
        reset: bool = False,
        **headers: str,
    ) -> None:
        self.status = status
        self.body = body if isinstance(body, str) else json.dumps(body)
        self.reset = reset
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def granted(token: str, **more: Any) -> Scripted:
    """A token as an OAuth server gives it."""
    body = {"access_token": token, "token_type": "Bearer", "expires_in": 3600} | more
    return Scripted(200, body)


def refused(
    code: int = 0, error: str = "invalid_grant", status: int = 400, **more: Any
) -> Scripted:
    """An error as Entra writes it."""
    codes = {"error_codes": [code]} if code else {}
    described = {"error": error, "error_description": f"AADSTS{code}: no.", "trace_id": "trace-7"}
    return Scripted(status, described | codes | more)


class FakeSts:
    """An https server that answers discovery, and the token endpoint as `script` says."""

    def __init__(self, folder: Path) -> None:
        self.ca_file, chain = folder / "ca.pem", folder / "tls.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.connections = 0
        self.script: Script = lambda form: granted("token")
        self.discovery: Callable[[str], Scripted | None] = lambda path: None
        self.released = threading.Event()
        self.shown: list[str] = []  # whose certificate each request came with
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.tls = context
        self.url = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def ask_for_certificates(self, *trusted: bytes) -> None:
        """From now on clients may show one of these certificates."""
        self._server.tls.verify_mode = ssl.CERT_OPTIONAL
        self._server.tls.load_verify_locations(cadata=b"".join(trusted).decode())

    def hang(self, form: dict[str, str]) -> Scripted:
        """A script that answers only when the test is over."""
        self.released.wait(30)
        return Scripted(503, "late")

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            wrapped = self.tls.wrap_socket(request, server_side=True)
        except (OSError, ssl.SSLError):
            return
        super().finish_request(wrapped, client_address)  # type: ignore[arg-type]

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


def _handler(sts: FakeSts) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            sts.connections += 1

        def log_message(self, *_: Any) -> None:
            return

        def do_GET(self) -> None:
            sts.paths.append(self.path)
            tenant = self.path.split("/")[1]
            document = {
                "issuer": f"{sts.url}/{tenant}/v2.0",
                "authorization_endpoint": f"{sts.url}/{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{sts.url}/{tenant}/oauth2/v2.0/token",
            }
            self._send(sts.discovery(self.path) or Scripted(200, document))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            sts.paths.append(self.path)
            sts.forms.append(form)
            sts.headers.append(dict(self.headers.items()))
            certificate = self.connection.getpeercert() or {}  # type: ignore[attr-defined]
            names = [value for ((_, value),) in certificate.get("subject", ())]
            sts.shown.extend(names or [""])
            self._send(sts.script(form))

        def _send(self, answer: Scripted) -> None:
            if answer.reset:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return
            body = answer.body.encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA and a server's certificate; making their keys takes long."""
    folder = tmp_path_factory.mktemp("sts")
    authority = certificates.authority(time.time())
    leaf = certificates.leaf(authority, certificates.LOOPBACK_NAMES, time.time())
    (folder / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    (folder / "tls.pem").write_bytes(leaf.pem())
    return folder


@pytest.fixture
def sts(certified: Path) -> Iterator[FakeSts]:
    server = FakeSts(certified)
    yield server
    server.stop()
