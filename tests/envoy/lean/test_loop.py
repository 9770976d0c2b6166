"""Bytes over real sockets, many peers at a time, and none that may harm another."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from agent.envoy.lean import loop as loops
from agent.envoy.lean import peer as peers
from agent.envoy.lean.loop import Loop, Method
from agent.envoy.unix import listen
from agent.moment import WouldBlock
from demo.waiting import until
from tests.envoy.lean.fake_peer import (
    ACK,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    FakePeer,
    frame,
    head,
    setting,
    split,
)  # fmt: skip

PATIENCE = 10.0
LOOP = "checks"  # the name of the loop's thread


def echo(message: bytes, _seconds: float | None) -> bytes:
    return message[::-1]


class Place:
    """One loop and whoever connects to it."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.stack = stack

    def start(self, method: Method = echo, threads: int = 4) -> Loop:
        pool = self.stack.enter_context(ThreadPoolExecutor(threads))
        self.loop = Loop(listen(self.path), {"/s/M": method}, pool)
        self.loop.start()
        self.stack.callback(self.loop.stop, 2)
        return self.loop

    def connect(self) -> socket.socket:
        one = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        one.settimeout(PATIENCE)
        one.connect(str(self.path))
        return one

    def client(self) -> Callable[..., bytes]:
        channel = self.stack.enter_context(grpc.insecure_channel(f"unix:{self.path}"))
        return channel.unary_unary("/s/M")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path / "s", stack)


def greet(one: socket.socket, settings: bytes = b"") -> FakePeer:
    """Introduce ourselves on *one*; return somebody who knows how to go on."""
    one.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK))
    return FakePeer()


def heard_until(one: socket.socket, kind: int) -> list[bytes]:
    """The payloads of frames of *kind*, as soon as there is one; none where it is over."""
    data = b""
    while True:
        piece = one.recv(65_536)
        data += piece
        whole, at = 0, 0
        while at + 9 <= len(data) and at + 9 + int.from_bytes(data[at : at + 3]) <= len(data):
            at += 9 + int.from_bytes(data[at : at + 3])
            whole = at
        found = [each.payload for each in split(data[:whole]) if each.kind == kind]
        if found or not piece:
            return found


def over(one: socket.socket) -> bool:
    """Whether the other side closed, once everything it said was read."""
    try:
        while one.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_many_connections_are_served_side_by_side(place: Place) -> None:
    place.start()
    clients = [place.client() for _ in range(20)]
    running = [
        client.future(b"%d" % n)  # type: ignore[attr-defined]
        for n, client in enumerate(clients * 20)
    ]
    answers = [one.result(PATIENCE) for one in running]
    assert answers == [(b"%d" % n)[::-1] for n in range(400)]


