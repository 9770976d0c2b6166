"""How much may be sent (RFC 9113 §5.2, §6.9)."""

from __future__ import annotations

import pytest

from agent.envoy.lean.frames import Broken, Error
from agent.envoy.lean.outbox import Outbox
from tests.envoy.lean.fake_peer import DATA, END_STREAM, HEADERS, Frame, split

WINDOW, PIECE = 65_535, 16_384


def data(outbox: Outbox) -> dict[int, int]:
    """Bytes of DATA that became ready, by stream."""
    sent: dict[int, int] = {}
    for each in split(outbox.take()):
        if each.kind == DATA:
            sent[each.stream] = sent.get(each.stream, 0) + len(each.payload)
    return sent


def test_a_small_answer_leaves_in_one_piece() -> None:
    outbox = Outbox()
    assert outbox.at_once(1, b"head", b"body", b"trailers")
    assert split(outbox.take()) == [
        Frame(HEADERS, 4, 1, b"head"),
        Frame(DATA, 0, 1, b"body"),
        Frame(HEADERS, 5, 1, b"trailers"),
    ]
    assert outbox.take() == b""


def test_what_was_answered_at_once_is_taken_from_the_connections_window() -> None:
    outbox = Outbox()
    for stream in range(1, 9, 2):
        assert outbox.at_once(stream, b"", bytes(16_000), b"")
    assert not outbox.at_once(9, b"", bytes(1536), b"")
    assert outbox.at_once(9, b"", bytes(1535), b"")
    assert not outbox.at_once(11, b"", b"x", b"")


@pytest.mark.parametrize("size", [PIECE + 1, WINDOW + 1])
def test_what_fits_into_no_frame_does_not_leave_in_one_piece(size: int) -> None:
    assert not Outbox().at_once(1, b"", bytes(size), b"")


def test_a_body_is_cut_into_frames_and_ends_with_its_trailers() -> None:
    outbox = Outbox()
    assert outbox.later(1, b"head", bytes(PIECE * 2 + 5), b"trailers") == [1]
    sizes = [(each.kind, len(each.payload), each.flags) for each in split(outbox.take())]
    assert sizes == [(1, 4, 4), (0, PIECE, 0), (0, PIECE, 0), (0, 5, 0), (1, 8, 5)]


def test_a_body_without_trailers_ends_its_stream_itself() -> None:
    outbox = Outbox()
    outbox.later(1, b"head", b"body", b"")
    assert split(outbox.take())[-1] == Frame(DATA, END_STREAM, 1, b"body")


def test_a_body_larger_than_the_window_waits_for_room_on_both_stream_and_connection() -> None:
    outbox = Outbox()
    assert outbox.later(1, b"", bytes(WINDOW + 100), b"t") == []
    assert data(outbox) == {1: WINDOW}
    assert outbox.held == 100
    assert outbox.grow(1, 1000) == []  # the connection has no room yet
    assert data(outbox) == {}
    assert outbox.grow(0, 60) == []
    assert data(outbox) == {1: 60}
    assert outbox.grow(0, 1000) == [1]
    assert data(outbox) == {1: 40}
    assert outbox.held == 0


def test_those_who_wait_take_turns() -> None:
    outbox = Outbox()
    outbox.usual(10, [])
    for stream in (1, 3, 5):
        assert outbox.later(stream, b"", bytes(30), b"t") == []
    assert data(outbox) == {1: 10, 3: 10, 5: 10}
    assert outbox.grow(3, 20) == [3]
    assert outbox.grow(1, 5) == []
    assert data(outbox) == {3: 20, 1: 5}


#   the window at first, what is sent of 100 bytes; then the window that is set, and what follows
CHANGES = [
    ("it grows", 40, 40, 60, 20, False),
    ("it grows enough", 40, 40, 500, 60, True),
    ("it shrinks below what was sent", 40, 40, 10, 0, False),
    ("it shrinks to nothing", 40, 40, 0, 0, False),
]


@pytest.mark.parametrize(
    ("name", "first", "sent", "then", "more", "done"), CHANGES, ids=[row[0] for row in CHANGES]
)
def test_another_initial_window_holds_for_open_streams_too(
    name: str, first: int, sent: int, then: int, more: int, done: bool
) -> None:
    outbox = Outbox()
    outbox.usual(first, [])
    outbox.later(1, b"", bytes(100), b"t")
    assert data(outbox) == {1: sent}
    assert outbox.usual(then, [1]) == ([1] if done else [])
    assert data(outbox).get(1, 0) == more


