"""What is said on a stream that goes on, in both directions, without a socket."""

from __future__ import annotations

import gzip

import pytest

from agent.envoy.lean.messages import LARGEST, Status
from agent.envoy.lean.streams import WINDOW as ROOM
from agent.envoy.lean.talks import Heard, TalkingConnection
from tests.envoy.lean.fake_peer import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    RST,
    WINDOW,
    FakePeer,
    envelope,
    frame,
    head,
    long,
    setting,
)  # fmt: skip

PATH = "/s/Talk"
NO_ERROR, CANCEL = 0, 8
INITIAL_WINDOW = 4


class Peer(FakePeer):
    """A peer that talks: what it says is heard, and what is said to it."""

    def __init__(self, settings: bytes = b"") -> None:
        self.talking = TalkingConnection(PATH)
        super().__init__(settings, connection=self.talking)
        self.hear()

    def opens(self, stream: int = 1, *more: tuple[str, str], path: str = PATH) -> bytes:
        return frame(HEADERS, END_HEADERS, stream, self.block(head(*more, path=path)))

    def heard(self, *pieces: bytes) -> list[Heard]:
        assert self.say(*pieces) == []  # no call is unary here
        heard, self.talking.heard = self.talking.heard, []
        return heard


def data(payload: bytes, flags: int = 0, stream: int = 1) -> bytes:
    return frame(DATA, flags, stream, payload)


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_messages_are_heard_as_soon_as_they_are_whole_however_they_are_cut(peer: Peer) -> None:
    one, two, three = envelope(b"one"), envelope(b""), envelope(b"three")
    assert peer.heard(peer.opens(), data(one + two + three[:3])) == [(1, b"one"), (1, b"")]
    assert peer.heard(data(three[3:7])) == []
    assert peer.heard(data(three[7:])) == [(1, b"three")]
    assert peer.connection.held == 0


def test_what_comes_whole_in_one_go_is_heard_like_all_else(peer: Peer) -> None:
    for stream in (1, 3, 5):  # from the second on, the head is one that was read before
        said = peer.opens(stream) + data(envelope(b"m"), END_STREAM, stream)
        assert peer.heard(said) == [(stream, b"m"), (stream, None)]


def test_a_compressed_message_is_heard_as_it_was(peer: Peer) -> None:
    opening = peer.opens(1, ("grpc-encoding", "gzip"))
    packed = envelope(gzip.compress(b"plain"), 1)
    assert peer.heard(opening, data(packed + envelope(b"bare"))) == [(1, b"plain"), (1, b"bare")]


def test_padding_is_no_part_of_a_message(peer: Peer) -> None:
    assert peer.heard(peer.opens(), data(b"\x02" + envelope(b"m") + b"\0\0", PADDED)) == [(1, b"m")]


def test_a_peer_that_keeps_to_the_window_never_waits_for_more_of_it(peer: Peer) -> None:
    peer.say(peer.opens())
    room = ROOM
    for size in (10, 16_000, 13_000, LARGEST, 100, LARGEST, 16_000, 16_000, LARGEST):
        message = envelope(b"x" * size)
        heard = []
        for at in range(0, len(message), 16_000):
            piece = b"\x64" + message[at : at + 16_000] + b"\0" * 100
            room -= len(piece)
            assert room >= 0
            heard += peer.heard(data(piece, PADDED))
            room += sum(
                each.number for each in peer.hear() if (each.kind, each.stream) == (WINDOW, 1)
            )
        assert [len(message or b"") for _, message in heard] == [size]
    assert peer.connection.open == 1


def test_answers_follow_each_other_after_one_head(peer: Peer) -> None:
    peer.heard(peer.opens(), data(envelope(b"hello")))
    peer.talking.say(1, b"a")
    peer.talking.say(1, b"b")
    frames = peer.hear()
    assert [each.kind for each in frames] == [HEADERS, DATA, DATA]
    assert not any(each.flags & END_STREAM for each in frames)
    answer = peer.answers(frames)[1]
    assert answer.headers == {":status": "200", "content-type": "application/grpc"}
    assert answer.message == envelope(b"a") + envelope(b"b")


