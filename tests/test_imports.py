"""What does a process hold that its configuration does not use? Nothing that is large."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo.ports import Ports

# An agent as `attache run` starts it, and what is imported as soon as it serves.
_STARTED = """
import sys
from pathlib import Path
from agent import cli, cli_run
from agent.app import App
from agent.config.loading import load

file = Path(sys.argv[1])
app = App(file, load(file))
app.start()
names = {name.partition(".")[0] for name in sys.modules} | set(sys.modules)
app.stop()
print(*sorted(names))
"""
_WATCHED = {"azure", "msal", "opentelemetry", "redis", "rich", "typer", "agent.explain"}

_IDENTITY = {
    "name": "api",
    "entra": {"tenant": "contoso.example", "clientId": "api", "secretFile": "secret"},
}
_REDIS = {"url": "redis://127.0.0.1:1"}
_SECTIONS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "none of them": ({}, set()),
    "an OAuth identity": (
        {
            "identities": [
                {
                    "name": "api",
                    "oauth": {
                        "tokenUrl": "https://127.0.0.1:1/token",
                        "clientId": "api",
                        "secretFile": "secret",
                    },
                }
            ]
        },
        set(),
    ),
    "an Entra identity": ({"identities": [_IDENTITY]}, {"msal"}),
    "revocation in a file": ({"revocation": {"file": "revoked.json"}}, set()),
    "revocation in Redis": ({"revocation": {"redis": _REDIS}}, {"redis"}),
}


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "secret").write_text("a-secret", encoding="ascii")
    (tmp_path / "revoked.json").write_text("[]", encoding="ascii")
    (tmp_path / "keys.json").write_text('{"keys": []}', encoding="ascii")
    return {
        "workload": {"name": "api", "namespace": "test"},
        "listeners": {"inbound": {"port": 15006, "application": "127.0.0.1:8000"}},
        "issuers": [
            {
                "name": "partner",
                "oidc": {
                    "issuer": "https://partner.example",
                    "audiences": ["api"],
                    "jwks": {"file": "keys.json"},
                },
            }
        ],
        "agent": {"socket": str(tmp_path / "a.sock"), "admin": f"127.0.0.1:{Ports().take()}"},
        "audit": {"file": str(tmp_path / "audit.log")},
    }


@pytest.mark.parametrize("name", list(_SECTIONS))
def test_an_agent_that_serves_holds_the_libraries_that_its_configuration_uses_and_no_other(
    name: str, base: dict[str, Any], tmp_path: Path
) -> None:
    sections, used = _SECTIONS[name]
    file = tmp_path / "attache.yaml"
    file.write_text(json.dumps(base | sections), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _STARTED, str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    held = set(done.stdout.split())
    brought = {"opentelemetry"} if "redis" in used else set()  # where that is installed
    assert held & _WATCHED - brought == used
