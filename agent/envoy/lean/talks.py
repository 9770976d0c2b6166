"""What is said on a stream that goes on both ways? A connection that knows one such method.

The unary core reads the frames; here a message is heard as soon as it is whole, and answers follow
each other until one side ends the stream. Its window is given back as messages are read.
"""

from __future__ import annotations

from agent.envoy.lean import frames, heads
from agent.envoy.lean.blocks import Block
from agent.envoy.lean.connection import Connection
from agent.envoy.lean.frames import Error, frame
from agent.envoy.lean.heads import Head
from agent.envoy.lean.messages import LARGEST, Metadata, Refused, Status, unwrap, wrap
from agent.envoy.lean.streams import WINDOW, Call, Stream

# Of a window that is larger than any message by a frame's default: what is missing of it leaves
# room for the longest one, so that a peer never waits and none can send too much.
_GIVE_BACK = frames.DEFAULT_WINDOW // 2

Heard = tuple[int, bytes | None]
"""A stream, and a message that came on it; None once the peer says no more on it."""


class Talk(Stream):
    """One stream that goes on. `begun`: our headers were sent; `over`: its end was heard."""

    __slots__ = ("begun", "over")

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.begun = False
        self.over = False


class TalkingConnection(Connection):
    """The server's side of one connection, on which only the method at *path* is called.

    `heard` is the caller's to empty after each `receive`, `say` and `end`.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self.heard: list[Heard] = []

    def say(self, stream: int, message: bytes) -> None:
        """Send *message* as soon as there is room; nobody hears it where the stream is over."""
        talk = self._streams.get(stream)
        if not isinstance(talk, Talk):
            return
        if not talk.begun:
            talk.begun = True
            self._outbox.put(frame(frames.HEADERS, frames.END_HEADERS, stream, heads.ANSWER))
        self._outbox.go_on(stream, wrap(message))

    def end(self, stream: int) -> None:
        """Say no more, once what was said before is sent."""
        talk = self._streams.get(stream)
        if isinstance(talk, Talk):
            trailers = heads.WELL if talk.begun else heads.failure(0, "")
            self._done(self._outbox.finish(stream, trailers))

    def fail(self, stream: int, status: Status, why: str, metadata: Metadata = ()) -> None:
        """See `Connection.fail`; what was said before and has found no room is not sent."""
        talk = self._streams.get(stream)
        if not isinstance(talk, Talk) or not talk.begun:
            super().fail(stream, status, why, metadata)
            return
        self._outbox.forget(stream)
        self._done(self._outbox.finish(stream, heads.trailers(status, why, metadata)))

    def _whole(self, stream: int, data: bytes, at: int, end: int, calls: list[Call]) -> int:
        return 0  # nothing here is a call, even where it looks like one

    def _head(self, whole: Block, calls: list[Call]) -> None:
        super()._head(whole, calls)
        stream = whole[0]
        open_stream = self._streams.get(stream)
        if open_stream is None or isinstance(open_stream, Talk) or not open_stream.head.grpc:
            return
        if open_stream.head.path == self._path:
            self._streams[stream] = Talk(open_stream.head)
        else:  # at once: the end of another stream might never come
            self.fail(stream, Status.UNIMPLEMENTED, "there is no such method")

    def _data(self, stream: int, flags: int, payload: bytes, calls: list[Call]) -> None:
        talk = self._streams.get(stream)
        if not isinstance(talk, Talk) or talk.ended:
            super()._data(stream, flags, payload, calls)
            return
        talk.window -= len(payload)
        if given := self._intake.take(len(payload)):
            self._outbox.put(frames.window_update(0, given))
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        if not payload:
            self._intake.idle()
        self._intake.held += len(payload)
        talk.add(payload)
        try:
            self._listen(stream, talk)
        except Refused as refused:
            self.fail(stream, refused.status, str(refused))
            return
        if flags & frames.END_STREAM:
            self._complete(stream, talk, calls)

    def _listen(self, stream: int, talk: Talk) -> None:
        """Hear the messages that are whole; `Refused` at one that cannot be taken."""
        body, at = bytes(talk.body), 0
        while len(body) - at >= 5:
            end = at + 5 + int.from_bytes(body[at + 1 : at + 5])
            if end - at - 5 > LARGEST:
                raise Refused(Status.RESOURCE_EXHAUSTED, "the message is too large")
            if end > len(body):
                break
            self.heard.append((stream, unwrap(body[at:end], talk.head.encoding)))
            at = end
        self._intake.held -= at
        talk.body = body[at:]
        missing = WINDOW - len(talk.body) - talk.window
        if missing > _GIVE_BACK:
            talk.window += missing
            self._outbox.put(frames.window_update(stream, missing))

    def _complete(self, stream: int, open_stream: Stream, calls: list[Call]) -> None:
        if not isinstance(open_stream, Talk):
            super()._complete(stream, open_stream, calls)
            return
        open_stream.ended = True
        if open_stream.body:
            self.fail(stream, Status.INTERNAL, "the stream ended within a message")
        else:
            self._over(stream, open_stream)

    def _done(self, streams: list[int]) -> None:
        for stream in streams:
            open_stream = self._streams.get(stream)
            if isinstance(open_stream, Talk) and not open_stream.ended:
                self._reset(stream, Error.NO_ERROR)  # RFC 9113 §8.1: the rest is not needed
            self._forget(stream)

    def _forget(self, stream: int) -> None:
        open_stream = self._streams.get(stream)
        super()._forget(stream)
        if isinstance(open_stream, Talk):
            self._over(stream, open_stream)

    def _over(self, stream: int, talk: Talk) -> None:
        if not talk.over:
            talk.over = True
            self.heard.append((stream, None))
