"""How frames look (RFC 9113 §4, §6). Frames are held against bytes written by hand."""

from __future__ import annotations

import pytest

from agent.envoy.lean import frames
from agent.envoy.lean.frames import Broken, Error

WRITTEN = [
    (frames.frame(frames.DATA, 1, 5, b"ab"), "000002 00 01 00000005 6162"),
    (frames.frame(frames.DATA, 0, 1, b"x" * 16_384)[:9], "004000 00 00 00000001"),
    (frames.settings({4: 65_536, 3: 7}), "00000c 04 00 00000000 0004 00010000 0003 00000007"),
    (frames.window_update(0, 2**31 - 1), "000004 08 00 00000000 7fffffff"),
    (frames.reset(3, Error.REFUSED_STREAM), "000004 03 00 00000003 00000007"),
    (frames.goaway(9, Error.ENHANCE_YOUR_CALM), "000008 07 00 00000000 00000009 0000000b"),
]


@pytest.mark.parametrize(("written", "expected"), WRITTEN, ids=lambda value: str(value)[:20])
def test_a_frame_is_written_as_the_rfc_draws_it(written: bytes, expected: str) -> None:
    assert written == bytes.fromhex(expected)


BAD_SETTINGS = [
    ("half a setting", "0004 0001", Error.FRAME_SIZE_ERROR),
    ("ENABLE_PUSH is 2", "0002 00000002", Error.PROTOCOL_ERROR),
    ("INITIAL_WINDOW_SIZE is 2^31", "0004 80000000", Error.FLOW_CONTROL_ERROR),
    ("MAX_FRAME_SIZE is 16383", "0005 00003fff", Error.PROTOCOL_ERROR),
    ("MAX_FRAME_SIZE is 2^24", "0005 01000000", Error.PROTOCOL_ERROR),
    ("a bad one after a good one", "0003 00000001 0004 ffffffff", Error.FLOW_CONTROL_ERROR),
]


@pytest.mark.parametrize(
    ("name", "payload", "code"), BAD_SETTINGS, ids=[r[0] for r in BAD_SETTINGS]
)
def test_settings_that_may_not_be_are_refused(name: str, payload: str, code: Error) -> None:
    with pytest.raises(Broken) as broken:
        frames.read_settings(bytes.fromhex(payload))
    assert broken.value.code is code


def test_settings_are_read_in_their_order_and_unknown_ones_are_not_refused() -> None:
    payload = bytes.fromhex("0004 00000010 f0f0 00000001 0004 00000020 0005 00ffffff")
    assert frames.read_settings(payload) == [(4, 16), (0xF0F0, 1), (4, 32), (5, 2**24 - 1)]


#         kind, stream, bytes, how it is refused
FORMS = [
    (frames.PRIORITY, 1, 5, None),
    (frames.PRIORITY, 0, 5, Error.PROTOCOL_ERROR),
    (frames.PRIORITY, 1, 4, Error.FRAME_SIZE_ERROR),
    (frames.RST_STREAM, 1, 4, None),
    (frames.RST_STREAM, 0, 4, Error.PROTOCOL_ERROR),
    (frames.RST_STREAM, 1, 5, Error.FRAME_SIZE_ERROR),
    (frames.SETTINGS, 0, 0, None),
    (frames.SETTINGS, 0, 12, None),
    (frames.SETTINGS, 1, 0, Error.PROTOCOL_ERROR),
    (frames.PING, 0, 8, None),
    (frames.PING, 3, 8, Error.PROTOCOL_ERROR),
    (frames.PING, 0, 7, Error.FRAME_SIZE_ERROR),
    (frames.GOAWAY, 0, 8, None),
    (frames.GOAWAY, 0, 80, None),
    (frames.GOAWAY, 1, 8, Error.PROTOCOL_ERROR),
    (frames.GOAWAY, 0, 7, Error.FRAME_SIZE_ERROR),
    (frames.WINDOW_UPDATE, 0, 4, None),
    (frames.WINDOW_UPDATE, 7, 4, None),
    (frames.WINDOW_UPDATE, 0, 3, Error.FRAME_SIZE_ERROR),
    (0xFA, 0, 3, None),
    (0xFA, 3, 3, None),
]


@pytest.mark.parametrize(("kind", "stream", "size", "code"), FORMS)
def test_a_frame_of_a_fixed_form_has_that_form(
    kind: int, stream: int, size: int, code: Error | None
) -> None:
    if code is None:
        frames.refuse_form(kind, stream, bytes(size))
        return
    with pytest.raises(Broken) as broken:
        frames.refuse_form(kind, stream, bytes(size))
    assert broken.value.code is code


PADDED = [("00 6162", b"ab"), ("02 6162 0000", b"ab"), ("00", b""), ("03 000000", b"")]


@pytest.mark.parametrize(("payload", "left"), PADDED)
def test_padding_is_taken_off(payload: str, left: bytes) -> None:
    assert frames.unpadded(bytes.fromhex(payload)) == left


@pytest.mark.parametrize("payload", ["", "01", "03 6162", "ff" * 255])
def test_more_padding_than_payload_is_refused(payload: str) -> None:
    with pytest.raises(Broken) as broken:
        frames.unpadded(bytes.fromhex(payload))
    assert broken.value.code is Error.PROTOCOL_ERROR


def test_the_reserved_bit_of_an_increment_is_ignored() -> None:
    assert frames.read_increment(b"\xff\xff\xff\xff") == 2**31 - 1


def test_a_stream_cannot_depend_on_itself_with_or_without_the_exclusive_bit() -> None:
    frames.refuse_itself(5, b"\x80\0\0\x03\0")
    for payload in (b"\0\0\0\x05\0", b"\x80\0\0\x05\0"):
        with pytest.raises(Broken):
            frames.refuse_itself(5, payload)
