"""One connection, from bytes to bytes (RFC 9113). The traps are those of real servers."""

from __future__ import annotations

import pytest

from agent.envoy.lean.messages import Status
from tests.envoy.lean.fake_peer import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    WITH_PRIORITY,
    FakePeer,
    envelope,
    frame,
    head,
    long,
    opening,
    setting,
)  # fmt: skip

NO, PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, _CANCEL, COMPRESSION = 0, 1, 3, 5, 6, 7, 8, 9
CALM = 11


def test_the_first_that_we_say_is_settings_and_a_large_window() -> None:
    settings, window = FakePeer().greeting
    assert (settings.kind, settings.flags) == (SETTINGS, 0)
    assert setting(1, 0) in settings.payload  # no header table
    assert (window.kind, window.stream) == (WINDOW, 0)


def test_a_call_comes_in_and_its_answer_goes_out() -> None:
    peer = FakePeer()
    (call,) = peer.say(peer.ask(1, b"question", head(("grpc-timeout", "4500m"))))
    assert (call.stream, call.path, call.seconds, call.message) == (1, "/s/M", 4.5, b"question")
    peer.connection.answer(1, b"answer")
    (answer,) = peer.answers().values()
    assert answer.message == envelope(b"answer")
    assert answer.headers[":status"] == "200"
    assert answer.headers["grpc-status"] == "0"
    assert peer.connection.open == 0


def test_settings_and_pings_are_acknowledged() -> None:
    peer = FakePeer()
    peer.say(frame(PING, 0, 0, b"12345678"), frame(PING, ACK, 0, b"no ping!"))
    heard = peer.hear()
    assert [(f.kind, f.flags, f.payload) for f in heard] == [
        (SETTINGS, ACK, b""),
        (PING, ACK, b"12345678"),
    ]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10])
def test_bytes_may_come_in_whatever_pieces(step: int) -> None:
    peer = FakePeer(settings=None)
    said = PREFACE + frame(SETTINGS) + b"".join(peer.ask(n, b"m%d" % n) for n in (1, 3, 5))
    calls = []
    for at in range(0, len(said), step):
        calls += peer.say(said[at : at + step])
    assert [(call.stream, call.message) for call in calls] == [(1, b"m1"), (3, b"m3"), (5, b"m5")]


def test_a_message_may_come_in_many_frames_even_its_length_prefix() -> None:
    peer = FakePeer()
    body = envelope(b"a whole message")
    pieces = [frame(DATA, 0, 1, body[at : at + 1]) for at in range(len(body))]
    assert peer.say(opening(peer, 1), *pieces) == []
    (call,) = peer.say(frame(DATA, END_STREAM, 1))
    assert call.message == b"a whole message"


def test_calls_may_be_interleaved() -> None:
    peer = FakePeer()
    one, two = envelope(b"one"), envelope(b"two")
    calls = peer.say(
        *(opening(peer, 1), opening(peer, 3), frame(DATA, 0, 1, one[:6]), frame(DATA, 0, 3, two)),
        *(frame(DATA, END_STREAM, 3), frame(DATA, END_STREAM, 1, one[6:])),
    )
    assert [(call.stream, call.message) for call in calls] == [(3, b"two"), (1, b"one")]


def test_headers_may_be_padded_prioritised_and_continued() -> None:
    peer = FakePeer()
    block = peer.block(head())
    first = b"\x03" + long(0) + b"\x10" + block[:5] + b"\0\0\0"
    calls = peer.say(
        frame(HEADERS, PADDED | WITH_PRIORITY, 1, first),
        frame(CONTINUATION, 0, 1, block[5:9]),
        frame(CONTINUATION, END_HEADERS, 1, block[9:]),
        frame(DATA, END_STREAM | PADDED, 1, b"\x02" + envelope(b"padded") + b"\0\0"),
    )
    assert [call.message for call in calls] == [b"padded"]


def test_trailers_of_the_peer_end_a_call_and_are_not_looked_at() -> None:
    peer = FakePeer()
    trailers = peer.block([("x-checksum", "1")])
    calls = peer.say(
        *(opening(peer, 1), frame(DATA, 0, 1, envelope(b"m"))),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers),
    )
    assert [call.message for call in calls] == [b"m"]


