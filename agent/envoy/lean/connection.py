"""What did the peer say, and what do we answer? One HTTP/2 connection of unary gRPC, no socket.

Bytes in (`receive`), calls out; answers in (`answer`, `fail`), bytes out (`outgoing`). Whatever
the peer does wrong ends its own stream or connection and nothing else (RFC 9113 §5.4).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.envoy.lean import frames, heads
from agent.envoy.lean.frames import HEAD, Broken, Error, frame
from agent.envoy.lean.heads import Head, HeadReader, Malformed
from agent.envoy.lean.messages import LARGEST, Refused, Status, unwrap, wrap
from agent.envoy.lean.outbox import Outbox

STREAMS = 4096
_STREAM_WINDOW = LARGEST + frames.DEFAULT_WINDOW  # a whole message, and never an update for it
_WINDOW = 8 << 20
_GIVE_BACK = _WINDOW // 4
# Bounds of one connection (SECURITY.md 42; CVE-2023-44487, CVE-2024-27316)
_MOST_HELD = 16 << 20  # bytes of messages that are not complete, or not sent yet
_MOST_IDLE = 20_000  # frames between two ticks that bring no call nearer
_MOST_WRONG = 5_000  # streams between two ticks that the peer reset or got wrong

_ALL = 2**31 - 1
_HELLO = frames.settings(
    {
        frames.HEADER_TABLE_SIZE: 0,
        frames.MAX_CONCURRENT_STREAMS: STREAMS,
        frames.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
        frames.MAX_HEADER_LIST_SIZE: heads.LARGEST,
    }
) + frames.window_update(0, _WINDOW - frames.DEFAULT_WINDOW)
_SETTINGS_TAKEN = frame(frames.SETTINGS, frames.ACK, 0)
_FAREWELL = b"attache!"  # the PING whose answer says that our GOAWAY was read
_NOT_GRPC = b"This socket speaks gRPC.\n"


@dataclass(frozen=True, slots=True)
class Call:
    """A complete request: its stream, its path, the seconds it gives us (None: no limit)."""

    stream: int
    path: str
    seconds: float | None
    message: bytes


class _Stream:
    """What is known of one open stream."""

    __slots__ = ("body", "ended", "head", "window")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.body: bytes | bytearray = b""
        self.ended = False  # the peer has said everything
        self.window = _STREAM_WINDOW  # bytes that the peer may still send


class Connection:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self.closing = False  # nothing more is read; close when everything is written
        self._outbox = Outbox()
        self._outbox.put(_HELLO)
        self._rest = b""
        self._streams: dict[int, _Stream] = {}
        self._last = 0  # the newest stream of the peer
        self._ours_reset: deque[int] = deque(maxlen=1024)
        self._reader = HeadReader()
        self._greeted = False  # the preface was read
        self._settled = False  # their SETTINGS were read
        self._block: tuple[int, bool, bytearray] | None = None  # a header block that goes on
        self._window = _WINDOW
        self._taken = 0  # bytes read and not given back
        self._held = 0  # bytes of messages that are not complete
        self._idle = self._wrongs = 0
        self._leaving = False
        self._accepts = _ALL  # streams beyond it are not served any more

    @property
    def open(self) -> int:
        """How many calls are under way."""
        return len(self._streams)

    @property
    def settled(self) -> bool:
        """Whether the peer has introduced itself."""
        return self._settled

    def outgoing(self) -> bytes:
        """What is to be sent now; asked once, it is the transport's."""
        if self._leaving and not self._streams and self._accepts != _ALL:
            self.closing = True
        return self._outbox.take()

    def receive(self, data: bytes) -> list[Call]:
        """Read *data*; return the calls that are complete. Never raises."""
        calls: list[Call] = []
        if self.closing:
            return calls
        try:
            self._read(self._rest + data if self._rest else data, calls)
        except Broken as error:
            self._outbox.put(frames.goaway(self._last, error.code))
            self._streams.clear()
            self.closing = True
        return calls

    def answer(self, stream: int, message: bytes) -> None:
        """Answer a call; one that was cancelled meanwhile is not answered."""
        if stream not in self._streams:
            return
        body = wrap(message)
        if self._outbox.at_once(stream, heads.ANSWER, body, heads.WELL):
            self._forget(stream)
        else:
            self._done(self._outbox.later(stream, heads.ANSWER, body, heads.WELL))

    def fail(self, stream: int, status: Status, why: str) -> None:
        """End a call without an answer. *why* is for whoever reads the client's log."""
        open_stream = self._streams.get(stream)
        if open_stream is None:
            return
        flags = frames.END_HEADERS | frames.END_STREAM
        self._outbox.put(frame(frames.HEADERS, flags, stream, heads.failure(status, why)))
        if not open_stream.ended:
            self._reset(stream, Error.NO_ERROR)  # RFC 9113 §8.1: the rest is not needed
        self._forget(stream)

    def wants(self, stream: int) -> bool:
        """Whether the peer still waits for this call's answer."""
        return stream in self._streams

    def leave(self) -> None:
        """Begin to end the connection: what is under way, and on its way to us, is answered.

        In two steps (RFC 9113 §6.8): the peer hears of it before it hears which stream is the last.
        """
        if not self._leaving:
            self._leaving = True
            self._outbox.put(frames.goaway(_ALL, Error.NO_ERROR))
            self._outbox.put(frame(frames.PING, 0, 0, _FAREWELL))

    def tick(self) -> None:
        """A second went by: what was too much within one is counted anew."""
        self._idle = self._wrongs = 0

    def _read(self, data: bytes, calls: list[Call]) -> None:
        at, size = 0, len(data)
        if not self._greeted:
            if data[:24] != frames.PREFACE[:size]:
                raise Broken(Error.PROTOCOL_ERROR, "no HTTP/2 preface")
            if size < 24:
                self._rest = data
                return
            self._greeted, at = True, 24
        while size - at >= 9:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if end - at - 9 > frames.DEFAULT_FRAME:
                raise Broken(Error.FRAME_SIZE_ERROR, "a frame larger than we take")
            if end > size:
                break
            self._frame(kind, flags, stream & 0x7FFFFFFF, data[at + 9 : end], calls)
            at = end
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, calls: list[Call]) -> None:
        if self._block is not None and (kind != frames.CONTINUATION or stream != self._block[0]):
            raise Broken(Error.PROTOCOL_ERROR, "a header block was interrupted")
        if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise Broken(Error.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if kind == frames.DATA:
            self._data(stream, flags, payload, calls)
        elif kind == frames.HEADERS:
            self._headers(stream, flags, payload, calls)
        else:
            self._count_idle()
            if kind == frames.CONTINUATION:
                self._continuation(flags, payload, calls)
            elif kind in _OF_STREAMS:
                self._of_stream(kind, stream, payload)
            elif kind in _OF_CONNECTION:
                if stream != 0:
                    raise Broken(Error.PROTOCOL_ERROR, "a frame of the connection on a stream")
                self._of_connection(kind, flags, payload)
            elif kind == frames.PUSH_PROMISE:
                raise Broken(Error.PROTOCOL_ERROR, "a client promises nothing")
            # a kind that we do not know is ignored (RFC 9113 §5.5)

    def _headers(self, stream: int, flags: int, payload: bytes, calls: list[Call]) -> None:
        if not stream & 1:
            raise Broken(Error.PROTOCOL_ERROR, "a client's stream has an odd number")
        if flags & frames.PADDED:
            payload = _unpadded(payload)
        if flags & frames.WITH_PRIORITY:
            if len(payload) < 5:
                raise Broken(Error.FRAME_SIZE_ERROR, "a HEADERS frame without its priority")
            _depends_on_another(stream, payload)
            payload = payload[5:]
        ends = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._head(stream, ends, payload, calls)
        else:
            self._block = (stream, ends, bytearray(payload))

    def _continuation(self, flags: int, payload: bytes, calls: list[Call]) -> None:
        if self._block is None:
            raise Broken(Error.PROTOCOL_ERROR, "a continuation of nothing")
        stream, ends, block = self._block
        block += payload
        if len(block) > heads.LARGEST or (not payload and not flags & frames.END_HEADERS):
            raise Broken(Error.ENHANCE_YOUR_CALM, "a header block without end")
        if flags & frames.END_HEADERS:
            self._block = None
            self._head(stream, ends, bytes(block), calls)

    def _head(self, stream: int, ends: bool, block: bytes, calls: list[Call]) -> None:
        if stream <= self._last:
            self._trailers(stream, ends, block, calls)
            return
        self._last = stream
        try:
            head = self._reader.read(block)
        except Malformed:
            self._lose(stream, Error.PROTOCOL_ERROR)
            return
        if stream > self._accepts or len(self._streams) >= STREAMS:
            self._lose(stream, Error.REFUSED_STREAM)
            return
        self._streams[stream] = open_stream = _Stream(head)
        if ends:
            self._complete(stream, open_stream, calls)

    def _trailers(self, stream: int, ends: bool, block: bytes, calls: list[Call]) -> None:
        self._reader.skip(block)
        open_stream = self._streams.get(stream)
        if open_stream is None:
            if stream in self._ours_reset:
                return  # they were on their way
            raise Broken(Error.STREAM_CLOSED, "headers on a stream that is closed")
        if open_stream.ended:
            raise Broken(Error.STREAM_CLOSED, "headers after the end of the stream")
        if ends:
            self._complete(stream, open_stream, calls)
        else:
            self._lose(stream, Error.PROTOCOL_ERROR)

    def _data(self, stream: int, flags: int, payload: bytes, calls: list[Call]) -> None:
        size = len(payload)
        self._take(size)
        if flags & frames.PADDED:
            payload = _unpadded(payload)
        open_stream = self._streams.get(stream)
        if open_stream is None or open_stream.ended:
            self._stray(stream, open_stream)
            return
        open_stream.window -= size
        if open_stream.window < 0:
            self._lose(stream, Error.FLOW_CONTROL_ERROR)
            return
        self._held += len(payload)
        if not open_stream.body:
            open_stream.body = payload
        elif isinstance(open_stream.body, bytes):
            open_stream.body = bytearray(open_stream.body + payload)
        else:
            open_stream.body += payload
        if flags & frames.END_STREAM:
            self._complete(stream, open_stream, calls)
        elif not payload:
            self._count_idle()
        elif self._held + self._outbox.held > _MOST_HELD or len(open_stream.body) > LARGEST + 5:
            self.fail(stream, Status.RESOURCE_EXHAUSTED, "the message is too large")

    def _take(self, size: int) -> None:
        """Count *size* bytes of the connection's window, and give them back early enough."""
        self._window -= size
        if self._window < 0:
            raise Broken(Error.FLOW_CONTROL_ERROR, "more data than the connection's window")
        self._taken += size
        if self._taken >= _GIVE_BACK:
            self._outbox.put(frames.window_update(0, self._taken))
            self._window += self._taken
            self._taken = 0

    def _stray(self, stream: int, open_stream: _Stream | None) -> None:
        """Data for a stream that takes none."""
        if stream > self._last or stream == 0:
            raise Broken(Error.PROTOCOL_ERROR, "data on a stream that was never opened")
        if open_stream is not None or stream not in self._ours_reset:
            self._lose(stream, Error.STREAM_CLOSED)
        # else: what we reset may still have data on its way

    def _complete(self, stream: int, open_stream: _Stream, calls: list[Call]) -> None:
        open_stream.ended = True
        head, body = open_stream.head, open_stream.body
        if head.length is not None and head.length != len(body):
            self._lose(stream, Error.PROTOCOL_ERROR)  # RFC 9113 §8.1.1
            return
        self._held -= len(body)
        open_stream.body = b""
        if not head.grpc:
            self._done(self._outbox.later(stream, heads.NOT_GRPC, _NOT_GRPC, b""))
            return
        try:
            message = unwrap(bytes(body), head.encoding)
        except Refused as refused:
            self.fail(stream, refused.status, str(refused))
            return
        calls.append(Call(stream, head.path, head.seconds, message))

    def _of_stream(self, kind: int, stream: int, payload: bytes) -> None:
        if len(payload) != _OF_STREAMS[kind]:
            raise Broken(Error.FRAME_SIZE_ERROR, "a frame of another length than its kind has")
        if kind == frames.WINDOW_UPDATE:
            self._window_update(stream, frames.read_increment(payload))
        elif stream == 0:
            raise Broken(Error.PROTOCOL_ERROR, "a frame of a stream on none")
        elif kind == frames.PRIORITY:
            _depends_on_another(stream, payload)
        elif stream > self._last:
            raise Broken(Error.PROTOCOL_ERROR, "a reset of a stream that was never opened")
        else:
            self._forget(stream)
            self._count_wrong()

    def _window_update(self, stream: int, increment: int) -> None:
        if stream > self._last:
            raise Broken(Error.PROTOCOL_ERROR, "a window of a stream that was never opened")
        if stream and stream not in self._streams:
            return  # it was answered meanwhile (RFC 9113 §5.1, closed)
        try:
            self._done(self._outbox.grow(stream, increment))
        except Broken as error:
            if stream == 0:
                raise
            self._lose(stream, error.code)

    def _of_connection(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == frames.SETTINGS:
            self._settings(flags, payload)
        elif kind == frames.GOAWAY:
            if len(payload) < 8:
                raise Broken(Error.FRAME_SIZE_ERROR, "a GOAWAY frame of less than 8 bytes")
        elif len(payload) != 8:
            raise Broken(Error.FRAME_SIZE_ERROR, "a PING frame that is not of 8 bytes")
        elif not flags & frames.ACK:
            self._outbox.put(frame(frames.PING, frames.ACK, 0, payload))
        elif self._leaving and payload == _FAREWELL and self._accepts == _ALL:
            self._accepts = self._last
            self._outbox.put(frames.goaway(self._last, Error.NO_ERROR))

    def _settings(self, flags: int, payload: bytes) -> None:
        self._settled = True
        if flags & frames.ACK:
            if payload:
                raise Broken(Error.FRAME_SIZE_ERROR, "an acknowledgement that says something")
            self._reader.no_table()
            return
        values = frames.read_settings(payload)
        self._outbox.put(_SETTINGS_TAKEN)  # before the data for which they make room
        for name, value in values:
            if name == frames.INITIAL_WINDOW_SIZE:
                self._done(self._outbox.usual(value, list(self._streams)))

    def _lose(self, stream: int, code: Error) -> None:
        """End a stream that the peer got wrong (RFC 9113 §5.4.2)."""
        self._reset(stream, code)
        self._forget(stream)
        self._count_wrong()

    def _reset(self, stream: int, code: Error) -> None:
        self._ours_reset.append(stream)
        self._outbox.put(frames.reset(stream, code))

    def _done(self, streams: list[int]) -> None:
        for stream in streams:
            self._forget(stream)

    def _forget(self, stream: int) -> None:
        gone = self._streams.pop(stream, None)
        if gone is not None:
            self._outbox.forget(stream)
            self._held -= len(gone.body)

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle > _MOST_IDLE:
            raise Broken(Error.ENHANCE_YOUR_CALM, "frames that bring no call nearer")

    def _count_wrong(self) -> None:
        self._wrongs += 1
        if self._wrongs > _MOST_WRONG:
            raise Broken(Error.ENHANCE_YOUR_CALM, "too many streams were reset")


_OF_STREAMS = {frames.WINDOW_UPDATE: 4, frames.RST_STREAM: 4, frames.PRIORITY: 5}
_OF_CONNECTION = frozenset({frames.SETTINGS, frames.PING, frames.GOAWAY})


def _unpadded(payload: bytes) -> bytes:
    """*payload* without its padding (RFC 9113 §6.1)."""
    if not payload or payload[0] >= len(payload):
        raise Broken(Error.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def _depends_on_another(stream: int, payload: bytes) -> None:
    """RFC 7540 §5.3.1: a stream cannot depend on itself."""
    if int.from_bytes(payload[:4]) & 0x7FFFFFFF == stream:
        raise Broken(Error.PROTOCOL_ERROR, "a stream depends on itself")
