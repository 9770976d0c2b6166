"""How is one process of the demo started, watched and ended?"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from demo.waiting import NotInTime, until

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
GRACE = 10.0  # seconds between SIGTERM and SIGKILL

# What of our own environment would change how a child reaches the others.
_FOREIGN = ("proxy", "otel_", "requests_ca_bundle", "curl_ca_bundle", "ssl_cert")

# What a log says, and what to do about it.
_REMEDIES = (
    ("address already in use", "another program took the port in between; start the demo again"),
    ("cannot bind", "another program took the port in between; start the demo again"),
    ("no module named", "a package is missing; install the project with its 'demo' extra"),
    ("permission denied", "give this user the right to what the log names"),
    ("no space left", "free some space in the temporary folder, or set TMPDIR"),
    ("cannot allocate memory", "free some memory; the demo needs about 2 GB"),
)


class StartFailed(RuntimeError):
    """A process did not come up: which, the end of its log, and what to do."""


class Child:
    """One process in a group of its own; what it prints goes to *log*."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._over = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process; `StartFailed` if there is no such program."""
        kept = {k: v for k, v in os.environ.items() if not any(f in k.lower() for f in _FOREIGN)}
        # the programs of the demo are found where this file lies, installed or not
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        environment = {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **self._environment}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock, self.log.open("ab") as output:
                if self._over:
                    raise StartFailed(f"{self.name} is not started any more: the stage is ending")
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
                self._asked = False
        except OSError as error:
            raise StartFailed(
                f"{self.name} cannot be started: {self._command[0]}: {error.strerror}; "
                "install the project with its 'demo' extra"
            ) from None

    @property
    def pid(self) -> int:
        """The id of the running process."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended, None while it runs (or was never started)."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def come_up(self, condition: Callable[[], T | None], bound: float = 45.0) -> T:
        """Wait until *condition* holds; `StartFailed` if the process ends or takes too long."""

        def look() -> T | None:
            if not self.running:
                raise self.failure(f"ended with status {self.exit_code}")
            return condition()

        try:
            return until(look, self.name, bound)
        except NotInTime:
            raise self.failure(f"is not ready after {bound:.0f} s") from None

    def failure(self, what: str) -> StartFailed:
        """The sentence, the end of the log, and the remedy."""
        tail = self.tail()
        lowered = tail.lower()
        remedy = next(
            (words for sign, words in _REMEDIES if sign in lowered), f"read {self.log} for the rest"
        )
        return StartFailed(f"{self.name} {what}; {remedy}.\nThe end of its log:\n{tail}")

    def tail(self, lines: int = 15) -> str:
        """The last lines that it printed."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return (
            "\n".join(f"  | {line[:300]}" for line in text.splitlines()[-lines:]) or "  | (empty)"
        )

    def wait(self, bound: float = 30.0) -> int:
        """Wait for the process to end by itself; its exit status."""
        assert self._process is not None
        return self._process.wait(bound)

    def ask_to_stop(self, for_good: bool = False) -> None:
        """Send SIGTERM, once, and do not wait; *for_good*: it is never started again."""
        with self._lock:
            self._over = self._over or for_good
            if not self._asked:
                self._asked = True
                self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)  # a group of its own: see start_new_session

    def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL for one that will not listen."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
