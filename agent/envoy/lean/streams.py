"""What has the peer said on one stream so far, and which call is it when it is whole?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.envoy.lean import frames
from agent.envoy.lean.heads import Head, Malformed
from agent.envoy.lean.messages import LARGEST, unwrap

WINDOW = LARGEST + frames.DEFAULT_WINDOW
"""Bytes that a peer may send on one stream: a whole message, so there is never an update."""


class Call(NamedTuple):
    """A complete request: its stream, its path, the seconds it gives us (None: no limit).

    `metadata` are its headers.
    """

    stream: int
    path: str
    seconds: float | None
    message: bytes
    metadata: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Call({self.path} on stream {self.stream}, {len(self.message)} bytes)"


class Stream:
    """One open stream. `ended`: the peer has said everything."""

    __slots__ = ("body", "ended", "head", "window")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.body: bytes | bytearray = b""
        self.ended = False
        self.window = WINDOW

    @property
    def too_long(self) -> bool:
        """Whether no message is that long, envelope included."""
        return len(self.body) > LARGEST + 5

    def add(self, payload: bytes) -> None:
        """Keep a piece of the message; most come in one, which is not copied."""
        if not self.body:
            self.body = payload
        elif isinstance(self.body, bytes):
            self.body = bytearray(self.body + payload)
        else:
            self.body += payload

    def refuse_length(self) -> None:
        """`Malformed` where the body is not as long as its head says (RFC 9113 §8.1.1)."""
        if self.head.length is not None and self.head.length != len(self.body):
            raise Malformed("a body of another length than announced")

    def call(self, number: int) -> Call:
        """The call that the peer made on stream *number*; `Refused` where it is none.

        The message is the call's from then on, and no longer held here.
        """
        body, self.body = bytes(self.body), b""
        head = self.head
        message = unwrap(body, head.encoding)
        return Call(number, head.path, head.seconds, message, head.metadata)


def asked() -> Stream:
    """A stream whose call was made in one go: everything is said, and nothing of it held."""
    stream = Stream(Head("", True, None, "identity", None))
    stream.ended = True
    return stream
