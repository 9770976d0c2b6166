"""Which agent is measured? A real one with its Envoy, as an operator would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import requests

from bench.process import Measured, envoy, free_port, require_envoy
from bench.provider import API, TENANT
from demo.idp.server import IdentityProvider

HANDLE = "x-attache-context"
HERE = Path(__file__).parents[1]
_CLI = [sys.executable, "-c", "from agent.cli import main; main()"]


def environment(tree: Path) -> dict[str, str]:
    """Where Python finds the agent of *tree*, whatever is installed."""
    return {**os.environ, "PYTHONPATH": str(tree)}


def issuer(name: str, idp: IdentityProvider, *tenants: str) -> dict[str, Any]:
    """An entry of `issuers`: people of *tenants* at *idp*."""
    rules = {"authority": idp.base_url, "caFile": str(idp.ca_file), "audiences": [API]}
    return {"name": name, "entra": rules | {"tenants": list(tenants)}}


class Pair:
    """An agent and its Envoy in front of *application*; *store* is what the application calls.

    It calls it under two names: `store.bench` for the user, `log.bench` as itself.

    *changes* are added to the configuration's sections, or take a list's place. *tree*: whose
    agent it is, the folder of a checkout; this one's by default.
    """

    def __init__(
        self,
        idp: IdentityProvider,
        application: int,
        store: int,
        folder: Path,
        *,
        changes: dict[str, Any] | None = None,
        tree: Path = HERE,
    ) -> None:
        self.socket = folder / "agent.sock"
        self._folder, self._tree = folder, tree
        self.inbound, self.outbound, self._admin = free_port(), free_port(), free_port()
        secret = folder / "secret"
        secret.write_text("api-secret", encoding="ascii")
        config: dict[str, Any] = {
            "workload": {"name": "api", "namespace": "bench"},
            "listeners": {
                "inbound": {"port": self.inbound, "application": f"127.0.0.1:{application}"},
                "outbound": {"port": self.outbound},
            },
            "issuers": [issuer("entra", idp, TENANT)],
            "routes": [
                {
                    "path": "/api/**",
                    "require": {"caller": "user", "scopes": ["access"], "anyRole": ["Editor"]},
                }
            ],
            "identities": [
                {
                    "name": "api",
                    "entra": {
                        "authority": idp.base_url,
                        "caFile": str(idp.ca_file),
                        "tenant": TENANT,
                        "clientId": API,
                        "secretFile": str(secret),
                    },
                }
            ],
            "destinations": [
                {
                    "name": "store",
                    "hosts": ["store.bench"],
                    "address": f"127.0.0.1:{store}",
                    "credential": {"obo": {"identity": "api", "scopes": ["api://store/.default"]}},
                },
                {
                    "name": "log",
                    "hosts": ["log.bench"],
                    "address": f"127.0.0.1:{store}",
                    "credential": {
                        "clientCredentials": {"identity": "api", "scopes": ["api://store/.default"]}
                    },
                },
            ],
            "agent": {"socket": str(folder / "agent.sock"), "admin": f"127.0.0.1:{self._admin}"},
            "envoy": {"admin": f"127.0.0.1:{free_port()}"},
            "audit": {"file": str(folder / "audit.log")},
        }
        for name, change in (changes or {}).items():
            config[name] = config.get(name, {}) | change if isinstance(change, dict) else change
        file = folder / "attache.yaml"
        file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        self._command = [*_CLI, "run", "--config", str(file)]
        self.agent = self.start_agent()
        bootstrap = subprocess.run(
            [*_CLI, "envoy", "bootstrap", "--config", str(file)],
            capture_output=True,
            check=True,
            env=environment(HERE),
        ).stdout
        self.envoy = envoy(require_envoy(), json.loads(bootstrap), folder, "agents-envoy")

    def start_agent(self) -> Measured:
        """Start the agent, and wait until it is ready."""
        self.launch()
        try:
            self.agent.wait_until(self._ready, "the agent")
        except RuntimeError:
            self.agent.terminate()
            raise
        return self.agent

    def restart(self, number: int) -> None:
        """Send the agent signal *number*, start the next one beside it, and wait until it is ready.

        One that meets its predecessor's port or socket ends with a word; then another is started.
        """
        old = self.agent
        old.send(number)
        self.launch()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not self.agent.running:
                self.launch()
            elif not old.running and self._ready():
                return
            time.sleep(0.02)
        raise RuntimeError("the agent did not come back")

    def launch(self) -> None:
        """Start the agent, and do not wait."""
        log = self._folder / "agent.log"
        self.agent = Measured(self._command, log, environment=environment(self._tree))

    def _ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self._admin}/readyz", timeout=5).ok
        except requests.RequestException:
            return False


class Listening:
    """A small application that remembers the handle of the request it was given."""

    def __init__(self, port: int) -> None:
        self.handle = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.handle = self.headers[HANDLE] or ""
                self.send_response(200)
                self.send_header("x-handle", outer.handle)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", port), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Give the port back."""
        self._server.shutdown()
        self._server.server_close()
