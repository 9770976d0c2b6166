"""What real servers fell for: PERFORMANCE.md's traps, one after the other, and the field's CVEs."""

from __future__ import annotations

import pytest

from agent.envoy.lean import connection as connections
from agent.envoy.lean import intake
from agent.envoy.lean.connection import STREAMS
from agent.envoy.lean.messages import LARGEST, Status
from tests.envoy.lean.fake_peer import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    RST,
    SETTINGS,
    WINDOW,
    FakePeer,
    envelope,
    frame,
    long,
    opening,
    setting,
)

NO, REFUSED, CALM = 0, 7, 11


def test_an_upload_gets_its_window_back_before_it_is_used_up() -> None:
    """Many calls with large messages, over one connection: 64 MiB in all."""
    peer = FakePeer()
    room = intake.WINDOW
    body = envelope(bytes(LARGEST))
    for stream in range(1, 129, 2):
        peer.say(opening(peer, stream))
        for at in range(0, len(body), 16_384):
            piece = body[at : at + 16_384]
            room -= len(piece)
            assert room >= 0
            last = at + 16_384 >= len(body)
            calls = peer.say(frame(DATA, END_STREAM if last else 0, stream, piece))
        assert [len(call.message) for call in calls] == [LARGEST]
        peer.connection.answer(stream, b"")
        room += sum(f.number for f in peer.hear() if f.kind == WINDOW)
    assert peer.connection.held == 0


def test_more_than_the_connections_window_ends_it() -> None:
    """With half of the window given back in one go there is always more; so the core is asked."""
    window = intake.Intake()
    with pytest.raises(Exception, match="window"):
        window.take(intake.WINDOW + 1)


