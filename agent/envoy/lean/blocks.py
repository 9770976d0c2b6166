"""Which header block is being read? HEADERS and what continues it (RFC 9113 §4.3, §6.2, §6.10)."""

from __future__ import annotations

from agent.envoy.lean import frames, heads
from agent.envoy.lean.frames import Broken, Error

Block = tuple[int, bool, bytes]
"""A whole header block: its stream, whether that ends with it, its bytes."""


class Blocks:
    """Puts the header blocks of one connection together.

    `open` is the stream of a block that goes on, 0 where none does. While one does, the next frame
    must continue it: the blocks of a connection share one table, so they cannot be mixed.
    """

    __slots__ = ("_ends", "_so_far", "open")

    def __init__(self) -> None:
        self.open = 0
        self._ends = False
        self._so_far = bytearray()

    def begin(self, stream: int, flags: int, payload: bytes) -> Block | None:
        """Read a HEADERS frame; return the block if it is whole."""
        if not stream & 1:
            raise Broken(Error.PROTOCOL_ERROR, "a client's stream has an odd number")
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        if flags & frames.WITH_PRIORITY:
            if len(payload) < 5:
                raise Broken(Error.FRAME_SIZE_ERROR, "a HEADERS frame without its priority")
            frames.refuse_itself(stream, payload)
            payload = payload[5:]
        ends = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            return stream, ends, payload
        self.open, self._ends, self._so_far = stream, ends, bytearray(payload)
        return None

    def go_on(self, flags: int, payload: bytes) -> Block | None:
        """Read a CONTINUATION frame; return the block if it is whole now.

        An endless one is refused by its size, or at its first empty piece (CVE-2024-27316).
        """
        if not self.open:
            raise Broken(Error.PROTOCOL_ERROR, "a continuation of nothing")
        self._so_far += payload
        ended = flags & frames.END_HEADERS
        if len(self._so_far) > heads.LARGEST or (not payload and not ended):
            raise Broken(Error.ENHANCE_YOUR_CALM, "a header block without end")
        if not ended:
            return None
        block = self.open, self._ends, bytes(self._so_far)
        self.open, self._so_far = 0, bytearray()
        return block
