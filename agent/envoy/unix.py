"""At which path do we listen? One where nobody else answers, and which is ours until we leave."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_NUMBERS = count()


class SocketInUse(OSError):
    """Another process answers on our socket."""


class Claim:
    """A Unix socket of ours at *path*, with its *mode* (SECURITY.md 24), named by *setting*.

    *bind* makes it under another name, and then it takes its place in one step: whoever connects
    meets the old socket or the new one, and a server that removes what it bound when it ends, as
    grpcio does, cannot remove its successor's. Raises `SocketInUse` or `OSError`.
    """

    def __init__(
        self,
        path: Path,
        bind: Callable[[Path], T],
        mode: int = 0o660,
        setting: str = "agent.socket",
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _answers(path, setting):
            raise SocketInUse(
                f"another agent answers on {path}; stop it or choose another {setting}"
            )
        self._path = path
        fresh = path.with_name(f".{os.getpid():x}-{next(_NUMBERS)}")
        with _private_files(mode):
            bind(fresh)
        fresh.replace(path)
        self._identity = _identity(path)

    def give_up(self) -> None:
        """Remove the socket, unless a successor has put its own there already."""
        if _identity(self._path) == self._identity:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _private_files(mode: int) -> Iterator[None]:
    """Create the socket with *mode* from the start; a chmod afterwards would leave a gap."""
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)


def _answers(path: Path, setting: str) -> bool:
    """Whether a process listens on *path*.

    Raises `OSError` where that cannot be told, or where what is there is no socket.
    """
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1)
    try:
        probe.connect(str(path))
    except FileNotFoundError:
        return False
    except (BlockingIOError, TimeoutError):  # unix(7): it listens, and its backlog is full
        return True
    except ConnectionRefusedError:  # a dead one's socket, which is replaced; but a file refuses too
        if not path.is_socket():
            raise FileExistsError(
                f"{setting} {path} is a file; choose a path that is free"
            ) from None
        return False
    finally:
        probe.close()
    return True


def listen(path: Path) -> socket.socket:
    """A socket that listens at *path*, whose folder exists, with the present umask."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
