"""How much may the peer still send us (RFC 9113 §5.2), and how long do we put up with it?"""

from __future__ import annotations

from agent.envoy.lean.frames import Broken, Error

WINDOW = 8 << 20
_GIVE_BACK = WINDOW // 4

# Bounds of one connection between two ticks (SECURITY.md 42; CVE-2023-44487, CVE-2019-9512 to 9518)
MOST_IDLE = 20_000  # frames that bring no call nearer
MOST_WRONG = 5_000  # streams that the peer reset or got wrong


class Intake:
    """The connection's own window, and what the peer did with our patience.

    `held`: bytes of messages that are not complete.
    """

    __slots__ = ("_idle", "_taken", "_window", "_wrong", "held")

    def __init__(self) -> None:
        self._window = WINDOW
        self._taken = 0  # bytes read and not given back
        self._idle = self._wrong = 0
        self.held = 0

    def take(self, size: int) -> int:
        """Count *size* bytes of DATA; return how many to give back now, mostly 0."""
        self._window -= size
        if self._window < 0:
            raise Broken(Error.FLOW_CONTROL_ERROR, "more data than the connection's window")
        self._taken += size
        if self._taken < _GIVE_BACK:
            return 0
        given, self._taken = self._taken, 0
        self._window += given
        return given

    def idle(self, cost: int = 1) -> None:
        """Count a frame that brings no call nearer, and is as much work as *cost* of them."""
        self._idle += cost
        if self._idle > MOST_IDLE:
            raise Broken(Error.ENHANCE_YOUR_CALM, "frames that bring no call nearer")

    def wrong(self) -> None:
        """Count a stream that the peer reset, or got wrong."""
        self._wrong += 1
        if self._wrong > MOST_WRONG:
            raise Broken(Error.ENHANCE_YOUR_CALM, "too many streams were reset")

    def tick(self) -> None:
        """A second went by: what was too much within one is counted anew."""
        self._idle = self._wrong = 0
