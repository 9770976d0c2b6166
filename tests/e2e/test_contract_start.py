"""Does a start that cannot succeed say why, in one sentence (issue 3: faults that must be answered)?"""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract_inbound_tools import attache, free_ports

pytestmark = pytest.mark.e2e


def _admin_taken(folder: Path, config: dict[str, Any], taken: int) -> str:
    config["agent"]["admin"] = f"127.0.0.1:{taken}"
    return "agent.admin"


def _no_socket_folder(folder: Path, config: dict[str, Any], taken: int) -> str:
    (folder / "file").write_text("")
    config["agent"]["socket"] = str(folder / "file" / "s")
    return str(folder / "file")


FAULTS = (_admin_taken, _no_socket_folder)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_start_that_cannot_succeed_says_why_and_ends(tmp_path: Path, fault: Any) -> None:
    (admin,) = free_ports(1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config: dict[str, Any] = {
            "workload": {"name": "w"},
            "listeners": {"inbound": {"application": "127.0.0.1:8000"}},
            "routes": [{"path": "/", "anonymous": True}],
            "agent": {"socket": str(tmp_path / "s"), "admin": f"127.0.0.1:{admin}"},
        }
        mentioned = fault(tmp_path, config, other.getsockname()[1])
        (tmp_path / "a.yaml").write_text(json.dumps(config))
        done = attache("run", "--config", tmp_path / "a.yaml")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert mentioned in done.stderr
