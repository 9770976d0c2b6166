"""`python -m demo` tells the truth by its exit code, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.waiting import until

pytestmark = pytest.mark.e2e


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a name short enough for Unix sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="d-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_every_process_and_removes_its_folder(
    short_folder: Path, number: signal.Signals
) -> None:
    demo = _demo(short_folder)
    try:
        until(lambda: len(_processes_of(short_folder)) >= 4, "the first processes", 60)
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=60)
    finally:
        demo.kill()
        left = _processes_of(short_folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)  # a failed test leaves nothing behind either
    assert demo.returncode == 130, output
    assert "stopped" in output
    assert left == {}
    assert list(short_folder.iterdir()) == []


def test_without_envoy_the_demo_says_so_and_what_to_do(short_folder: Path) -> None:
    code = (
        "import runpy, sys, demo.binary; demo.binary.envoy_binary = lambda: None; "
        "sys.argv = ['demo']; runpy.run_module('demo', run_name='__main__')"
    )
    demo = _demo(short_folder, "-c", code, PATH="/nowhere")
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 2, output
    assert "no Envoy on this machine" in output
    assert "install the project with its 'demo'" in output
    assert "Traceback" not in output


def _demo(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(arguments or ("-m", "demo"))],
        env={**os.environ, "TMPDIR": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _processes_of(folder: Path) -> dict[int, str]:
    """The processes whose output goes into *folder*: id and command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder) in str((entry / "fd" / "1").readlink()):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found
