"""How do lines reach a file without ever holding up a decision?"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

BATCH = 512
GATHER = 0.05  # seconds that a batch gathers: one wake-up of the writer for many records
RETRY = 1.0  # seconds between attempts on a full disk or a broken pipe
LOUD = 60.0  # seconds between complaints


class Sink(Generic[Item]):
    """A bounded queue and the one thread that writes it, in batches, as lines.

    *target* is `stdout`, `stderr` or a path. *line* makes the bytes of one line, on the writer's
    thread. *clock* is in seconds of a monotonic clock. `complain` gets a sentence, at most once a
    minute; `on_loss` the number of items just lost.
    """

    def __init__(
        self,
        target: str,
        line: Callable[[Item], bytes],
        *,
        entries: int,
        clock: Callable[[], float],
        complain: Callable[[str], None],
        on_loss: Callable[[int], None],
    ) -> None:
        self.lost = 0
        self._target = Target(target)
        self._line = line
        self._entries = entries
        self._clock = clock
        self._complain = complain
        self._on_loss = on_loss
        self._complained = -LOUD
        self._queue: deque[Item] = deque()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._losing = threading.Lock()
        self._thread = threading.Thread(target=self._write, name=f"write {target}", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> bool:
        """Queue *item*; False where the queue is full, and the loss is counted. Never blocks."""
        if len(self._queue) >= self._entries or self._stop.is_set():
            self._lose(1, f"the queue of {self._entries} is full")
            return False
        self._queue.append(item)
        if not self._wake.is_set():
            self._wake.set()
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued and end the thread; what *timeout* seconds do not write is lost."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():  # a pipe that nobody reads: the thread dies with the process
            self._lose(len(self._queue), f"{self._target.name} takes nothing")
        else:
            self._target.close()

    def _write(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self._stop.wait(GATHER)
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
                try:
                    if not self._deliver(batch):
                        self._lose(len(batch), f"{self._target.name} takes nothing")
                except Exception as fault:  # noqa: BLE001 - a fault of ours must not end the audit
                    self._lose(len(batch), f"of a fault of the agent ({fault!r})")
            if self._stop.is_set() and not self._queue:
                return

    def _deliver(self, batch: list[Item]) -> bool:
        """Write *batch*, for as long as it takes; False only where the end came first."""
        pending = b"".join(self._line(item) for item in batch)
        while pending:
            try:
                pending = self._target.write(pending)
            except OSError as error:
                self._loud(f"cannot write to {self._target.name}: {error.strerror or error}")
                if self._stop.wait(RETRY):
                    return False
        return True

    def _lose(self, count: int, why: str) -> None:
        if count:
            with self._losing:
                self.lost += count
            self._on_loss(count)
            self._loud(f"{self.lost} records lost so far, last because {why}")

    def _loud(self, sentence: str) -> None:
        now = self._clock()
        with self._losing:
            if now - self._complained < LOUD:
                return
            self._complained = now
        self._complain(sentence)


class Target:
    """A descriptor to append to: standard output, standard error, or a file that may be rotated."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._descriptor: int | None = None
        self._torn = b""  # the beginning of a line that a failure cut in two

    def write(self, content: bytes) -> bytes:
        """Write what can be written of *content* (whole lines) and return the rest.

        Raises `OSError`. After a part of a line went out and the file was rotated, the line is
        written again from its start: no file begins in the middle of one.
        """
        descriptor, fresh = self._open()
        if fresh:
            content, self._torn = self._torn + content, b""
        written = os.write(descriptor, content)
        last = content.rfind(b"\n", 0, written) + 1
        self._torn = content[last:written] if last else self._torn + content[:written]
        return content[written:]

    def close(self) -> None:
        """Close a file of our own; the standard streams belong to the process."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> tuple[int, bool]:
        """The descriptor, and whether it is another one than at the last call."""
        streams = {"stdout": sys.__stdout__, "stderr": sys.__stderr__}
        if self.name in streams:
            stream = streams[self.name]
            if stream is None or stream.closed:
                raise OSError(f"the process has no {self.name}")
            return stream.fileno(), False
        if self._descriptor is not None:
            if self._still_there(self._descriptor):
                return self._descriptor, False
            self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.name, flags, 0o640)
        return self._descriptor, True

    def _still_there(self, descriptor: int) -> bool:
        """Whether the path still leads to the open file; a rotation renames or removes it."""
        try:
            named = os.stat(self.name)  # noqa: PTH116 - beside fstat
        except FileNotFoundError:
            return False
        ours = os.fstat(descriptor)
        return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)