def test_answers_wait_for_room_and_the_end_waits_for_them() -> None:
    peer = Peer(setting(INITIAL_WINDOW, 10))
    peer.heard(peer.opens(), data(envelope(b"hello"), END_STREAM))
    peer.talking.say(1, b"first")
    peer.talking.say(1, b"second")
    peer.talking.end(1)
    whole = envelope(b"first") + envelope(b"second")
    frames = peer.hear()
    assert b"".join(each.payload for each in frames if each.kind == DATA) == whole[:10]
    assert peer.connection.held == len(whole) - 10
    peer.say(frame(WINDOW, 0, 1, long(4)))
    assert [each.payload for each in peer.hear()] == [whole[10:14]]
    peer.say(frame(WINDOW, 0, 1, long(400)))
    *rest, last = peer.hear()
    assert b"".join(each.payload for each in rest) == whole[14:]
    assert (last.kind, last.flags) == (HEADERS, END_HEADERS | END_STREAM)
    assert peer.answers([last])[1].headers == {"grpc-status": "0"}
    assert (peer.connection.open, peer.connection.held) == (0, 0)


def test_a_large_answer_is_no_reason_to_hear_no_more() -> None:
    """A configuration may be larger than anything that the unary core would keep."""
    peer = Peer()
    peer.heard(peer.opens(), data(envelope(b"hello")))
    large = b"x" * (20 << 20)
    peer.talking.say(1, large)
    assert peer.heard(data(envelope(b"again"))) == [(1, b"again")]
    peer.say(frame(WINDOW, 0, 0, long(30 << 20)), frame(WINDOW, 0, 1, long(30 << 20)))
    got = b"".join(each.payload for each in peer.hear() if each.kind == DATA)
    assert got == envelope(large)
    assert peer.connection.held == 0


@pytest.mark.parametrize("spoken", [True, False])
def test_our_end_is_the_streams_where_the_peer_has_not_ended(peer: Peer, spoken: bool) -> None:
    peer.heard(peer.opens(), data(envelope(b"hello")))
    if spoken:
        peer.talking.say(1, b"a")
    peer.talking.end(1)
    frames = peer.hear()
    assert (frames[-1].kind, frames[-1].code) == (RST, NO_ERROR)
    assert peer.answers(frames[:-1])[1].headers["grpc-status"] == "0"
    assert peer.heard() == [(1, None)]
    peer.talking.say(1, b"late")
    peer.talking.end(1)
    assert peer.hear() == []


def test_a_failure_after_an_answer_is_told_in_trailers(peer: Peer) -> None:
    peer.heard(peer.opens(), data(envelope(b"hello")))
    peer.talking.say(1, b"a")
    peer.hear()
    peer.talking.fail(1, Status.UNKNOWN, "it broke")
    assert peer.answers()[1].headers == {"grpc-status": "2", "grpc-message": "it broke"}
    assert peer.connection.open == 0


ENDS = {
    "its own end": [data(b"", END_STREAM)],
    "the end with its last message": [data(envelope(b"m"), END_STREAM)],
    "a reset": [frame(RST, 0, 1, long(CANCEL))],
}


@pytest.mark.parametrize("name", list(ENDS))
def test_the_end_of_what_the_peer_says_is_heard_once(peer: Peer, name: str) -> None:
    peer.heard(peer.opens(), data(envelope(b"hello")))
    heard = peer.heard(*ENDS[name])
    assert heard[-1] == (1, None)
    assert [one for one in heard if one[1] is None] == [(1, None)]
    peer.talking.end(1)
    assert peer.heard() == []


@pytest.mark.must(42)
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (data(b"\0" + long(LARGEST + 1)), Status.RESOURCE_EXHAUSTED),
        (data(envelope(b"half")[:-1], END_STREAM), Status.INTERNAL),
        (data(envelope(b"m", 1)), Status.INTERNAL),
    ],
    ids=["a message that is too large", "half a message", "compressed by nothing"],
)
def test_what_cannot_be_heard_ends_its_stream_and_no_other(
    peer: Peer, said: bytes, status: Status
) -> None:
    peer.heard(peer.opens(1), peer.opens(3), data(envelope(b"hello"), stream=3))
    assert peer.heard(said) == [(1, None)]
    assert peer.answers()[1].headers["grpc-status"] == str(int(status))
    assert peer.heard(data(envelope(b"still"), stream=3)) == [(3, b"still")]


def test_another_method_is_refused_before_it_ends(peer: Peer) -> None:
    peer.say(peer.opens(path="/s/Delta"))
    assert peer.answers()[1].headers["grpc-status"] == str(int(Status.UNIMPLEMENTED))
    assert peer.heard() == []
    assert peer.connection.open == 0


def test_leaving_ends_the_connection_when_the_last_stream_has_ended(peer: Peer) -> None:
    peer.heard(peer.opens(), data(envelope(b"hello")))
    peer.talking.leave()
    ping = next(each for each in peer.hear() if each.kind == 6)
    peer.say(frame(6, 1, 0, ping.payload))
    peer.hear()
    assert not peer.connection.closing
    peer.talking.end(1)
    peer.hear()
    peer.hear()
    assert peer.connection.closing
