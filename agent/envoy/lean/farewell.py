"""How does a connection end without losing a call? In two steps (RFC 9113 §6.8).

The peer hears that we leave before it hears which stream is the last: a call that was on its way
meanwhile is answered. In one step, calls were lost in every other restart (measured).
"""

from __future__ import annotations

from agent.envoy.lean import frames
from agent.envoy.lean.frames import Error

EVERY = 2**31 - 1
_PING = b"attache!"  # its answer says that our first GOAWAY was read


class Farewell:
    """`accepts`: the last stream that is served; `begun`: whether the peer was told at all."""

    __slots__ = ("accepts", "begun")

    def __init__(self) -> None:
        self.accepts = EVERY
        self.begun = False

    @property
    def said(self) -> bool:
        """Whether the peer knows which stream was its last."""
        return self.accepts != EVERY

    def begin(self) -> bytes:
        """What to send first."""
        if self.begun:
            return b""
        self.begun = True
        ping = frames.frame(frames.PING, 0, 0, _PING)
        return frames.goaway(EVERY, Error.NO_ERROR) + ping

    def answered(self, payload: bytes, last: int) -> bytes:
        """A PING was answered, and *last* is the newest stream by now: what to send next."""
        if not self.begun or self.said or payload != _PING:
            return b""
        self.accepts = last
        return frames.goaway(last, Error.NO_ERROR)
