"""How much may we send now (RFC 9113 §5.2)? What is ready, and bodies that wait for room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.envoy.lean import frames
from agent.envoy.lean.frames import HEAD, Broken, Error, frame


@dataclass(slots=True)
class _Body:
    """What is left to send on one stream, and the trailers after it (none: the body ends it).

    `in_turn`: only the connection's window is in its way, and not its stream's own. `goes_on`: more
    may follow, so that nothing ends with what is left.
    """

    rest: bytes | memoryview
    trailers: bytes
    in_turn: bool = True
    goes_on: bool = False


class Outbox:
    """What one connection has to send, and the windows that its peer keeps open.

    `room`: bytes that may be sent on the connection; `rooms`: by stream, where a stream's is not
    the usual one.
    """

    def __init__(self) -> None:
        self._ready: list[bytes] = []
        self._room = frames.DEFAULT_WINDOW
        self._usual = frames.DEFAULT_WINDOW
        self._rooms: dict[int, int] = {}
        self._bodies: dict[int, _Body] = {}
        self._turns: deque[int] = deque()  # who may send as soon as the connection has room
        self.held = 0  # bytes of bodies that wait

    def take(self) -> bytes:
        """Everything that is ready; it is the caller's to send."""
        ready = b"".join(self._ready)
        self._ready.clear()
        return ready

    def put(self, ready: bytes) -> None:
        """Send *ready*, which no window bounds."""
        self._ready.append(ready)

    def at_once(self, stream: int, head: bytes, body: bytes, trailers: bytes) -> bool:
        """Send a whole answer in one piece, if it fits into the windows and into one frame."""
        size = len(body)
        room = self._rooms.get(stream, self._usual) if self._rooms else self._usual
        if size > frames.DEFAULT_FRAME or size > self._room or size > room:
            return False
        self._room -= size
        pack = HEAD.pack
        self._ready += (
            pack(0, len(head), frames.HEADERS, frames.END_HEADERS, stream),
            head,
            pack(size >> 8, size & 0xFF, frames.DATA, 0, stream),
            body,
            pack(0, len(trailers), frames.HEADERS, _END, stream),
            trailers,
        )
        return True

    def later(self, stream: int, head: bytes, body: bytes, trailers: bytes) -> list[int]:
        """Send *body* as far as the windows reach, and the rest when they grow.

        Returns the streams on which everything is sent.
        """
        self._ready.append(frame(frames.HEADERS, frames.END_HEADERS, stream, head))
        self._bodies[stream] = _Body(body, trailers)
        self._turns.append(stream)
        self.held += len(body)
        return self._send()

    def go_on(self, stream: int, piece: bytes) -> None:
        """Send *piece* on a stream that stays open, as far as the windows reach, and so on."""
        body = self._bodies.get(stream)
        if body is None:
            # a view: thousands of frames are cut from a large configuration
            self._bodies[stream] = _Body(memoryview(piece), b"", goes_on=True)
            self._turns.append(stream)
        else:
            body.rest = memoryview(bytes(body.rest) + piece)
        self.held += len(piece)
        self._send()

    def finish(self, stream: int, trailers: bytes) -> list[int]:
        """Let the stream end with *trailers*, once all pieces are sent; return it if they are."""
        body = self._bodies.get(stream)
        if body is not None:
            body.trailers, body.goes_on = trailers, False
            return []
        self._ready.append(frame(frames.HEADERS, _END, stream, trailers))
        return [stream]

    def forget(self, stream: int) -> None:
        """The stream is over: nothing more is sent on it."""
        if not (self._rooms or self._bodies):
            return
        self._rooms.pop(stream, None)
        body = self._bodies.pop(stream, None)
        if body is not None:
            self.held -= len(body.rest)

    def usual(self, size: int, streams: list[int]) -> list[int]:
        """The peer chose another window for every stream, the open *streams* too (§6.9.2)."""
        for stream in streams:
            self._widen(stream, size - self._usual)
        self._usual = size
        for stream in [each for each, room in self._rooms.items() if room == size]:
            del self._rooms[stream]
        return self._send()

    def grow(self, stream: int, increment: int) -> list[int]:
        """The peer makes room on a stream, or on the connection (0); `Broken` if too much.

        Returns the streams on which everything is sent now.
        """
        if increment == 0:
            raise Broken(Error.PROTOCOL_ERROR, "a window grows by nothing")
        if stream:
            self._widen(stream, increment)
        else:
            self._room += increment
            if self._room > frames.LARGEST_WINDOW:
                raise Broken(Error.FLOW_CONTROL_ERROR, "a window grew too large")
        return self._send() if self._bodies else []

    def _widen(self, stream: int, by: int) -> None:
        room = self._rooms[stream] = self._rooms.get(stream, self._usual) + by
        if room > frames.LARGEST_WINDOW:
            raise Broken(Error.FLOW_CONTROL_ERROR, "a window grew too large")
        body = self._bodies.get(stream)
        if room > 0 and body is not None and not body.in_turn:
            body.in_turn = True
            self._turns.append(stream)

    def _send(self) -> list[int]:
        """Send what there is room for. Who has none of its own is not even looked at.

        With thousands that wait, anything else would let each new one cost as much as all.
        """
        sent = []
        for _ in range(len(self._turns)):
            stream = self._turns.popleft()
            body = self._bodies.get(stream)
            if body is None:
                continue
            if body.rest and self._room <= 0:
                self._turns.appendleft(stream)
                break
            self._send_body(stream, body)
            if body.rest:
                body.in_turn = self._rooms[stream] > 0
                if body.in_turn:
                    self._turns.append(stream)
                continue
            del self._bodies[stream]
            if body.goes_on:
                continue
            if body.trailers:
                self._ready.append(frame(frames.HEADERS, _END, stream, body.trailers))
            sent.append(stream)
        return sent

    def _send_body(self, stream: int, body: _Body) -> None:
        room = self._rooms.get(stream, self._usual)
        while body.rest:
            size = min(len(body.rest), self._room, room, frames.DEFAULT_FRAME)
            if size <= 0:
                break
            last = size == len(body.rest) and not body.trailers and not body.goes_on
            flags = frames.END_STREAM if last else 0
            self._ready.append(frame(frames.DATA, flags, stream, body.rest[:size]))
            body.rest = body.rest[size:]
            self._room -= size
            self.held -= size
            room -= size
        self._rooms[stream] = room


_END = frames.END_HEADERS | frames.END_STREAM
