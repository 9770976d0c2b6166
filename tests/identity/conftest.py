"""Real keys, real tokens, real servers, and the agent's trust over documents that a test holds."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.config.attache import Attache
from agent.errors import Denial
from agent.identity.principal import RawToken, Verified
from agent.identity.trust import Trust
from agent.identity.unusable import Unusable
from vectors.ring import Ring

NOW = 1_800_000_000.0


@pytest.fixture(scope="session")
def ring() -> Ring:
    """rsa, rsa-b, rsa-small (1024 bits), ec256, ec256-b, ec384, ec521, ed."""
    return Ring.new()


@dataclass
class Clock:
    """UTC seconds that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Web:
    """The documents of the world by URL; a URL that is not there fails. Counts what is fetched."""

    documents: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    held: dict[str, threading.Event] = field(default_factory=dict)

    def __call__(self, location: str | Path, ca_file: Path | None) -> bytes | Unusable:
        url = str(location)
        self.fetched.append(url)
        gate = self.held.get(url)
        if gate is not None:
            gate.wait()
        if isinstance(location, Path):
            return location.read_bytes()
        return self.documents.get(url, Unusable(f"{url} answered 404"))

    def publish(self, base: str, issuer: str, jwks: bytes, **members: Any) -> None:
        """Put a discovery document under *base* and the keys that it leads to."""
        said = {"issuer": issuer, "jwks_uri": f"{base}/keys"} | members
        self.documents[f"{base}/.well-known/openid-configuration"] = json.dumps(said).encode()
        self.documents[f"{base}/keys"] = jwks


@dataclass
class World:
    """An agent's trust over a `Web`, at a time that the test sets."""

    trust: Trust
    web: Web
    clock: Clock

    def verify(
        self, token: str, now: float | None = None, deadline: float = 30.0
    ) -> Verified | Denial:
        moment = Instant(self.clock.now if now is None else now, deadline)
        return self.trust.verify(RawToken(token), moment)


@dataclass(frozen=True)
class Instant:
    now: float
    deadline: float = 30.0


@pytest.fixture(scope="session")
def settled() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition that another thread brings about; a watchdog, not a measurement."""

    def wait(reached: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not reached():
            assert time.monotonic() < until, "it never came about"
            time.sleep(0.005)

    return wait


def configuration(*issuers: Mapping[str, Any], edge: bool = False, **agent: Any) -> Attache:
    return Attache.model_validate(
        {
            "workload": {"name": "task-api", "namespace": "shop"},
            "listeners": {"inbound": {"application": "127.0.0.1:8000", "edge": edge}},
            "issuers": list(issuers),
            "agent": agent,
        }
    )


@pytest.fixture
def configure() -> Callable[..., Attache]:
    return configuration


@pytest.fixture
def build() -> Iterator[Callable[..., World]]:
    """A factory of started worlds; waits for the keys unless `ready=False`."""
    made: list[Trust] = []

    def start(web: Web, *issuers: Mapping[str, Any], ready: bool = True, **options: Any) -> World:
        clock = Clock()
        trust = Trust.build(configuration(*issuers, **options), clock, web)
        made.append(trust)
        trust.start()
        if ready:
            assert trust.wait_ready(30), trust.missing()
        return World(trust, web, clock)

    yield start
    for trust in made:
        trust.stop()


@pytest.fixture
def web() -> Iterator[Web]:
    found = Web()
    yield found
    for gate in found.held.values():
        gate.set()


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """A real server on loopback: what it answers by path, and which paths were asked."""

    origin: str
    ca_file: Path
    answers: dict[str, Answer | bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


def _authority(folder: Path) -> tuple[Path, Path, Path]:
    """A CA and a certificate for localhost: (CA file, certificate, key)."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])

    def certificate(subject: x509.Name, public: Any, *extensions: Any) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256())

    usage = x509.KeyUsage(*[False] * 5, True, True, False, False)
    ca = certificate(
        ca_name,
        ca_key.public_key(),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage, True),
    )
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    leaf = certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
        key.public_key(),
        (x509.SubjectAlternativeName(names), False),
    )
    files = tuple(folder / name for name in ("ca.pem", "server.pem", "server.key"))
    files[0].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files  # type: ignore[return-value]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return _authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def site(authority: tuple[Path, Path, Path]) -> Iterator[Site]:
    """An https server with a certificate of our own CA."""
    ca_file, certificate, key = authority

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            served.bodies.append(self.rfile.read(length).decode())
            self.do_GET()

        def do_GET(self) -> None:
            served.asked.append(self.path)
            served.headers.append(dict(self.headers))
            answer = served.answers.get(self.path)
            if callable(answer):
                answer(self)
            elif answer is None:
                self.send_error(404)
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that hangs up is what half of these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served = Site(f"https://localhost:{server.server_port}", ca_file)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served
    served.released.set()
    server.shutdown()
    server.server_close()
    thread.join()
