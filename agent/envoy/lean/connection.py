"""What did the peer say, and what do we answer? One HTTP/2 connection of unary gRPC, no socket.

Bytes in (`receive`), calls out; answers in (`answer`, `fail`), bytes out (`outgoing`). Whatever
the peer does wrong ends its own stream or connection and nothing else (RFC 9113 §5.4).
"""

from __future__ import annotations

import struct
from collections import deque

from agent.envoy.lean import frames, heads, intake, streams
from agent.envoy.lean.blocks import Block, Blocks
from agent.envoy.lean.farewell import Farewell
from agent.envoy.lean.frames import HEAD, Broken, Error, frame
from agent.envoy.lean.heads import HeadReader, Malformed
from agent.envoy.lean.intake import Intake
from agent.envoy.lean.messages import Metadata, Refused, Status, wrap
from agent.envoy.lean.outbox import Outbox
from agent.envoy.lean.streams import Call, Stream

STREAMS = 4096
_MOST_HELD = 8 << 20  # bytes; see `held`

_HELLO = frames.settings(
    {
        frames.HEADER_TABLE_SIZE: 0,
        frames.MAX_CONCURRENT_STREAMS: STREAMS,
        frames.INITIAL_WINDOW_SIZE: streams.WINDOW,
        frames.MAX_HEADER_LIST_SIZE: heads.LARGEST,
    }
) + frames.window_update(0, intake.WINDOW - frames.DEFAULT_WINDOW)
_SETTINGS_TAKEN = frame(frames.SETTINGS, frames.ACK, 0)
_DATA = struct.Struct(">HBBBLBL")
"""The head of a frame and of the message in it: whether that is compressed, and its length."""
_ASKED = streams.asked()
_NOT_GRPC = b"This socket speaks gRPC.\n"


