"""What an outsider brings along: keys and tokens, a provider, an application, a pod and a client.

Nothing here imports the agent or the demo: only the documented contract is used.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.client
import http.server
import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from demo.ports import Ports

PATIENCE = 30.0  # seconds; an upper bound for what normally takes a fraction of one


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nobody listens."""
    return [Ports().take() for _ in range(count)]


def until(ask: Callable[[], Any], why: str) -> Any:
    """Ask again until the answer is true; fail, saying *why*, when patience is at its end."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {why}")


class Key:
    """One signing key with its public JWK; what the JWK says beside the numbers is *members*."""

    def __init__(self, kid: str | None, kind: str = "RSA", **members: Any) -> None:
        self.kid, self.algorithm = kid, "RS256" if kind == "RSA" else "ES256"
        self.private: Any
        if kind == "RSA":
            self.private = rsa.generate_private_key(65537, 2048)
            numbers = self.private.public_key().public_numbers()
            size = (numbers.n.bit_length() + 7) // 8
            shape = {"n": b64(numbers.n.to_bytes(size)), "e": b64(numbers.e.to_bytes(3))}
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())
            point = self.private.public_key().public_numbers()
            shape = {"crv": "P-256", "x": b64(point.x.to_bytes(32)), "y": b64(point.y.to_bytes(32))}
        self.jwk = {"kty": kind, **shape, **({"kid": kid} if kid is not None else {}), **members}

    def sign(self, message: bytes) -> bytes:
        if self.algorithm == "RS256":
            signed: bytes = self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
            return signed
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def token(self, claims: dict[str, Any] | bytes, **header: Any) -> str:
        """A signed token; a header member None is left out."""
        head = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid} | header
        head = {name: value for name, value in head.items() if value is not None}
        body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        text = f"{b64(json.dumps(head).encode())}.{b64(body)}"
        return f"{text}.{b64(self.sign(text.encode()))}"


def life(seconds: float = 600) -> dict[str, int]:
    now = int(time.time())
    return {"iat": now - 5, "nbf": now - 5, "exp": now + int(seconds)}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Site:
    """An HTTP(S) server on loopback whose pages can change, and which can go down and return."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int | None = None) -> None:
        self.port = port or free_ports(1)[0]
        self.tls, self.pages, self.hits = tls, dict[str, Any](), list[str]()
        self.extra: list[tuple[str, str]] = []  # headers of every answer
        self._server: _Server | None = None
        self.up()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def up(self) -> None:
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                self.rfile.read(length)
                site.hits.append(self.path)
                status, body = site.answer(self)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                for name, value in site.extra:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = _Server(("127.0.0.1", self.port), Handler)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, bytes]:
        page = self.pages.get(request.path)
        if page is None:
            return 404, b'{"error":"not found"}'
        return 200, page if isinstance(page, bytes) else json.dumps(page).encode()

    def down(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Echo(Site):
    """The application: answers with what it saw."""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, bytes]:
        seen = {
            "method": request.command,
            "path": request.path,
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
        }
        return 200, json.dumps(seen).encode()


def authority(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "outsider")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(pem)
    both = folder / "server.pem"
    both.write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, folder / "ca.pem"


def program(name: str) -> str:
    """The installed command, from the same environment as this Python."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed"
    return found


def attache(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("attache"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Answer:
    """One answer: status, headers (lower case), body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.pairs = [(name.lower(), value) for name, value in response.getheaders()]
        self.headers = dict(self.pairs)
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json["type"]).removeprefix("urn:attache:") if self.status >= 400 else ""

    def seen(self, name: str) -> list[str]:
        """The values of one header as the application saw it."""
        return [value for key, value in self.json["headers"] if key == name]


class Application(Protocol):
    """What stands behind Envoy."""

    port: int

    def down(self) -> None:
        """Stop listening."""


