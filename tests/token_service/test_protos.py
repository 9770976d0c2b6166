"""Is what was compiled from protos/ current, and left alone where nobody asks for it?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_compiled_messages_are_current(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    source = ROOT / "protos/attache/tokens/v1"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{source}"),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", "token_service.proto"),
        ],
        check=True,
        timeout=60,
    )
    for name in ("token_service_pb2.py", "token_service_pb2.pyi"):
        committed = (ROOT / "agent/token_service" / name).read_text()
        assert (tmp_path / name).read_text() == committed, "run make protos"


def test_an_agent_that_hands_nothing_out_does_not_import_it() -> None:
    code = "import sys, agent.app; print([m for m in sys.modules if 'token_service' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "['agent.config.token_service']"
