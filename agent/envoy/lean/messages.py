"""What is in a gRPC message's envelope, and how does a call end (gRPC over HTTP/2)?"""

from __future__ import annotations

import zlib
from enum import IntEnum

LARGEST = 1 << 20  # bytes of one message, as it is after decompression


Metadata = tuple[tuple[str, str], ...]
"""Headers of gRPC's own, in lower case."""


class Status(IntEnum):
    """How a call ended, as far as this transport and its methods say so."""

    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Refused(Exception):
    """A message that cannot be taken: the call ends with this status."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


class Failed(Exception):
    """A method's own refusal: the call ends with this status, sentence and trailing metadata."""

    def __init__(self, status: Status, why: str, metadata: Metadata = ()) -> None:
        super().__init__(why)
        self.status = status
        self.metadata = metadata


def unwrap(body: bytes, encoding: str) -> bytes:
    """The one message in a unary call's body; `Refused` where there is not exactly one."""
    if len(body) < 5 or int.from_bytes(body[1:5]) != len(body) - 5:
        raise Refused(Status.INTERNAL, "a unary call holds exactly one whole message")
    if len(body) > LARGEST + 5:
        raise Refused(Status.RESOURCE_EXHAUSTED, "the message is too large")
    if body[0] == 0:
        return body[5:]
    if body[0] != 1 or encoding == "identity":
        raise Refused(Status.INTERNAL, "the message is compressed, and nothing says how")
    if encoding not in ("gzip", "deflate"):
        raise Refused(Status.UNIMPLEMENTED, "messages are compressed with gzip or not at all")
    return _inflated(body[5:], 31 if encoding == "gzip" else 15)


def _inflated(data: bytes, window: int) -> bytes:
    machine = zlib.decompressobj(window)
    try:
        message = machine.decompress(data, LARGEST)
    except zlib.error:
        raise Refused(Status.INTERNAL, "the message cannot be decompressed") from None
    if machine.unconsumed_tail:
        raise Refused(Status.RESOURCE_EXHAUSTED, "the message is too large")
    if not machine.eof or machine.unused_data:
        raise Refused(Status.INTERNAL, "the message cannot be decompressed")
    return message


def wrap(message: bytes) -> bytes:
    """*message* in its envelope, not compressed."""
    return b"\x00" + len(message).to_bytes(4) + message