class Connection:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self.closing = False  # nothing more is read; close when everything is written
        self._outbox = Outbox()
        self._outbox.put(_HELLO)
        self._rest = b""
        self._streams: dict[int, Stream] = {}
        self._last = 0  # the newest stream of the peer
        self._ours_reset: deque[int] = deque(maxlen=1024)
        self._reader = HeadReader()
        self._greeted = False  # the preface was read
        self._settled = False  # their SETTINGS were read
        self._blocks = Blocks()
        self._intake = Intake()
        self._farewell = Farewell()

    @property
    def open(self) -> int:
        """How many calls are under way."""
        return len(self._streams)

    @property
    def held(self) -> int:
        """Bytes of messages that are not complete, or not sent yet for want of a window."""
        return self._intake.held + self._outbox.held

    @property
    def settled(self) -> bool:
        """Whether the peer has introduced itself."""
        return self._settled

    def outgoing(self) -> bytes:
        """What is to be sent now; asked once, it is the transport's."""
        if self._farewell.said and not self._streams:
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
        elif self.held + len(body) > _MOST_HELD:
            self.fail(stream, Status.RESOURCE_EXHAUSTED, "too much waits to be read")
        else:
            self._done(self._outbox.later(stream, heads.ANSWER, body, heads.WELL))

    def fail(self, stream: int, status: Status, why: str, metadata: Metadata = ()) -> None:
        """End a call without an answer. *why* is for whoever reads the client's log."""
        open_stream = self._streams.get(stream)
        if open_stream is None:
            return
        flags = frames.END_HEADERS | frames.END_STREAM
        self._outbox.put(frame(frames.HEADERS, flags, stream, heads.failure(status, why, metadata)))
        if not open_stream.ended:
            self._reset(stream, Error.NO_ERROR)  # RFC 9113 §8.1: the rest is not needed
        self._forget(stream)

    def wants(self, stream: int) -> bool:
        """Whether the peer still waits for this call's answer."""
        return stream in self._streams

    def leave(self) -> None:
        """Begin to end the connection: what is under way, and on its way to us, is answered."""
        self._outbox.put(self._farewell.begin())

    def tick(self) -> None:
        """A second went by: what was too much within one is counted anew."""
        self._intake.tick()

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
            if kind == frames.HEADERS and flags == frames.END_HEADERS and end + 14 <= size:
                past = self._whole(stream, data, at + 9, end, calls)
                if past:
                    at = past
                    continue
            self._frame(kind, flags, stream & 0x7FFFFFFF, data[at + 9 : end], calls)
            at = end
        self._rest = data[at:]

    def _whole(self, stream: int, data: bytes, at: int, end: int, calls: list[Call]) -> int:
        """Read a call that came as nearly all do: a header block that was read before, and one
        frame with the one message, not compressed.

        *at* and *end* are the block's. Returns where the call ends; 0 where it is any other, or
        wrong: nothing has happened then, and it is read frame by frame.
        """
        high, low, kind, flags, same, compressed, length = _DATA.unpack_from(data, end)
        size = high << 8 | low
        past: int = end + 9 + size
        if (
            kind != frames.DATA
            or flags != frames.END_STREAM
            or same != stream
            or compressed
            or length != size - 5
            or size > frames.DEFAULT_FRAME
            or past > len(data)
        ):
            return 0
        head = self._reader.known(data[at:end])
        if (
            head is None
            or not head.grpc
            or head.length is not None
            or not self._last < stream <= self._farewell.accepts
            or not stream & 1
            or len(self._streams) >= STREAMS
            or self._blocks.open
        ):
            return 0
        if given := self._intake.take(size):
            self._outbox.put(frames.window_update(0, given))
        self._last = stream
        self._streams[stream] = _ASKED
        calls.append(Call(stream, head.path, head.seconds, data[end + 14 : past], head.metadata))
        return past

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, calls: list[Call]) -> None:
        if self._blocks.open and (kind != frames.CONTINUATION or stream != self._blocks.open):
            raise Broken(Error.PROTOCOL_ERROR, "a header block was interrupted")
        if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise Broken(Error.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if kind == frames.DATA:
            self._data(stream, flags, payload, calls)
        elif kind == frames.HEADERS:
            if block := self._blocks.begin(stream, flags, payload):
                self._head(block, calls)
        elif kind == frames.CONTINUATION:
            self._intake.idle()
            if block := self._blocks.go_on(flags, payload):
                self._head(block, calls)
        else:
            self._intake.idle()
            self._control(kind, flags, stream, payload)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame that brings no call: other kinds than these are ignored (RFC 9113 §5.5)."""
        frames.refuse_form(kind, stream, payload)
        if kind == frames.WINDOW_UPDATE:
            self._window_update(stream, frames.read_increment(payload))
        elif kind == frames.RST_STREAM:
            self._was_reset(stream)
        elif kind == frames.SETTINGS:
            self._settings(flags, payload)
        elif kind == frames.PING:
            self._ping(flags, payload)
        elif kind == frames.PRIORITY:
            frames.refuse_itself(stream, payload)
        elif kind == frames.PUSH_PROMISE:
            raise Broken(Error.PROTOCOL_ERROR, "a client promises nothing")
        # GOAWAY: it opens no more streams; other kinds are ignored (RFC 9113 §5.5)

    def _head(self, whole: Block, calls: list[Call]) -> None:
        stream, ends, block = whole
        if stream <= self._last:
            self._trailers(stream, ends, block, calls)
            return
        self._last = stream
        try:
            head = self._reader.read(block)
        except Malformed:
            self._lose(stream, Error.PROTOCOL_ERROR)
            return
        if stream > self._farewell.accepts or len(self._streams) >= STREAMS:
            self._lose(stream, Error.REFUSED_STREAM)
            return
        self._streams[stream] = open_stream = Stream(head)
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
        if given := self._intake.take(size):
            self._outbox.put(frames.window_update(0, given))
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        open_stream = self._streams.get(stream)
        if open_stream is None or open_stream.ended:
            self._stray(stream, open_stream)
            return
        open_stream.window -= size
        if open_stream.window < 0:
            self._lose(stream, Error.FLOW_CONTROL_ERROR)
            return
        self._intake.held += len(payload)
        open_stream.add(payload)
        if flags & frames.END_STREAM:
            self._complete(stream, open_stream, calls)
        elif not payload:
            self._intake.idle()
        elif self.held > _MOST_HELD or open_stream.too_long:
            self.fail(stream, Status.RESOURCE_EXHAUSTED, "the message is too large")

    def _stray(self, stream: int, open_stream: Stream | None) -> None:
        """Data for a stream that takes none."""
        if stream > self._last or stream == 0:
            raise Broken(Error.PROTOCOL_ERROR, "data on a stream that was never opened")
        if open_stream is not None or stream not in self._ours_reset:
            self._lose(stream, Error.STREAM_CLOSED)
        else:
            self._intake.idle()  # what we reset may still have data on its way

    def _complete(self, stream: int, open_stream: Stream, calls: list[Call]) -> None:
        open_stream.ended = True
        try:
            open_stream.refuse_length()
        except Malformed:
            self._lose(stream, Error.PROTOCOL_ERROR)
            return
        self._intake.held -= len(open_stream.body)
        if not open_stream.head.grpc:
            open_stream.body = b""
            self._done(self._outbox.later(stream, heads.NOT_GRPC, _NOT_GRPC, b""))
            return
        try:
            calls.append(open_stream.call(stream))
        except Refused as refused:
            self.fail(stream, refused.status, str(refused))

    def _was_reset(self, stream: int) -> None:
        if stream > self._last:
            raise Broken(Error.PROTOCOL_ERROR, "a reset of a stream that was never opened")
        self._forget(stream)
        self._intake.wrong()

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

    def _ping(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            self._outbox.put(self._farewell.answered(payload, self._last))
        else:
            self._outbox.put(frame(frames.PING, frames.ACK, 0, payload))

    def _settings(self, flags: int, payload: bytes) -> None:
        self._settled = True
        if flags & frames.ACK:
            if payload:
                raise Broken(Error.FRAME_SIZE_ERROR, "an acknowledgement that says something")
            self._reader.no_table()
            return
        values = dict(frames.read_settings(payload))
        self._outbox.put(_SETTINGS_TAKEN)  # before the data for which they make room
        usual = values.get(frames.INITIAL_WINDOW_SIZE)  # the last one, should there be several
        if usual is not None:
            self._intake.idle(len(self._streams) // 8)  # each of them is looked at
            self._done(self._outbox.usual(usual, list(self._streams)))

    def _lose(self, stream: int, code: Error) -> None:
        """End a stream that the peer got wrong (RFC 9113 §5.4.2)."""
        self._reset(stream, code)
        self._forget(stream)
        self._intake.wrong()

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
            self._intake.held -= len(gone.body)
