"""One real agent without an Envoy: what is asked of it comes by its own sockets."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

from demo.child import Child
from demo.ports import Ports
from demo.waiting import until

PORTS = Ports()


class LoneAgent:
    """Starts with *config*, to which only its own sockets are added; ends with `stop`."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.sockets = Path(tempfile.mkdtemp(prefix="a"))  # a Unix socket's path is short
        self.admin = PORTS.take()
        own = {"socket": f"{self.sockets}/a.sock", "admin": f"127.0.0.1:{self.admin}"}
        self._own = {"agent": own, "audit": {"file": f"{folder}/audit.jsonl"}}
        self.file = folder / "attache.yaml"
        self.configure(config)
        command = [str(Path(sys.executable).with_name("attache")), "run", "--log-level", "debug"]
        command += ["--config", str(self.file)]
        self._child = Child("agent", command, folder / "agent.log")
        self._child.start()
        until(lambda: self._answers() or None, "the agent")

    def configure(self, config: dict[str, Any]) -> None:
        """Write the configuration; a running agent takes it over."""
        self.file.write_text(json.dumps(self._own | config))  # JSON is YAML

    def _answers(self) -> bool:
        try:
            return self.get("/livez").ok
        except requests.ConnectionError:
            return False

    def get(self, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.admin}{path}", timeout=5)

    def logged(self) -> str:
        return (self.folder / "agent.log").read_text()

    def said(self, words: str) -> str:
        """The first line of the log with these words, as soon as it is there."""
        return until(
            lambda: next((line for line in self.logged().splitlines() if words in line), None),
            f"a line with '{words}'",
        )

    def audited(self, **wanted: Any) -> list[dict[str, Any]]:
        """The audit records with these members, once there is one."""

        def look() -> list[dict[str, Any]] | None:
            file = self.folder / "audit.jsonl"
            lines = file.read_text().splitlines() if file.exists() else []
            records = [json.loads(line) for line in lines]
            return [r for r in records if all(r.get(k) == v for k, v in wanted.items())] or None

        return until(look, f"an audit record with {wanted}")

    def stop(self) -> None:
        self._child.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)
