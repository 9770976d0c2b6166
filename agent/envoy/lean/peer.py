"""Who is connected? A socket, what its connection is at, and what its peer has not read yet."""

from __future__ import annotations

import select
import socket

from agent.envoy.lean.connection import Connection

_READ = 256 * 1024
_UNSENT = 8 << 20  # bytes that a peer leaves unread before it is left
_HELLO = 10.0  # seconds within which it introduces itself
_STUCK = 30  # ticks within which it reads something of what we have for it


class Peer:
    """One accepted connection."""

    __slots__ = ("connection", "held", "most", "registered", "since", "socket", "stuck", "unsent")

    def __init__(
        self,
        accepted: socket.socket,
        now: float,
        connection: Connection | None = None,
        most: int | None = None,
    ) -> None:
        """*most*: bytes that this peer may leave unread; None: as many as any."""
        self.socket = accepted
        self.connection = connection or Connection()
        self.most = _UNSENT if most is None else most
        self.unsent = b""
        self.held = 0  # bytes, when it was looked at last
        self.since = now
        self.stuck = 0  # ticks since it took something of what waits for it
        self.registered = select.EPOLLIN

    def read(self) -> bytes | None:
        """What it has sent, `b""` where it is gone, None where there is nothing."""
        try:
            return self.socket.recv(_READ)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def write(self) -> bool:
        """Send what there is, as far as it is taken; False where the peer is to be left."""
        out = self.unsent + self.connection.outgoing()
        if out:
            try:
                sent = self.socket.send(out)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            if sent:
                self.stuck = 0
                out = out[sent:]
        self.unsent = out
        return len(out) <= self.most and bool(out or not self.connection.closing)

    def tick(self, now: float) -> bool:
        """A second went by; False where the peer has had its time."""
        self.connection.tick()
        if self.unsent:
            self.stuck += 1
        silent = not self.connection.settled and now - self.since > _HELLO
        return not silent and self.stuck <= _STUCK