def test_a_negative_window_must_be_filled_up_before_a_byte_is_sent() -> None:
    """RFC 9113 §6.9.2: 40 bytes sent, then a window of 10: -30 are left."""
    outbox = Outbox()
    outbox.usual(40, [])
    outbox.later(1, b"", bytes(100), b"t")
    data(outbox)
    outbox.usual(10, [1])
    assert outbox.grow(1, 30) == []
    assert data(outbox) == {}
    assert outbox.grow(1, 1) == []
    assert data(outbox) == {1: 1}
    assert outbox.grow(1, 59) == [1]
    assert data(outbox) == {1: 59}


def test_a_stream_whose_window_is_not_the_usual_one_answers_by_its_own() -> None:
    outbox = Outbox()
    outbox.usual(10, [])
    outbox.grow(1, 5)
    assert outbox.at_once(1, b"", bytes(15), b"")
    assert not outbox.at_once(3, b"", bytes(15), b"")
    outbox.usual(5, [1, 5])
    outbox.grow(5, 5)
    assert not outbox.at_once(5, b"", bytes(11), b"")
    assert outbox.at_once(5, b"", bytes(10), b"")


TOO_MUCH = [
    ("the connection's", lambda box: box.grow(0, 2**31 - 1)),
    ("a stream's", lambda box: box.grow(1, 2**31 - 1)),
    ("a stream's, by a setting", lambda box: (box.grow(1, 5), box.usual(2**31 - 1, [1]))),
]


@pytest.mark.parametrize(("name", "change"), TOO_MUCH, ids=[row[0] for row in TOO_MUCH])
def test_no_window_grows_beyond_what_31_bits_hold(name: str, change: object) -> None:
    with pytest.raises(Broken) as broken:
        change(Outbox())  # type: ignore[operator]
    assert broken.value.code is Error.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("stream", [0, 1])
def test_a_window_that_grows_by_nothing_is_an_error(stream: int) -> None:
    with pytest.raises(Broken) as broken:
        Outbox().grow(stream, 0)
    assert broken.value.code is Error.PROTOCOL_ERROR


def test_a_stream_that_is_forgotten_sends_nothing_more_and_holds_nothing() -> None:
    outbox = Outbox()
    outbox.usual(10, [])
    outbox.later(1, b"", bytes(100), b"t")
    outbox.take()
    outbox.forget(1)
    assert outbox.held == 0
    assert outbox.grow(0, 1000) == []
    assert outbox.take() == b""


def test_those_who_wait_are_not_looked_at_again_for_each_who_joins_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found by h2spec: 4,096 answers behind closed windows held everybody up for seconds."""
    looked: list[int] = []
    send = Outbox._send_body

    def counted(outbox: Outbox, stream: int, body: object) -> None:
        looked.append(stream)
        send(outbox, stream, body)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "_send_body", counted)
    outbox = Outbox()
    outbox.usual(0, [])
    streams = range(1, 2001, 2)
    for stream in streams:
        outbox.later(stream, b"", b"body", b"t")
    for stream in streams:
        outbox.grow(stream, 2)
    assert len(looked) == 2 * len(streams)
    outbox.grow(0, 2000)
    assert outbox.usual(2, list(streams)) == list(streams)
    assert len(looked) <= 3 * len(streams)
    assert data(outbox) == dict.fromkeys(streams, 4)


def test_who_waits_for_the_connection_is_not_looked_at_either() -> None:
    outbox = Outbox()
    outbox.at_once(1, b"", bytes(16_000), b"")
    outbox.later(3, b"", bytes(WINDOW), b"t")
    outbox.later(5, b"", b"small", b"t")
    outbox.take()
    assert outbox.grow(0, 1) == []
    assert data(outbox) == {3: 1}  # its turn; the next one is the other's
    assert outbox.grow(0, 5) == [5]
    assert data(outbox) == {5: 5}


def test_a_window_that_shrinks_takes_a_stream_out_of_turn_and_its_growth_brings_it_back() -> None:
    outbox = Outbox()
    outbox.usual(1 << 20, [])
    outbox.later(1, b"", bytes(WINDOW + 10), b"t")  # only the connection is in its way
    outbox.usual(100, [1])
    outbox.grow(0, 1000)
    assert data(outbox) == {1: WINDOW}
    assert outbox.grow(1, WINDOW) == [1]
    assert data(outbox) == {1: 10}