class Pod:
    """An agent, its Envoy and an application, started the way the contract says."""

    def __init__(
        self,
        folder: Path,
        configuration: dict[str, Any],
        *,
        envoy: bool = True,
        app: Application | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.app = app or Echo()
        self.port, self.admin, self.envoy_admin = free_ports(3)
        self.config = folder / "a.yaml"
        self.socket = (
            Path(tempfile.gettempdir()) / f"oj-{os.getpid()}-{self.admin}.sock"
        )  # 107 bytes at most
        self.processes: list[subprocess.Popen[bytes]] = []
        self._envoy = envoy
        self.write(configuration)

    def write(self, configuration: dict[str, Any], port: int | None = None) -> None:
        """The configuration with the addresses filled in; JSON is YAML."""
        inbound = {
            "address": "127.0.0.1",
            "port": port or self.port,
            "application": f"127.0.0.1:{self.app.port}",
        }
        whole = {
            "workload": {"name": "judged", "namespace": "court"},
            "agent": {"socket": str(self.socket), "admin": f"127.0.0.1:{self.admin}"},
            "envoy": {"admin": f"127.0.0.1:{self.envoy_admin}"},
            **configuration,
        }
        whole["listeners"] = {"inbound": inbound | configuration.get("listeners", {})}
        fresh = self.folder / "new.yaml"
        fresh.write_text(json.dumps(whole, indent=1))
        fresh.replace(self.config)

    def __enter__(self) -> Self:
        try:
            return self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _start(self) -> Self:
        self._run("attache", "run", "--config", str(self.config), "--log-level", "debug")
        boot = attache("envoy", "bootstrap", "--config", self.config)
        assert boot.returncode == 0, boot.stderr
        (self.folder / "b.json").write_text(boot.stdout)
        if self._envoy:
            self._run("envoy", "-c", str(self.folder / "b.json"), "--disable-hot-restart")
            until(self.answers, f"a listener on {self.port}; see {self.folder}")
        until(lambda: self.page("/livez") is not None, "/livez")
        return self

    def _run(self, name: str, *arguments: str) -> None:
        with (
            (self.folder / f"{name}.out").open("wb") as out,
            (self.folder / f"{name}.err").open("wb") as err,
        ):
            command = [program(name), *arguments]
            self.processes.append(subprocess.Popen(command, stdout=out, stderr=err))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.socket.unlink(missing_ok=True)
        self.app.down()

    def answers(self, port: int | None = None) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("/%00", port=port).status != 503
        return False

    def ask(
        self,
        path: str = "/",
        token: str | None = None,
        method: str = "GET",
        headers: list[tuple[str, str]] | dict[str, str] | None = None,
        host: str = "judged.test",
        port: int | None = None,
    ) -> Answer:
        """One request on a connection of its own; headers may repeat."""
        client = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        with contextlib.closing(client):
            client.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            client.putheader("Host", host)
            if token is not None:
                client.putheader("Authorization", f"Bearer {token}")
            for name, value in headers.items() if isinstance(headers, dict) else headers or ():
                client.putheader(name, value.encode())
            client.endheaders()
            return Answer(client.getresponse())

    def page(self, path: str) -> tuple[int, str] | None:
        """A page of the agent's admin server, or None where nobody answers."""
        client = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=PATIENCE)
        with contextlib.closing(client), contextlib.suppress(OSError):
            client.request("GET", path)
            response = client.getresponse()
            return response.status, response.read().decode()
        return None

    def ready(self) -> bool:
        return (self.page("/readyz") or (0, ""))[0] == 200

    def records(self) -> list[dict[str, Any]]:
        """The audit records so far."""
        lines = (self.folder / "attache.out").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def record(self, **wanted: object) -> dict[str, Any]:
        def find() -> dict[str, Any] | None:
            found = (r for r in self.records() if wanted.items() <= r.items())
            return next(found, None)

        return until(find, f"an audit record with {wanted}")

    def output(self) -> str:
        """Everything that the agent and Envoy wrote."""
        names = ("attache.out", "attache.err", "envoy.out", "envoy.err", "b.json")
        files = [self.folder / name for name in names]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())


@contextlib.contextmanager
def load(ask: Callable[[], object]) -> Iterator[list[object]]:
    """Ask again and again meanwhile, in two threads; collects what each gave or raised."""
    stop, given = threading.Event(), list[object]()

    def work() -> None:
        while not stop.is_set():
            try:
                given.append(ask())
            except (OSError, http.client.HTTPException) as error:
                given.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield given
    finally:
        stop.set()
        for thread in threads:
            thread.join()