#  what is said after the greeting, and the code with which the connection ends
ENDS = [
    ("an even stream", lambda p: opening(p, 2), PROTOCOL),
    ("stream 0", lambda p: opening(p, 0), PROTOCOL),
    ("an older stream", lambda p: p.ask(5) + p.ask(3), CLOSED),
    ("DATA on stream 0", lambda p: frame(DATA, 0, 0, b"x"), PROTOCOL),
    ("DATA on an idle stream", lambda p: frame(DATA, 0, 1, b"x"), PROTOCOL),
    ("a reset of an idle stream", lambda p: frame(RST, 0, 1, long(8)), PROTOCOL),
    ("a window of an idle stream", lambda p: frame(WINDOW, 0, 1, long(1)), PROTOCOL),
    ("a window of nothing", lambda p: frame(WINDOW, 0, 0, long(0)), PROTOCOL),
    ("a window too large", lambda p: frame(WINDOW, 0, 0, long(2**31 - 1)), FLOW),
    ("a frame too large", lambda p: opening(p, 1) + frame(DATA, 0, 1, bytes(16_385)), SIZE),
    ("a frame of 16 MiB", lambda p: b"\xff\xff\xff\0\0\0\0\0\x01", SIZE),
    ("a PING of 7 bytes", lambda p: frame(PING, 0, 0, bytes(7)), SIZE),
    ("SETTINGS on a stream", lambda p: frame(SETTINGS, 0, 1), PROTOCOL),
    ("an acknowledgement that says something", lambda p: frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
    ("a push", lambda p: frame(PUSH, END_HEADERS, 1, long(2)), PROTOCOL),
    ("a continuation alone", lambda p: frame(CONTINUATION, END_HEADERS, 1), PROTOCOL),
    ("a block interrupted", lambda p: opening(p, 1, 0) + frame(PING, 0, 0, bytes(8)), PROTOCOL),
    ("a block interrupted by a stranger", lambda p: opening(p, 1, 0) + frame(0xFA), PROTOCOL),
    ("a block continued elsewhere", lambda p: opening(p, 1, 0) + frame(9, 4, 3), PROTOCOL),
    ("padding over all", lambda p: frame(HEADERS, PADDED | END_HEADERS, 1, b"\xff\x82"), PROTOCOL),
    ("no room for a priority", lambda p: frame(HEADERS, WITH_PRIORITY | 4, 1, b"\0\0"), SIZE),
    ("a priority of itself", lambda p: frame(HEADERS, 0x24, 1, long(1) + b"\0\x82"), PROTOCOL),
    ("PRIORITY of itself", lambda p: frame(PRIORITY, 0, 1, long(1) + b"\0"), PROTOCOL),
    ("HPACK that is none", lambda p: frame(HEADERS, END_HEADERS, 1, b"\xff" * 40), COMPRESSION),
    ("headers after the end", lambda p: p.ask(1) + opening(p, 1), CLOSED),
    ("GOAWAY of 7 bytes", lambda p: frame(GOAWAY, 0, 0, bytes(7)), SIZE),
    ("a window beyond what 31 bits hold", lambda p: frame(SETTINGS, 0, 0, setting(4, 2**31)), FLOW),
]


@pytest.mark.parametrize(("name", "say", "code"), ENDS, ids=[row[0] for row in ENDS])
def test_what_breaks_the_connections_rules_ends_it_with_its_code(
    name: str, say: object, code: int
) -> None:
    peer = FakePeer()
    peer.say(say(peer))  # type: ignore[operator]
    assert peer.goaway() == code
    assert peer.connection.closing
    assert peer.connection.open == 0
    assert peer.say(peer.ask(99)) == []


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\0"]
)
def test_who_does_not_speak_http2_is_left_at_the_first_wrong_byte(first: bytes) -> None:
    peer = FakePeer(settings=None)
    peer.say(first)
    assert peer.goaway() == PROTOCOL


@pytest.mark.parametrize("first", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK)])
def test_the_first_frame_is_settings(first: bytes) -> None:
    peer = FakePeer(settings=None)
    peer.say(PREFACE, first)
    assert peer.goaway() == PROTOCOL
    assert not peer.connection.settled


