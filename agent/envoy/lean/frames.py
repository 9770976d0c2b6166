"""How do HTTP/2 frames look on the wire (RFC 9113 §4, §6)? Numbers, and those that we write."""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION = 9

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6

LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384

# RFC 9113 §6.3 to §6.9: the frames of a fixed form, the bytes of their payload (GOAWAY: at least),
# and whether they speak of a stream (True), of the connection (False) or of either (None).
_FORMS: dict[int, tuple[int, bool | None]] = {
    PRIORITY: (5, True),
    RST_STREAM: (4, True),
    SETTINGS: (-1, False),
    PING: (8, False),
    GOAWAY: (8, False),
    WINDOW_UPDATE: (4, None),
}

HEAD = struct.Struct(">HBBBL")
"""A frame's nine bytes: length (16 and 8 bits), type, flags, stream."""

_SETTING = struct.Struct(">HL")
_LONG = struct.Struct(">L")
_GOAWAY = struct.Struct(">LL")


class Error(IntEnum):
    """Error codes (RFC 9113 §7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class Broken(Exception):
    """The peer broke the connection's rules: it ends with this error code (RFC 9113 §5.4.1)."""

    def __init__(self, code: Error, why: str) -> None:
        super().__init__(why)
        self.code = code


def refuse_form(kind: int, stream: int, payload: bytes) -> None:
    """`Broken` where a frame of this *kind* is not on such a stream, or not of such a length."""
    size, of_stream = _FORMS.get(kind, (-1, None))
    if of_stream is not None and of_stream is not (stream != 0):
        raise Broken(Error.PROTOCOL_ERROR, "a frame of a stream on none, or the other way round")
    if size >= 0 and len(payload) != size and (kind != GOAWAY or len(payload) < size):
        raise Broken(Error.FRAME_SIZE_ERROR, "a frame of another length than its kind has")


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """One frame. *payload* is at most `DEFAULT_FRAME` bytes: every peer takes that much."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(_SETTING.pack(name, value) for name, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The values of a SETTINGS frame, in their order; `Broken` where one may not be."""
    if len(payload) % 6:
        raise Broken(Error.FRAME_SIZE_ERROR, "a SETTINGS frame of odd length")
    pairs = list(_SETTING.iter_unpack(payload))
    for name, value in pairs:
        if name == ENABLE_PUSH and value > 1:
            raise Broken(Error.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        if name == INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise Broken(Error.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
        if name == MAX_FRAME_SIZE and not DEFAULT_FRAME <= value < 2**24:
            raise Broken(Error.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of bounds")
    return pairs


def window_update(stream: int, increment: int) -> bytes:
    """Give back *increment* bytes of a stream's window, or of the connection's (0)."""
    return frame(WINDOW_UPDATE, 0, stream, _LONG.pack(increment))


def read_increment(payload: bytes) -> int:
    """The increment of a WINDOW_UPDATE frame; 0 is the caller's to refuse."""
    increment: int = _LONG.unpack(payload)[0] & 0x7FFFFFFF
    return increment


def reset(stream: int, code: Error) -> bytes:
    """End a stream at once."""
    return frame(RST_STREAM, 0, stream, _LONG.pack(code))


def goaway(last: int, code: Error) -> bytes:
    """End the connection; streams up to *last* are still served."""
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last, code))


def unpadded(payload: bytes) -> bytes:
    """*payload* without its padding (RFC 9113 §6.1)."""
    if not payload or payload[0] >= len(payload):
        raise Broken(Error.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def refuse_itself(stream: int, payload: bytes) -> None:
    """`Broken` where *payload* begins with a dependency on its own stream (RFC 7540 §5.3.1)."""
    if int.from_bytes(payload[:4]) & 0x7FFFFFFF == stream:
        raise Broken(Error.PROTOCOL_ERROR, "a stream depends on itself")
