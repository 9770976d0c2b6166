"""What does a process hold that its configuration does not use? Nothing that is large."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo.ports import Ports

# `attache run`, ended as soon as it serves: what it imports later, a request waits for.
_RUN = """
import os, signal, socket, sys, threading, time

def look(path):
    while True:
        with socket.socket(socket.AF_UNIX) as one:
            if one.connect_ex(path) == 0:
                break
        time.sleep(0.02)
    held = list(sys.modules)  # while others may still be added
    print(*{name.partition(".")[0] for name in held}, *held)
    os.kill(os.getpid(), signal.SIGTERM)

from agent.cli import main
threading.Thread(target=look, args=sys.argv[1:2], daemon=True).start()
sys.argv[1:] = ["run", *sys.argv[2:]]
main()
"""
_WATCHED = {
    *("asyncio", "azure", "grpc", "msal", "opentelemetry", "redis", "rich", "typer"),
    *("chardet", "charset_normalizer", "agent.cli_commands", "agent.explain"),
    *("agent.login", "agent.credentials.stored.assembly", "agent.token_service"),
}

# By others, and opentelemetry only where it is installed.
_BROUGHT = {"redis": {"asyncio", "opentelemetry"}, "grpc": {"asyncio"}}

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
    "grpcio for a transport": ({"agent": {"transport": "grpcio"}}, {"grpc"}),
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
    for key, value in sections.items():
        base[key] = base.get(key, {}) | value if isinstance(value, dict) else value
    file.write_text(json.dumps(base), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _RUN, base["agent"]["socket"], "--config", str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    held = set(done.stdout.split())
    brought = set().union(*(_BROUGHT.get(name, set()) for name in used))
    assert held & _WATCHED - brought == used