@pytest.mark.must(42)
def test_a_message_that_never_ends_is_refused_at_its_bound() -> None:
    peer = FakePeer()
    peer.say(opening(peer, 1))
    for _ in range(LARGEST // 16_384 + 1):
        peer.say(frame(DATA, 0, 1, bytes(16_384)))
    assert peer.answers()[1].headers["grpc-status"] == str(int(Status.RESOURCE_EXHAUSTED))
    assert peer.connection.held == 0


@pytest.mark.must(42)
def test_all_messages_in_the_making_share_one_bound() -> None:
    peer = FakePeer()
    refused = 0
    for stream in range(1, 41, 2):
        peer.say(opening(peer, stream))
        for _ in range(60):
            peer.say(frame(DATA, 0, stream, bytes(16_384)))
        refused += any(f.kind == HEADERS for f in peer.hear())
        assert peer.connection.held <= connections._MOST_HELD
    assert refused


@pytest.mark.must(42)
def test_answers_that_nobody_makes_room_for_are_bounded() -> None:
    peer = FakePeer(settings=setting(4, 0))
    for stream in range(1, 2 * 1024, 2):
        for call in peer.say(peer.ask(stream)):
            peer.connection.answer(call.stream, bytes(20_000))
        assert peer.connection.held <= connections._MOST_HELD
    statuses = [answer.headers.get("grpc-status") for answer in peer.answers().values()]
    assert str(int(Status.RESOURCE_EXHAUSTED)) in statuses


def test_an_answer_larger_than_the_peers_window_waits_for_it() -> None:
    peer = FakePeer(settings=setting(4, 10))
    peer.say(peer.ask(1))
    peer.connection.answer(1, bytes(95))
    sent = [len(f.payload) for f in peer.hear() if f.kind == DATA]
    assert sent == [10]
    peer.say(frame(WINDOW, 0, 1, long(40)))
    peer.say(frame(SETTINGS, 0, 0, setting(4, 60)))
    heard = peer.hear()
    assert [len(f.payload) for f in heard if f.kind == DATA] == [40, 50]
    assert heard[-1].flags == END_HEADERS | END_STREAM
    assert peer.connection.open == 0


def test_of_several_initial_windows_in_one_frame_the_last_one_holds() -> None:
    peer = FakePeer()
    peer.say(frame(SETTINGS, 0, 0, setting(4, 100) + setting(4, 1)))
    peer.say(peer.ask(1))
    peer.connection.answer(1, b"four")
    assert [len(f.payload) for f in peer.hear() if f.kind == DATA] == [1]


def test_a_window_on_a_stream_that_was_answered_meanwhile_is_not_an_error() -> None:
    peer = FakePeer()
    peer.say(peer.ask(1))
    peer.connection.answer(1, b"")
    peer.say(frame(WINDOW, 0, 1, long(5)), frame(RST, 0, 1, long(8)))
    assert peer.goaway() is None


@pytest.mark.must(42)
def test_no_more_streams_are_open_than_we_announced() -> None:
    peer = FakePeer()
    for stream in range(1, 2 * STREAMS, 2):
        peer.say(opening(peer, stream))
    assert peer.resets() == {}
    peer.say(opening(peer, 2 * STREAMS + 1))
    assert peer.resets() == {2 * STREAMS + 1: REFUSED}
    assert peer.connection.open == STREAMS


def repeated(piece: bytes, times: int = 25_000) -> object:
    return lambda p: piece * times


def resets(peer: FakePeer) -> bytes:
    streams = range(1, 12_001, 2)
    return b"".join(peer.ask(n) + frame(RST, 0, n, long(8)) for n in streams)


FLOODS = [
    ("rapid resets (CVE-2023-44487)", resets),
    ("requests that are none", lambda p: b"".join(opening(p, n) * 2 for n in range(1, 12_001, 2))),
    ("continuations without end (CVE-2024-27316)", lambda p: opening(p, 1, 0) + frame(9, 0, 1) * 2),
    ("continuations of 1 MiB", lambda p: opening(p, 1, 0) + frame(9, 0, 1, bytes(999)) * 1000),
    ("PINGs (CVE-2019-9512)", repeated(frame(PING, 0, 0, bytes(8)))),
    ("SETTINGS (CVE-2019-9515)", repeated(frame(SETTINGS))),
    ("PRIORITY (CVE-2019-9513)", repeated(frame(PRIORITY, 0, 1, bytes(5)))),
    ("WINDOW_UPDATE", repeated(frame(WINDOW, 0, 0, long(1)))),
    ("empty DATA (CVE-2019-9518)", lambda p: opening(p, 1) + frame(DATA, 0, 1) * 25_000),
    ("frames that nobody knows", repeated(frame(0xFA, 0, 1))),
]


@pytest.mark.must(42)
@pytest.mark.parametrize(("name", "flood"), FLOODS, ids=[row[0] for row in FLOODS])
def test_a_flood_ends_its_connection_and_takes_little_to_do_so(name: str, flood: object) -> None:
    peer = FakePeer()
    said = flood(peer)  # type: ignore[operator]
    for at in range(0, len(said), 65_536):
        peer.say(said[at : at + 65_536])
    assert peer.goaway() == CALM
    assert peer.connection.held == 0


def test_what_is_too_much_in_a_second_is_not_too_much_in_ten() -> None:
    peer = FakePeer()
    for _ in range(10):
        peer.say(frame(PING, 0, 0, bytes(8)) * 15_000)
        peer.connection.tick()
    assert peer.goaway() is None


# The end, in two steps (RFC 9113 §6.8)


def test_leaving_answers_what_is_under_way_and_what_is_on_its_way() -> None:
    peer = FakePeer()
    peer.say(peer.ask(1))
    peer.hear()
    peer.connection.leave()
    first, ping = peer.hear()
    assert (first.kind, first.number, first.code) == (GOAWAY, 2**31 - 1, NO)
    assert ping.kind == PING
    (late,) = peer.say(peer.ask(3))  # sent before the peer had read that we leave
    peer.say(frame(PING, ACK, 0, ping.payload))
    (last,) = [f for f in peer.hear() if f.kind == GOAWAY]
    assert last.number == 3
    assert not peer.connection.closing
    for stream in (1, late.stream):
        peer.connection.answer(stream, b"fine")
    assert set(peer.answers()) == {1, 3}
    assert peer.connection.closing


def test_after_the_second_step_new_calls_are_refused_and_may_be_tried_elsewhere() -> None:
    peer = FakePeer()
    peer.say(peer.ask(1))
    peer.hear()
    peer.connection.leave()
    (ping,) = [f for f in peer.hear() if f.kind == PING]
    peer.say(frame(PING, ACK, 0, ping.payload))
    peer.hear()
    assert peer.say(peer.ask(3)) == []
    assert peer.resets() == {3: REFUSED}


def test_who_leaves_twice_says_so_once() -> None:
    peer = FakePeer()
    peer.connection.leave()
    peer.hear()
    peer.connection.leave()
    assert peer.hear() == []


def test_anothers_ping_does_not_count_as_the_answer_to_ours() -> None:
    peer = FakePeer()
    peer.connection.leave()
    peer.hear()
    peer.say(frame(PING, ACK, 0, b"another!"))
    assert peer.hear() == []


def test_an_idle_connection_ends_with_the_round_trip() -> None:
    peer = FakePeer()
    peer.connection.leave()
    (ping,) = [f for f in peer.hear() if f.kind == PING]
    peer.say(frame(PING, ACK, 0, ping.payload))
    peer.hear()
    assert peer.connection.closing