#  what ends one stream, with which code; another call on the connection is answered as ever
LOSES = [
    ("a malformed request", lambda p: p.ask(1, pairs=head(without=":path")), PROTOCOL),
    ("a header of the connection", lambda p: p.ask(1, pairs=head(("upgrade", "x"))), PROTOCOL),
    ("less than announced", lambda p: p.ask(1, pairs=head(("content-length", "9"))), PROTOCOL),
    ("more than announced", lambda p: p.ask(1, pairs=head(("content-length", "2"))), PROTOCOL),
    ("trailers that do not end", lambda p: opening(p, 1) + opening(p, 1), PROTOCOL),
    ("DATA after the end", lambda p: p.ask(1) + frame(DATA, 0, 1, b"x"), CLOSED),
    ("a window of nothing", lambda p: opening(p, 1) + frame(WINDOW, 0, 1, long(0)), PROTOCOL),
    ("a window too large", lambda p: opening(p, 1) + frame(WINDOW, 0, 1, long(2**31 - 1)), FLOW),
]


@pytest.mark.parametrize(("name", "say", "code"), LOSES, ids=[row[0] for row in LOSES])
def test_what_breaks_a_streams_rules_ends_that_stream_and_no_other(
    name: str, say: object, code: int
) -> None:
    peer = FakePeer()
    peer.say(say(peer))  # type: ignore[operator]
    assert peer.resets() == {1: code}
    (call,) = peer.say(peer.ask(3))
    peer.connection.answer(call.stream, b"fine")
    assert peer.answers()[3].message == envelope(b"fine")
    peer.connection.answer(1, b"too late")
    assert peer.hear() == []


#  a call that is well-formed HTTP/2 and no call that can be served: how it ends
FAILS = [
    ("compressed by something else", head(("grpc-encoding", "br")), 1, Status.UNIMPLEMENTED),
    ("not what it says", head(("grpc-encoding", "gzip")), 1, Status.INTERNAL),
]


@pytest.mark.parametrize(("name", "pairs", "flag", "status"), FAILS, ids=[r[0] for r in FAILS])
def test_a_message_that_cannot_be_read_ends_its_call_with_a_status(
    name: str, pairs: list[tuple[str, str]], flag: int, status: Status
) -> None:
    peer = FakePeer()
    assert peer.say(peer.ask(1, b"abc", pairs, flag)) == []
    assert peer.answers()[1].headers["grpc-status"] == str(int(status))
    assert peer.connection.open == 0


def test_what_is_not_grpc_is_told_so() -> None:
    peer = FakePeer()
    pairs = head(("content-type", "application/json"), without="content-type")
    assert peer.say(peer.ask(1, pairs=pairs)) == []
    answer = peer.answers()[1]
    assert answer.headers[":status"] == "415"
    assert answer.message == b"This socket speaks gRPC.\n"


def test_two_messages_in_a_unary_call_are_refused() -> None:
    peer = FakePeer()
    assert peer.say(opening(peer, 1), frame(DATA, END_STREAM, 1, envelope(b"a") * 2)) == []
    assert peer.answers()[1].headers["grpc-status"] == str(int(Status.INTERNAL))


def test_a_call_that_was_cancelled_is_not_answered() -> None:
    peer = FakePeer()
    peer.say(peer.ask(1))
    peer.hear()
    assert peer.connection.wants(1)
    peer.say(frame(RST, 0, 1, long(8)))
    assert not peer.connection.wants(1)
    peer.connection.answer(1, b"a")
    peer.connection.fail(1, Status.INTERNAL, "b")
    assert peer.hear() == []


def test_a_failure_before_the_message_is_complete_says_that_no_more_is_needed() -> None:
    """RFC 9113 §8.1: an answer, then RST_STREAM(NO_ERROR); what is on its way is not an error."""
    peer = FakePeer()
    peer.say(opening(peer, 1))
    peer.hear()
    peer.connection.fail(1, Status.UNAVAILABLE, "not now")
    heard = peer.hear()
    assert [f.kind for f in heard] == [HEADERS, RST]
    assert heard[1].code == NO
    peer.say(frame(DATA, 0, 1, b"still on its way"), frame(DATA, END_STREAM, 1))
    assert peer.hear() == []
