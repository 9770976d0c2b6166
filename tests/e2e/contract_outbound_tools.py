"""What does a judge from outside need? An authorization server, echoes and pods of their own.

Nothing here but the choice of ports is shared with demo/: the shapes differ on purpose.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from demo.ports import Ports

LIMIT = 30.0  # seconds that anything may take to come up

Answer = tuple[int, Mapping[str, str], Any]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def peek(token: str) -> dict[str, Any]:
    """The claims of a token, unverified."""
    part = token.removeprefix("Bearer ").split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def free_port() -> int:
    return Ports().take()


def until(what: Callable[[], Any], said: str) -> Any:
    """Poll for a condition that has no event; give up after LIMIT."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except (OSError, requests.RequestException, ValueError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"never: {said}")


class Server:
    """An HTTP server whose answer is a function of (method, path, headers, body)."""

    def __init__(
        self,
        answer: Callable[[str, str, list[tuple[str, str]], bytes], Answer],
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                pairs = [(k.lower(), v) for k, v in self.headers.items()]
                status, headers, content = answer(self.command, self.path, pairs, body)
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in ({"content-type": "application/json"} | dict(headers)).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_DELETE = do_PUT = _do  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Threads(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                pass  # clients that hang up

        self._http = Threads((address, 0), Handler)
        if tls:
            self._http.socket = tls.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class Echo(Server):
    """Tells who it is and what it got; the application and every destination is one."""

    def __init__(
        self, name: str, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
    ) -> None:
        self.name = name
        super().__init__(self._echo, tls, address)

    def _echo(self, method: str, path: str, pairs: list[tuple[str, str]], body: bytes) -> Answer:
        return 200, {}, {"name": self.name, "path": path, "headers": dict(pairs), "pairs": pairs}


class Pod:
    """One agent and its Envoy, started as the contract says; *config* lacks only what is ours."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        static: bool = False,
        edit: Callable[[dict[str, Any]], dict[str, Any]] = lambda printed: printed,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.application = Echo(f"application of {config['workload']['name']}")
        self.inbound, self.outbound, self.admin, self.envoy_admin = (free_port() for _ in range(4))
        given = dict(config)
        listeners = given.pop("listeners", {})
        inbound = {"address": "127.0.0.1", "port": self.inbound}
        inbound["application"] = f"127.0.0.1:{self.application.port}"
        # A Unix socket's path is short
        self._run = Path(tempfile.mkdtemp(prefix="j"))
        self.config = given | {
            "listeners": {
                "inbound": inbound | listeners.get("inbound", {}),
                "outbound": {"port": self.outbound} | listeners.get("outbound", {}),
            },
            "agent": {"socket": f"{self._run}/a.sock", "admin": f"127.0.0.1:{self.admin}"},
            "envoy": {"admin": f"127.0.0.1:{self.envoy_admin}"},
            "audit": {"file": f"{folder}/audit.jsonl"},
        }
        self.file = folder / "a.yaml"
        self.file.write_text(json.dumps(self.config))  # JSON is YAML
        self.log = (folder / "agent.log").open("ab")
        self._attache = [str(Path(sys.executable).with_name("attache"))]
        self.start_agent()
        kind = "static" if static else "bootstrap"
        boot = subprocess.run(
            [*self._attache, "envoy", kind, "--config", str(self.file)],
            check=True,
            capture_output=True,
            timeout=LIMIT,
        )
        (folder / "b.json").write_text(json.dumps(edit(json.loads(boot.stdout))))
        envoy = shutil.which("envoy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        arguments = [str(envoy), "-c", str(folder / "b.json"), "--disable-hot-restart"]
        arguments += ["--concurrency", "1", "-l", "warning", "--file-flush-interval-msec", "200"]
        with (folder / "envoy.log").open("ab") as log:
            self.envoy = subprocess.Popen(self.started(arguments), stdout=log, stderr=log)
        until(lambda: self._admin("/readyz").status_code == 200, f"{folder.name} ready")
        for port in (self.inbound, self.outbound):
            until(lambda port=port: self.listens(port), "listening")

    def started(self, command: list[str]) -> list[str]:
        """How Envoy is started."""
        return command

    def listens(self, port: int) -> bool:
        """Whether Envoy listens on *port*."""
        socket.create_connection(("127.0.0.1", port)).close()
        return True

    def start_agent(self) -> None:
        self.agent = subprocess.Popen(
            [*self._attache, "run", "--config", str(self.file)], stdout=self.log, stderr=self.log
        )

    def _admin(self, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.admin}{path}", timeout=5)

    def admin_json(self, path: str) -> Any:
        return self._admin(path).json()

    def logged(self) -> str:
        return (self.folder / "agent.log").read_text()

    def audit(self, **wanted: Any) -> list[dict[str, Any]]:
        """The records so far with these members."""
        file = self.folder / "audit.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        records = [json.loads(line) for line in lines]
        return [r for r in records if all(r.get(k) == v for k, v in wanted.items())]

    def record(self, **wanted: Any) -> dict[str, Any]:
        """The first such record, as soon as it is written."""
        return until(lambda: self.audit(**wanted), f"an audit record with {wanted}")[0]

    def receive(self, token: str = "", path: str = "/x", **headers: str) -> Got:
        """A caller's request; what the application saw is in the answer."""
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        if token:
            given["authorization"] = f"Bearer {token}"
        return ask(self.inbound, path, "api.judge", given)

    def call(self, host: str, headers: Mapping[str, str] | None = None, **how: Any) -> Got:
        """The application's own call through the outbound listener."""
        return ask(self.outbound, how.pop("path", "/y"), host, headers or {}, **how)

    def stop(self) -> None:
        for process in (self.envoy, self.agent):
            process.terminate()
        for process in (self.envoy, self.agent):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.application.stop()
        self.log.close()
        shutil.rmtree(self._run, ignore_errors=True)


@dataclass(frozen=True)
class Got:
    """An answer. `seen` are the headers that the echo behind Envoy got."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def seen(self) -> dict[str, str]:
        assert self.status == 200, (self.status, self.body)
        return self.body["headers"]

    @property
    def bearer(self) -> str:
        return self.seen.get("authorization", "").removeprefix("Bearer ")

    @property
    def by(self) -> str:
        return self.body["name"] if self.status == 200 else ""

    @property
    def denial(self) -> tuple[int, str]:
        kind = self.body.get("type", "") if isinstance(self.body, dict) else str(self.body)
        return self.status, kind.removeprefix("urn:attache:")


def ask(
    port: int,
    path: str,
    host: str,
    headers: Mapping[str, str],
    *,
    absolute: bool = False,
    address: str = "127.0.0.1",
) -> Got:
    """One HTTP/1.1 request; *absolute* is the form that a client with HTTP_PROXY sends."""
    connection = http.client.HTTPConnection(address, port, timeout=LIMIT)
    try:
        target = f"http://{host}{path}" if absolute else path
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"host": host} | dict(headers)).items():
            connection.putheader(name, value)
        connection.endheaders()
        got = connection.getresponse()
        raw = got.read()
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw.decode(errors="replace")
        return Got(got.status, {k.lower(): v for k, v in got.getheaders()}, body)
    finally:
        connection.close()


def together(jobs: list[Callable[[], Any]]) -> Iterator[Any]:
    """All at once, one thread each; the results in order."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(jobs)) as pool:
        yield from pool.map(lambda job: job(), jobs)
