"""A pod whose callers can be revoked, the list in a file, and a real Redis that can be killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract_inbound_tools import Answer, Key, Pod, Site, free_ports, life, until

SERVER, CLI = shutil.which("redis-server"), shutil.which("redis-cli")
needs_redis = pytest.mark.skipif(
    not (SERVER and CLI), reason="redis-server and redis-cli are not installed on this machine"
)


class Redis:
    """A Redis of this test alone; without persistence, so that a killed one forgets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (self.port,) = free_ports(1)
        self.up()

    def up(self) -> None:
        command = [str(SERVER), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self.folder), "--logfile", str(self.folder / "log")]
        self.process = subprocess.Popen(command)
        until(lambda: self.ask("PING") == "PONG", "Redis answers")

    def ask(self, *words: str) -> str:
        """What plain redis-cli prints."""
        command = [str(CLI), "-p", str(self.port), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Door:
    """An issuer and a pod behind which nobody is without a token; `/open` is anonymous."""

    def __init__(self, folder: Path, revocation: dict[str, Any]) -> None:
        self.key = Key("k1")
        self.idp = Site()
        self.idp.pages |= {
            "/.well-known/openid-configuration": {
                "issuer": self.idp.url,
                "jwks_uri": self.idp.url + "/jwks",
            },
            "/jwks": {"keys": [self.key.jwk]},
        }
        self.pod = Pod(folder / "pod", self.configuration(revocation))

    def configuration(self, revocation: dict[str, Any] | None) -> dict[str, Any]:
        oidc = {"issuer": self.idp.url, "audiences": ["a"]}
        section = {"revocation": revocation} if revocation else {}
        return {
            "issuers": [{"name": "idp", "oidc": oidc}],
            "routes": [{"path": "/open", "anonymous": True}, {"path": "/api/**"}],
            **section,
        }

    def token(self, subject: str, **claims: Any) -> str:
        base = {"iss": self.idp.url, "aud": "a", "sub": subject, "azp": "spa", **life()}
        said = {name: value for name, value in (base | claims).items() if value is not None}
        return self.key.token(said)

    def ask(self, token: str) -> Answer:
        return self.pod.ask("/api/x", token)

    def reason(self, token: str) -> str:
        return self.ask(token).reason or "allow"

    def takes(self, token: str, change: Callable[[], object], reason: str) -> float:
        """Seconds from *change* until the token's answer is *reason*."""
        change()
        began = time.monotonic()
        until(lambda: self.reason(token) == reason, f"the answer {reason}")
        return time.monotonic() - began

    def readiness(self) -> tuple[int, dict[str, Any]]:
        status, body = until(lambda: self.pod.page("/readyz"), "/readyz")
        return status, json.loads(body)

    def degraded(self) -> str:
        return " ".join(self.readiness()[1].get("degraded", []))

    def missing(self) -> str:
        return " ".join(self.readiness()[1]["missing"])

    def revocation(self) -> dict[str, Any]:
        status = self.pod.page("/status")
        assert status
        said: dict[str, Any] = json.loads(status[1])["revocation"]
        return said

    def metric(self, name: str) -> float:
        page = self.pod.page("/metrics")
        assert page
        lines = [line for line in page[1].splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def restart(self) -> None:
        """End the agent and start it again; its Envoy stays."""
        agent = self.pod.processes.pop(0)
        agent.terminate()
        agent.wait(15)
        self.pod._run("attache", "run", "--config", str(self.pod.config))
        self.pod.processes.insert(0, self.pod.processes.pop())
        until(lambda: self.pod.page("/livez") is not None, "/livez")
        until(lambda: self.pod.ask("/open").status == 200, "the new agent decides")

    def close(self) -> None:
        self.idp.down()
