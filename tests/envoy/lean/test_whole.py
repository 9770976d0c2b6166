"""A call that is read in one go is what it would be if it were read frame by frame."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.envoy.lean.streams import Call
from tests.envoy.lean.fake_peer import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    RST,
    SETTINGS,
    WITH_PRIORITY,
    FakePeer,
    Frame,
    envelope,
    frame,
    head,
    long,
    split,
)

TABLES = FakePeer()
USUAL = TABLES.block(head())
BLOCKS = [
    USUAL,
    TABLES.block(head(("grpc-timeout", "200m"))),
    TABLES.block(head(("content-length", "8"))),
    TABLES.block(head(("grpc-encoding", "gzip"))),
    TABLES.block(head(without="content-type")),
    TABLES.block(head(without=":path")),
    b"\x80",
]
GOOD = envelope(b"abc")
BODIES = [
    GOOD,
    envelope(b"abc", 1),
    GOOD + b"x",
    GOOD[:-1],
    b"",
    b"\0\0\0",
    bytes(5),
    bytes(16_385),
]

GREETING = 20  # the last stream that it took, and one

Piece = tuple[int, int, int, bytes]

streams = st.sampled_from([1, 3, 5, 7, 9, 2, 0, 0x80000001 | 10])
head_flags = st.sampled_from([END_HEADERS] * 6 + [0, END_HEADERS | END_STREAM, WITH_PRIORITY | 4])
data_flags = st.sampled_from([END_STREAM] * 6 + [0, PADDED, PADDED | END_STREAM, 0x40])
opened = st.tuples(st.just(HEADERS), head_flags, streams, st.sampled_from([USUAL] * 8 + BLOCKS))
sent = st.tuples(st.just(DATA), data_flags, streams, st.sampled_from([GOOD] * 8 + BODIES))
other = st.tuples(
    st.sampled_from([CONTINUATION, RST, SETTINGS, 0x42]), st.just(0), streams, st.just(long(8))
)
whole = st.builds(
    lambda stream, block, body: [
        (HEADERS, END_HEADERS, stream, block),
        (DATA, END_STREAM, stream, body),
    ],
    streams,
    st.sampled_from([USUAL] * 8 + BLOCKS),
    st.sampled_from([GOOD] * 8 + BODIES),
)
talks = st.lists(
    st.one_of(whole, whole, whole, st.lists(st.one_of(opened, sent, other), max_size=3)),
    max_size=8,
).map(lambda parts: [piece for part in parts for piece in part])


def told(pieces: list[bytes], greeted: bool) -> tuple[list[Call], list[Frame], bool, int, int]:
    """What a connection makes of *pieces*, each a read of its own."""
    peer = FakePeer(settings=b"" if greeted else None)
    if greeted:  # what it has read twice it knows
        for number, block in enumerate(BLOCKS[:5] * 2):
            peer.say(frame(HEADERS, END_HEADERS, 1 + 2 * number, block))
            peer.say(frame(RST, 0, 1 + 2 * number, long(8)))
        peer.connection.outgoing()
    calls = [call for piece in pieces for call in peer.say(piece)]
    for call in calls:
        peer.connection.answer(call.stream, b"answer")
    heard = split(peer.connection.outgoing())
    return calls, heard, peer.connection.closing, peer.connection.open, peer.connection.held


def later(piece: Piece) -> bytes:
    """*piece* on a stream after those of the greeting."""
    kind, flags, stream, payload = piece
    return frame(kind, flags, stream + GREETING if stream else 0, payload)


@example([(HEADERS, END_HEADERS, 1, USUAL), (DATA, 0, 1, GOOD)])
@example([(HEADERS, END_HEADERS, 1, USUAL), (0x42, END_STREAM, 1, GOOD)])
@example([(HEADERS, 0, 1, USUAL), (HEADERS, END_HEADERS, 3, USUAL), (DATA, 1, 3, GOOD)])
@settings(max_examples=400)
@given(talks)
@example([(HEADERS, END_HEADERS, 1, USUAL), (DATA, END_STREAM, 1, GOOD)])
@example([(HEADERS, END_HEADERS, 1, USUAL), (DATA, END_STREAM, 1, GOOD), (DATA, 1, 1, GOOD)])
@example([(HEADERS, END_HEADERS, 1, USUAL), (HEADERS, 4, 3, USUAL), (DATA, END_STREAM, 1, GOOD)])
@example([(HEADERS, END_HEADERS, 1, USUAL), (DATA, END_STREAM, 1, envelope(b"abc", 1))])
@example([(HEADERS, END_HEADERS, 1, BLOCKS[2]), (DATA, END_STREAM, 1, GOOD)])
@example([(HEADERS, END_HEADERS, 1, BLOCKS[2]), (DATA, END_STREAM, 1, envelope(b"a"))])
@example([(HEADERS, END_HEADERS, 1, BLOCKS[4]), (DATA, END_STREAM, 1, GOOD)])
def test_it_makes_no_difference_how_much_comes_with_one_read(pieces: list[Piece]) -> None:
    frames = [later(piece) for piece in pieces]
    assert told([b"".join(frames)], greeted=True) == told(frames, greeted=True)


def test_a_read_may_end_anywhere() -> None:
    call = frame(HEADERS, END_HEADERS, 21, USUAL) + frame(DATA, END_STREAM, 21, GOOD)
    expected = told([call], greeted=True)
    for at in range(1, len(call)):
        assert told([call[:at], call[at:]], greeted=True) == expected


def test_a_call_in_one_go_is_answered_and_held_no_longer() -> None:
    pieces = frame(HEADERS, END_HEADERS, 21, USUAL) + frame(DATA, END_STREAM, 21, GOOD)
    calls, heard, closing, left, held = told([pieces], greeted=True)
    assert [(call.stream, call.message) for call in calls] == [(21, b"abc")]
    assert [each.stream for each in heard] == [21, 21, 21]
    assert (closing, left, held) == (False, 0, 0)


def test_nothing_is_read_before_the_settings() -> None:
    call = frame(HEADERS, END_HEADERS, 1, USUAL) + frame(DATA, END_STREAM, 1, GOOD)
    calls, _, closing, _, _ = told([PREFACE + call], greeted=False)
    assert (calls, closing) == ([], True)
