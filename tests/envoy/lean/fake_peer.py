"""The other side of a connection, with no socket: says what it is told to, reads what comes back.

Its frames are packed and read here, and its header blocks by the `hpack` library: nothing of the
code under test takes part.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from hpack import Decoder, Encoder

from agent.envoy.lean.connection import Connection
from agent.envoy.lean.streams import Call

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32

Pairs = list[tuple[str, str]]


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of a RST_STREAM or GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4])

    @property
    def number(self) -> int:
        """The first four bytes: a GOAWAY's last stream, a WINDOW_UPDATE's increment."""
        return int.from_bytes(self.payload[:4])


@dataclass
class Answer:
    """What came back on one stream."""

    headers: dict[str, str]
    message: bytes | None


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">L", len(payload))[1:] + struct.pack(">BBL", kind, flags, stream) + payload


def long(number: int) -> bytes:
    return struct.pack(">L", number)


def setting(name: int, value: int) -> bytes:
    return struct.pack(">HL", name, value)


def split(data: bytes) -> list[Frame]:
    """The frames in *data*, which ends with one."""
    frames, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3])
        kind, flags, stream = struct.unpack_from(">BBL", data, at + 3)
        at += 9 + size
        assert at <= len(data), "half a frame was sent"
        frames.append(Frame(kind, flags, stream, data[at - size : at]))
    return frames


def envelope(message: bytes, compressed: int = 0) -> bytes:
    """A gRPC message's length-prefixed form."""
    return struct.pack(">BL", compressed, len(message)) + message


def head(*more: tuple[str, str], without: str = "", path: str = "/s/M") -> Pairs:
    """A gRPC request's headers: with *more*, but for the one called *without*."""
    usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "agent"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    return [pair for pair in usual if pair[0] != without] + list(more)


def opening(peer: FakePeer, stream: int, flags: int = END_HEADERS) -> bytes:
    """HEADERS of a call whose message is still to come."""
    return frame(HEADERS, flags, stream, peer.block(head()))


class FakePeer:
    """Talks to a `Connection`. *settings*: the payload of its SETTINGS; None: it sends nothing yet.

    It does without a header table, as Envoy does once it was told.
    """

    def __init__(
        self, settings: bytes | None = b"", table: int = 0, connection: Connection | None = None
    ) -> None:
        self.connection = connection or Connection()
        self.encoder = Encoder()
        self.encoder.header_table_size = table
        self._decoder = Decoder()
        self.greeting = split(self.connection.outgoing())
        if settings is not None:
            self.say(PREFACE, frame(SETTINGS, 0, 0, settings), frame(SETTINGS, ACK))

    def say(self, *pieces: bytes) -> list[Call]:
        """Send *pieces* in one go; return the calls that they complete."""
        return self.connection.receive(b"".join(pieces))

    def block(self, pairs: Pairs) -> bytes:
        """A header block."""
        encoded: bytes = self.encoder.encode(pairs)
        return encoded

    def ask(
        self, stream: int, message: bytes = b"m", pairs: Pairs | None = None, compressed: int = 0
    ) -> bytes:
        """The bytes of one whole call."""
        opening = frame(
            HEADERS, END_HEADERS, stream, self.block(head() if pairs is None else pairs)
        )
        return opening + frame(DATA, END_STREAM, stream, envelope(message, compressed))

    def hear(self) -> list[Frame]:
        """The frames that the other side has sent since."""
        return split(self.connection.outgoing())

    def answers(self, heard: list[Frame] | None = None) -> dict[int, Answer]:
        """What came back, by stream."""
        found: dict[int, Answer] = {}
        for each in self.hear() if heard is None else heard:
            if each.kind == HEADERS:
                answer = found.setdefault(each.stream, Answer({}, None))
                answer.headers |= {str(k): str(v) for k, v in self._decoder.decode(each.payload)}
            elif each.kind == DATA:
                answer = found[each.stream]
                answer.message = (answer.message or b"") + each.payload
        return found

    def goaway(self) -> int | None:
        """The error code with which the other side left, None where it did not."""
        gone = [each for each in self.hear() if each.kind == GOAWAY]
        return gone[-1].code if gone else None

    def resets(self) -> dict[int, int]:
        """Which streams the other side reset, and by which code."""
        return {each.stream: each.code for each in self.hear() if each.kind == RST}
