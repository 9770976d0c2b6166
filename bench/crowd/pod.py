"""What runs beside each application? An agent and its Envoy, with Envoy's own tracer or without."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config.loading import load
from agent.envoy.bootstrap import bootstrap, static
from agent.envoy.tls import system_bundle
from bench.crowd.tracing import traced
from bench.crowd.verdict import Missed
from demo import npm
from demo.child import Child
from demo.pod import PROPAGATION, envoy, listens, plain, tool
from demo.ports import Ports

NODE = Path(__file__).parent / "applications" / "node"
# Envoy's own tracer starts a span of its own for each request, in both directions.
TRACED = frozenset({"asynchronous", "node"})


class CrowdPod:
    """One application, its agent and its Envoy."""

    def __init__(
        self, application: str, config: Mapping[str, Any], folder: Path, ports: Ports
    ) -> None:
        self.name = application
        self.inbound, self._outbound, self._port, self._admin = (ports.take() for _ in range(4))
        self._folder = folder
        folder.mkdir()
        self._config = folder / "attache.yaml"
        self._config.write_text(json.dumps(self._configuration(config, ports.take())))
        self._bootstrap = folder / "envoy.json"
        command = [tool("attache"), "run", "--config", str(self._config)]
        self._agent = Child(f"the agent of '{application}'", command, folder / "agent.log")
        self._application = Child(
            f"the application '{application}'",
            self._command(),
            folder / "application.log",
            self._variables(),
        )
        command = [str(envoy()), "-c", str(self._bootstrap), "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "warning"]
        self._envoy = Child(f"the Envoy of '{application}'", command, folder / "envoy.log")

    @property
    def url(self) -> str:
        """Where people reach it."""
        return f"http://127.0.0.1:{self.inbound}"

    @property
    def traced(self) -> bool:
        """Whether its Envoy has a tracer."""
        return self.name in TRACED

    def start(self) -> None:
        """Start all three."""
        loaded = load(self._config)
        started = traced(static(loaded, system_bundle())) if self.traced else bootstrap(loaded)
        self._bootstrap.write_text(json.dumps(started))
        for child in (self._agent, self._envoy, self._application):
            child.start()

    def come_up(self) -> None:
        """Wait until they answer."""
        self._agent.come_up(lambda: self._ok(self._admin, "/readyz"))
        self._application.come_up(lambda: self._ok(self._port, "/healthz"))
        self._envoy.come_up(lambda: self._ok(self.inbound, "/healthz"))
        self._envoy.come_up(lambda: listens(self._outbound))

    def stop(self) -> None:
        """End all three."""
        for child in (self._application, self._envoy, self._agent):
            child.stop()

    def missed(self) -> list[Missed]:
        """The calls that were not let out, as the application was told."""
        with plain() as session:
            told = session.get(f"http://127.0.0.1:{self._port}/denied", timeout=30).json()
        return [Missed(one["mark"], one["reason"]) for one in told]

    def counted(self, metric: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        with plain() as session:
            text = session.get(f"http://127.0.0.1:{self._admin}/metrics", timeout=30).text
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        lines = (line for line in text.splitlines() if line.startswith(f"{metric}{{"))
        return sum(float(line.split()[-1]) for line in lines if all(w in line for w in wanted))

    def _ok(self, port: int, path: str) -> bool:
        try:
            with plain() as session:
                return session.get(f"http://127.0.0.1:{port}{path}", timeout=5).ok
        except OSError:  # requests' errors are
            return False

    def _configuration(self, config: Mapping[str, Any], envoy_admin: int) -> dict[str, Any]:
        inbound = {"address": "127.0.0.1", "port": self.inbound}
        destinations = [
            # fetch of Node, which knows no proxy, calls this one by the listener's own address
            {**one, "hosts": [*one["hosts"], f"127.0.0.1:{self._outbound}"]}
            if one["name"] == "minted"
            else one
            for one in config["destinations"]
        ]
        return {
            **config,
            "workload": {"name": self.name, "namespace": "crowd"},
            "listeners": {
                "inbound": {**inbound, "application": f"127.0.0.1:{self._port}"},
                "outbound": {"port": self._outbound},
            },
            "inbound": {"forward": "original" if self.name == "relaying" else "none"},
            "destinations": destinations,
            "agent": {
                "socket": str(self._folder / "agent.sock"),
                "admin": f"127.0.0.1:{self._admin}",
            },
            "envoy": {"admin": f"127.0.0.1:{envoy_admin}"},
            "audit": {"file": str(self._folder / "audit.jsonl")},
        }

    def _command(self) -> list[str]:
        if self.name == "node":
            shutil.copy(NODE / "application.cjs", self._folder)
            (self._folder / "node_modules").symlink_to(
                npm.installed(NODE / "package.json") / "node_modules"
            )
            return [shutil.which("node") or "node", str(self._folder / "application.cjs")]
        module = "threaded" if self.name == "relaying" else self.name
        program = [sys.executable, "-m", f"bench.crowd.applications.{module}"]
        if self.name == "relaying":
            return program
        return [tool("opentelemetry-instrument"), *program]

    def _variables(self) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{self._outbound}"
        variables = {**PROPAGATION, "HTTP_PROXY": proxy, "http_proxy": proxy}
        variables["PORT"] = str(self._port)
        if self.name == "node":
            agent = "@opentelemetry/auto-instrumentations-node/build/src/register.js"
            variables["NODE_OPTIONS"] = f"--require {self._folder}/node_modules/{agent}"
            variables["OTEL_NODE_RESOURCE_DETECTORS"] = "none"  # nothing to ask of a cloud
        return variables