@pytest.mark.must(42)
def test_one_connection_too_many_is_refused_and_the_others_stay(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_CONNECTIONS", 3)
    place.start()
    check = place.client()
    assert check(b"ab", timeout=PATIENCE) == b"ba"
    held = [place.connect() for _ in range(2)]
    for one in held:
        greet(one)
        assert heard_until(one, SETTINGS)
    assert over(place.connect())
    assert check(b"cd", timeout=PATIENCE) == b"dc"
    held[0].close()  # makes room again
    until(lambda: heard_until(place.connect(), SETTINGS), "a place")


@pytest.mark.must(42)
def test_who_says_nothing_is_left_after_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_TICK", 0.02)
    monkeypatch.setattr(peers, "_HELLO", 0.1)
    place.start()
    silent, half = place.connect(), place.connect()
    half.sendall(PREFACE[:20])
    check = place.client()
    assert over(silent)
    assert over(half)
    assert check(b"ab", timeout=PATIENCE) == b"ba"  # who has introduced itself may be silent
    time.sleep(0.3)  # well beyond the bound
    assert check(b"cd", timeout=PATIENCE) == b"dc"


def greedy(place: Place, calls: int) -> socket.socket:
    """Ask for much, and read nothing of it."""
    one = place.connect()
    peer = greet(one, setting(4, 2**31 - 1))
    assert heard_until(one, SETTINGS)  # it was accepted
    one.sendall(frame(8, 0, 0, b"\x7f\xff\x00\x00"))
    for stream in range(1, 2 * calls, 2):
        one.sendall(peer.ask(stream))
    return one


@pytest.mark.must(42)
def test_a_slow_reader_gets_everything_in_the_end_and_holds_nobody_up(place: Place) -> None:
    large = bytes(500_000)
    place.start(lambda message, _seconds: large if message == b"m" else message)
    slow = greedy(place, 8)
    check = place.client()
    assert check(b"ab", timeout=PATIENCE) == b"ab"
    data = b""
    while len([each for each in _whole(data) if each.kind == HEADERS and each.flags & 1]) < 8:
        data += slow.recv(1 << 20)
    assert sum(len(each.payload) for each in _whole(data) if each.kind == 0) == 8 * 500_005


def _whole(data: bytes) -> list[object]:
    at = 0
    while at + 9 <= len(data) and at + 9 + int.from_bytes(data[at : at + 3]) <= len(data):
        at += 9 + int.from_bytes(data[at : at + 3])
    return split(data[:at])  # type: ignore[return-value]


@pytest.mark.must(42)
def test_who_reads_nothing_of_too_much_is_left(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_UNSENT", 2 << 20)
    place.start(lambda message, _seconds: bytes(500_000) if message == b"m" else message)
    greedy(place, 50)
    until(lambda: not place.loop._peers, "its end")
    assert place.client()(b"ab", timeout=PATIENCE) == b"ab"


@pytest.mark.must(42)
def test_who_reads_nothing_for_too_long_is_left(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_TICK", 0.02)
    monkeypatch.setattr(peers, "_STUCK", 5)
    place.start(lambda _message, _seconds: bytes(1_000_000))
    stuck = greedy(place, 3)
    until(lambda: not place.loop._peers, "its end")
    assert over(stuck)


@pytest.mark.must(42)
def test_where_all_together_hold_too_much_the_greediest_goes_and_the_others_stay(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_IN_ALL", 4 << 20)
    place.start(lambda message, _seconds: bytes(900_000) if message == b"m" else message)
    check = place.client()
    assert check(b"ab", timeout=PATIENCE) == b"ab"
    small, great = greedy(place, 1), greedy(place, 6)
    # Who began to read now would make room, and hold too little.
    until(lambda: len(place.loop._peers) == 2, "the end of the greediest")
    assert over(great)
    assert check(b"cd", timeout=PATIENCE) == b"cd"
    assert heard_until(small, 0)
    assert place.loop._held < 4 << 20


def test_a_half_close_ends_a_connection_and_its_calls_are_not_answered(place: Place) -> None:
    """HTTP/2 knows no half-closed connections (RFC 9113 §9.1); who shuts down has gone."""
    place.start()
    one = place.connect()
    peer = greet(one)
    one.sendall(peer.ask(1)[:-1])
    one.shutdown(socket.SHUT_WR)
    assert over(one)
    until(lambda: not place.loop._peers, "the end of it")
    assert place.client()(b"ab", timeout=PATIENCE) == b"ba"


@pytest.mark.must(17)
def test_bytes_that_no_client_says_end_their_own_connection_only(place: Place) -> None:
    place.start()
    check = place.client()
    for said in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", PREFACE + b"\xff" * 100):
        one = place.connect()
        one.sendall(said)
        assert heard_until(one, GOAWAY)
        assert over(one)
    assert check(b"ab", timeout=PATIENCE) == b"ba"


def test_a_mistake_of_ours_in_one_connection_is_not_everybodys_end(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place.start()
    check = place.client()
    assert check(b"ab", timeout=PATIENCE) == b"ba"
    victim = place.connect()
    until(lambda: len(place.loop._peers) == 2, "both")
    newest = list(place.loop._peers.values())[-1]
    monkeypatch.setattr(newest.connection, "receive", lambda _data: 1 / 0)
    victim.sendall(b"x")
    assert over(victim)
    assert check(b"ab", timeout=PATIENCE) == b"ba"
    assert "bug" in caplog.text


def miss(message: bytes, _seconds: float | None) -> bytes:
    """Waits: not on the loop's own thread."""
    if threading.current_thread().name == LOOP:
        raise WouldBlock
    return message[::-1]


def test_what_would_block_is_answered_by_the_pool_and_hits_pass_it_by(place: Place) -> None:
    go = threading.Event()

    def method(message: bytes, seconds: float | None) -> bytes:
        if message == b"miss":
            miss(message, seconds)
            go.wait(PATIENCE)
        return message[::-1]

    place.start(method)
    check = place.client()
    waiting = check.future(b"miss")  # type: ignore[attr-defined]
    assert [check(b"ab", timeout=PATIENCE) for _ in range(20)] == [b"ba"] * 20
    assert not waiting.done()
    go.set()
    assert waiting.result(PATIENCE) == b"ssim"


@pytest.mark.must(39)
def test_the_time_that_a_call_waited_for_a_thread_is_taken_from_its_deadline(place: Place) -> None:
    busy, given = threading.Event(), []

    def method(message: bytes, seconds: float | None) -> bytes:
        miss(message, seconds)
        given.append(seconds)
        if message == b"first":
            busy.wait(PATIENCE)
        return b""

    place.start(method, threads=1)
    check = place.client()
    first = check.future(b"first", timeout=60)  # type: ignore[attr-defined]
    until(lambda: given, "the first")
    second = check.future(b"second", timeout=60)  # type: ignore[attr-defined]
    until(lambda: place.loop._elsewhere == 2, "the second")
    time.sleep(0.5)
    busy.set()
    first.result(PATIENCE)
    second.result(PATIENCE)
    assert given[1] <= 59.6


def test_a_call_that_was_cancelled_in_the_queue_is_never_made(place: Place) -> None:
    busy, made = threading.Event(), []

    def method(message: bytes, seconds: float | None) -> bytes:
        miss(message, seconds)
        made.append(message)
        if message == b"first":
            busy.wait(PATIENCE)
        return b""

    place.start(method, threads=1)
    check = place.client()
    first = check.future(b"first")  # type: ignore[attr-defined]
    until(lambda: made, "the first")
    second = check.future(b"second")  # type: ignore[attr-defined]
    until(lambda: place.loop._elsewhere == 2, "the second")
    second.cancel()
    peer = next(iter(place.loop._peers.values()))
    until(lambda: peer.connection.open == 1, "the cancellation")
    busy.set()
    first.result(PATIENCE)
    until(lambda: place.loop._elsewhere == 0, "the end of both")
    assert made == [b"first"]


@pytest.mark.must(39, 42)
def test_beyond_the_queues_bound_a_call_is_told_to_come_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_QUEUE", 3)
    go = threading.Event()

    def method(message: bytes, seconds: float | None) -> bytes:
        miss(message, seconds)
        go.wait(PATIENCE)
        return message

    place.start(method, threads=1)
    check = place.client()
    waiting = [check.future(b"%d" % n) for n in range(3)]  # type: ignore[attr-defined]
    until(lambda: place.loop._elsewhere == 3, "all three")
    with pytest.raises(grpc.RpcError) as refused:
        check(b"one too many", timeout=PATIENCE)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    go.set()
    assert [one.result(PATIENCE) for one in waiting] == [b"0", b"1", b"2"]


def test_a_stop_answers_what_is_under_way_and_who_is_in_the_backlog(place: Place) -> None:
    go = threading.Event()

    def method(message: bytes, seconds: float | None) -> bytes:
        if message == b"slow":
            miss(message, seconds)
            go.wait(PATIENCE)
        return message[::-1]

    loop = place.start(method)
    check = place.client()
    slow = check.future(b"slow")  # type: ignore[attr-defined]
    until(lambda: loop._elsewhere == 1, "the slow one")
    stopping = threading.Thread(target=loop.stop, args=(PATIENCE,))
    stopping.start()
    until(lambda: loop._listener.fileno() < 0, "the first step")
    go.set()
    assert slow.result(PATIENCE) == b"wols"
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_one_that_has_just_connected_is_answered_by_a_loop_that_leaves(place: Place) -> None:
    """Connected, not yet accepted: the listener's end would be a reset for it."""
    pool = place.stack.enter_context(ThreadPoolExecutor(1))
    loop = Loop(listen(place.path), {"/s/M": echo}, pool)
    one = place.connect()
    one.sendall(PREFACE + frame(SETTINGS) + FakePeer().ask(1, b"ab", head()))
    loop._leaving = True
    loop.start()
    place.stack.callback(loop.stop, 2)
    answers = heard_until(one, 0)
    assert answers == [b"\0\0\0\0\x02ba"]
    one.sendall(frame(PING, ACK, 0, b"attache!"))
    assert over(one)
