"""Whose process is at the other end of a Unix socket, and may it ask?"""

from __future__ import annotations

import logging
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("attache.tokens")

QUIET = 60.0  # seconds in which the same user's refusal is not repeated
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
_MOST_SAID = 64  # users whose last refusal is remembered


def uid_of(connection: socket.socket) -> int:
    """The user who connected, as the kernel saw it then (SO_PEERCRED, unix(7))."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid & 0xFFFFFFFF


class Peers:
    """Lets the users in *uids* in, and says of others that they came; in no *uids*: our own."""

    def __init__(
        self,
        path: Path,
        uids: tuple[int, ...],
        who: Callable[[socket.socket], int] = uid_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._uids = frozenset(uids or (os.geteuid(),))
        self._who = who
        self._clock = clock
        self._said: dict[int, float] = {}

    @property
    def mode(self) -> int:
        """The socket's mode: 0600 where only our own user may connect, else 0660."""
        return 0o600 if self._uids == {os.geteuid()} else 0o660

    def admit(self, connection: socket.socket) -> bool:
        """Whether this peer may ask. Who cannot be told may not."""
        try:
            uid = self._who(connection)
        except OSError:
            return False
        if uid in self._uids:
            return True
        now = self._clock()
        if now - self._said.get(uid, float("-inf")) >= QUIET:
            if len(self._said) >= _MOST_SAID:
                self._said.clear()
            self._said[uid] = now
            log.warning(
                "a process of user %d connected to %s and was refused; if it should get tokens, "
                "add %d to tokenService.uids",
                uid,
                self._path,
                uid,
            )
        return False
