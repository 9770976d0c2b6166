"""Destinations behind TLS, and their certificates: each is what it is told to be."""

from __future__ import annotations

import datetime
import json
import os
import ssl
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.server import ServerConnection, serve

PEM = serialization.Encoding.PEM


class Authority:
    """A certificate authority; `issue` gives (certificate, key) as PEM."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self._name, self._key, None).public_bytes(PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """A certificate for the host, or of the client, called *name*."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, x509.SubjectAlternativeName([x509.DNSName(name)]))
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        return certificate.public_bytes(PEM), key.private_bytes(PEM, form, plain)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            made = made.add_extension(names, critical=False)
        return made.sign(self._key, hashes.SHA256())


class Mounted:
    """A mounted Secret: its files are replaced at once, as Kubernetes moves a link."""

    def __init__(self, folder: Path, **files: bytes) -> None:
        folder.mkdir()
        self._folder, self._count = folder, 0
        self.move(**files)

    def path(self, name: str) -> str:
        return str(self._folder / f"{name}.pem")

    def move(self, **files: bytes) -> None:
        self._count += 1
        content = self._folder / f"..{self._count}"
        content.mkdir()
        for name, data in files.items():
            (content / f"{name}.pem").write_bytes(data)
            link = self._folder / f"{name}.pem"
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}.pem")
        fresh = self._folder / "..new"
        fresh.symlink_to(content.name)
        fresh.rename(self._folder / "..data")

    def write(self, **files: bytes) -> None:
        """Write over the files that are there, as a careless tool does."""
        for name, data in files.items():
            Path(os.path.realpath(self.path(name))).write_bytes(data)


class Site:
    """An https server: tells what it was sent, and by whose certificate. Counts requests."""

    def __init__(
        self, certificate: tuple[bytes, bytes], folder: Path, clients: bytes | None = None
    ) -> None:
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests += 1
                shown = self.connection.getpeercert() or {}  # type: ignore[attr-defined]
                names = [value for ((_, value),) in shown.get("subject", ())]
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.dumps({"name": "site", "client": names, "headers": headers}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Threads(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # clients that hang up

        self._http = Threads(("127.0.0.1", 0), Handler)
        self._http.socket = server_context(certificate, folder, clients).wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def server_context(
    certificate: tuple[bytes, bytes], folder: Path, clients: bytes | None = None
) -> ssl.SSLContext:
    """A server's TLS with this certificate, which asks for one by *clients* if given."""
    chain = folder / f"server-{os.urandom(4).hex()}.pem"
    chain.write_bytes(b"".join(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.decode())
    return context


class Greeter(grpc.GenericRpcHandler):
    """Answers with what it was sent; `seen` is the metadata of each call."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        self.seen.append({k: str(v) for k, v in handler_call_details.invocation_metadata})
        method = handler_call_details.method.rpartition("/")[2]
        if method == "Stream":
            return grpc.stream_stream_rpc_method_handler(self._stream)
        if method == "Fail":
            return grpc.unary_unary_rpc_method_handler(self._fail)
        return grpc.unary_unary_rpc_method_handler(lambda message, _: b"re:" + message)

    @staticmethod
    def _stream(messages: Any, context: grpc.ServicerContext) -> Any:
        count = 0
        for message in messages:
            count += 1
            yield b"re:" + message
        context.set_trailing_metadata((("x-count", str(count)),))

    @staticmethod
    def _fail(message: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-why", "sold out"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nothing is left")
        raise AssertionError("abort raises")


def grpc_server(handler: Greeter, certificate: tuple[bytes, bytes] | None) -> tuple[Any, int]:
    """A gRPC server, with TLS where there is a *certificate*."""
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[handler])
    if certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        chain, key = certificate
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
    server.start()
    return server, port


def talker(connection: ServerConnection) -> None:
    """A WebSocket server: says what the handshake carried, then everything twice."""
    assert connection.request is not None
    connection.send(json.dumps(dict(connection.request.headers.raw_items())))
    for message in connection:
        connection.send(message)
        connection.send(message)


def websocket_server(context: ssl.SSLContext | None) -> tuple[Any, int]:
    server = serve(talker, "127.0.0.1", 0, ssl=context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, server.socket.getsockname()[1]
