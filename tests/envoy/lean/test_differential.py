"""The same bytes to both transports: the same calls reach the decision, the same answers come back.

Traffic is a real Envoy's, recorded (`recording.py`), and made by chance within the rules. What
breaks the rules may end differently, but is answered by neither.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hpack import Decoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.envoy.pool import CheckPool
from agent.envoy.server import Server, serve_checks
from tests.envoy.lean.fake_peer import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST,
    SETTINGS,
    WINDOW,
    WITH_PRIORITY,
    FakePeer,
    Frame,
    Pairs,
    envelope,
    frame,
    head,
    long,
    setting,
    split,
)  # fmt: skip

CHECK = "/envoy.service.auth.v3.Authorization/Check"
RECORDED = sorted((Path(__file__).parents[3] / "vectors" / "recorded").glob("*.bin"))
SILENCE = 1.0  # seconds after which one that breaks the rules is taken for unanswered
_WIDE = setting(4, 2**31 - 1)  # a window for whatever comes back
_ROOM = frame(WINDOW, 0, 0, long(2**31 - 1 - 65_535))


class Asked:
    """Answers by what it was asked, and remembers it."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def __call__(self, message: bytes, _seconds: float) -> bytes:
        self.messages.append(message)
        return hashlib.sha256(message).digest() + message[:200]


@dataclass
class Pair:
    """One server of each transport."""

    folder: Path
    asked: dict[str, Asked] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)

    def path(self, transport: str) -> Path:
        return self.folder / transport


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    pool = CheckPool(4, 4)
    with tempfile.TemporaryDirectory(prefix="pair-") as folder:
        both = Pair(Path(folder))
        for transport in ("lean", "grpcio"):
            asked = both.asked[transport] = Asked()
            server = serve_checks(transport, both.path(transport), asked, pool)  # type: ignore[arg-type]
            both.servers.append(server)
        yield both
        for server in both.servers:
            server.stop(1)
    pool.shutdown()


@dataclass
class Heard:
    """What came back: how each stream ended (status and message), and whether it all ended."""

    ends: dict[int, str] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    over: bool = False


def say(path: Path, said: bytes, streams: set[int], patience: float) -> Heard:
    """Say *said*; hear until each of *streams* or the connection ended, or all fall silent."""
    heard, decoder, data = Heard(), Decoder(), b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience)
        connection.connect(str(path))
        # said by another thread: where both sides wait to write, nobody reads
        threading.Thread(target=_send, args=(connection, said), daemon=True).start()
        while not streams <= heard.ends.keys():
            try:
                piece = connection.recv(1 << 16)
            except ConnectionResetError:
                piece = b""
            except TimeoutError:
                break
            if not piece:
                heard.over = True
                break
            data += piece
            at = _whole(data)
            for each in split(data[:at]):
                _take(heard, decoder, each)
            data = data[at:]
    return heard


def _send(connection: socket.socket, said: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(said)


def _whole(data: bytes) -> int:
    at = 0
    while at + 9 <= len(data) and at + 9 + int.from_bytes(data[at : at + 3]) <= len(data):
        at += 9 + int.from_bytes(data[at : at + 3])
    return at


def _take(heard: Heard, decoder: Decoder, each: Frame) -> None:
    if each.kind == HEADERS:
        for name, value in decoder.decode(each.payload):
            if name == "grpc-status":
                heard.ends[each.stream] = f"status {value}"
        if each.flags & END_STREAM:
            heard.ends.setdefault(each.stream, "no status")
    elif each.kind == DATA:
        heard.bodies[each.stream] = heard.bodies.get(each.stream, b"") + each.payload
        if each.flags & END_STREAM:
            heard.ends.setdefault(each.stream, "no status")
    elif each.kind == RST:
        heard.ends.setdefault(each.stream, "reset")
    elif each.kind == GOAWAY:
        heard.over = heard.over or each.code != 0


def both(
    pair: Pair, said: bytes, streams: set[int], patience: float = 20.0
) -> dict[str, tuple[Heard, list[bytes]]]:
    """Say the same to both; what each heard, and what each was asked, in whatever order."""
    found = {}
    for transport, asked in pair.asked.items():
        asked.messages.clear()
        found[transport] = (
            say(pair.path(transport), said, streams, patience),
            sorted(asked.messages),
        )
    return found


def test_there_are_recordings_of_both_transports() -> None:
    assert [file.stem for file in RECORDED] == ["envoy-to-grpcio", "envoy-to-lean"]


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_what_a_real_envoy_said_is_answered_alike(pair: Pair, file: Path) -> None:
    said = file.read_bytes()
    frames = split(said.removeprefix(PREFACE))
    cancelled = {each.stream for each in frames if each.kind == RST}
    streams = {each.stream for each in frames if each.kind == HEADERS} - cancelled
    assert len(streams) >= 20
    assert cancelled
    found = both(pair, said, streams)
    (lean, lean_asked), (grpcio, grpcio_asked) = found["lean"], found["grpcio"]
    for stream in streams:
        assert lean.ends[stream] == grpcio.ends[stream] == "status 0"
        assert lean.bodies[stream] == grpcio.bodies[stream]
    # who cancels in one breath may not have been asked at all: by either
    answered = {body[5:37] for body in lean.bodies.values()}
    for asked in (lean_asked, grpcio_asked):
        assert answered <= {hashlib.sha256(message).digest() for message in asked}


TIMEOUTS = st.sampled_from(["60S", "90000m", "90000000u", "1H", "3M"])
HEADERS_MORE = st.lists(
    st.tuples(
        st.from_regex(r"x-[a-z0-9-]{1,20}", fullmatch=True),
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=300),
    ),
    max_size=4,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[bytes, set[int]]:
    """The bytes of a conversation within the rules, and its streams.

    Nothing is padded: grpcio does not take padding off headers, and fails such calls.
    """
    peer = FakePeer(settings=None, table=draw(st.sampled_from([0, 4096])))
    said = [PREFACE, frame(SETTINGS, 0, 0, _WIDE), _ROOM]
    streams = range(1, 2 * draw(st.integers(1, 6)), 2)
    bodies: list[list[bytes]] = []
    for stream in streams:
        pairs: Pairs = head(*draw(HEADERS_MORE), path=CHECK)
        if draw(st.booleans()):
            pairs.append(("grpc-timeout", draw(TIMEOUTS)))
        said += _head(draw, stream, peer.block(pairs))
        bodies.append(_body(draw, stream))
        if draw(st.booleans()):
            said.append(draw(st.sampled_from(_ASIDES)))
    while any(bodies):  # their frames in any order, each stream's own in its own
        said.append(draw(st.sampled_from([body for body in bodies if body])).pop(0))
    return b"".join(said), set(streams)


_ASIDES = [
    frame(PING, 0, 0, b"12345678"),
    frame(0xFA, 3, 0, b"nobody knows"),
    frame(PRIORITY, 0, 1, long(0) + b"\x10"),
    frame(SETTINGS, 0, 0, setting(3, 100)),
]


def _head(draw: st.DrawFn, stream: int, block: bytes) -> list[bytes]:
    flags, payload = 0, block
    if draw(st.booleans()):
        flags, payload = WITH_PRIORITY, long(0) + b"\x0f" + payload
    cut = draw(st.integers(6, len(payload)))
    if cut == len(payload):
        return [frame(HEADERS, flags | END_HEADERS, stream, payload)]
    return [
        frame(HEADERS, flags, stream, payload[:cut]),
        frame(CONTINUATION, END_HEADERS, stream, payload[cut:]),
    ]


def _body(draw: st.DrawFn, stream: int) -> list[bytes]:
    message = draw(st.binary(max_size=40)) * draw(st.sampled_from([1, 1, 30, 1000]))
    body, frames = envelope(message), []
    for _ in range(draw(st.integers(0, 3))):
        cut = draw(st.integers(0, min(len(body), 16_000)))
        frames.append(frame(DATA, 0, stream, body[:cut]))
        body = body[cut:]
    while len(body) > 16_000:
        frames.append(frame(DATA, 0, stream, body[:16_000]))
        body = body[16_000:]
    return [*frames, frame(DATA, END_STREAM, stream, body)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(conversation=calls())
def test_whatever_is_said_within_the_rules_is_answered_alike(
    pair: Pair, conversation: tuple[bytes, set[int]]
) -> None:
    said, streams = conversation
    found = both(pair, said, streams)
    (lean, lean_asked), (grpcio, grpcio_asked) = found["lean"], found["grpcio"]
    assert lean.ends == grpcio.ends == dict.fromkeys(streams, "status 0")
    assert lean.bodies == grpcio.bodies
    assert lean_asked == grpcio_asked


def start(*more: bytes) -> bytes:
    return b"".join((PREFACE, frame(SETTINGS, 0, 0, _WIDE), _ROOM, *more))


def ask(pairs: Pairs, body: bytes = envelope(b"m"), stream: int = 1) -> bytes:
    opening = frame(HEADERS, END_HEADERS, stream, FakePeer(settings=None).block(pairs))
    return opening + frame(DATA, END_STREAM, stream, body)


GOOD = head(path=CHECK)
_TOO_MUCH = envelope(bytes((1 << 20) + 1))
_MEBIBYTE = [
    frame(DATA, 0, 1, _TOO_MUCH[at : at + 16_384]) for at in range(0, len(_TOO_MUCH), 16_384)
]
#  beyond the rules of HTTP/2 or gRPC: no decision is made, or at least none is told
WRONG = [
    ("no preface", b"GET / HTTP/1.1\r\n\r\n" + b"x" * 30),
    ("an even stream", start(ask(GOOD, stream=2))),
    ("no path", start(ask(head(without=":path")))),
    ("a header with a capital", start(ask(head(("X-A", "b"), path=CHECK)))),
    ("HPACK that is none", start(frame(HEADERS, END_HEADERS, 1, b"\xff" * 40))),
    ("a frame too large", start(ask(GOOD, bytes(20_000)))),
    ("less than the prefix says", start(ask(GOOD, envelope(b"abc")[:-1]))),
    ("half a prefix", start(ask(GOOD, b"\0\0"))),
    ("compressed by nothing", start(ask(GOOD, envelope(b"m", 1)))),
    ("another method", start(ask(head(path=CHECK + "s")))),
    ("not gRPC", start(ask(head(("content-type", "text/html"), without="content-type")))),
    ("a padding over all", start(frame(HEADERS, 0xC, 1, b"\xff\x82"))),
    ("DATA before HEADERS", start(frame(DATA, END_STREAM, 1, b"x"))),
    ("a message over a mebibyte", start(ask(GOOD, b"")[:-9], *_MEBIBYTE)),
]  # fmt: skip


@pytest.mark.must(17)
@pytest.mark.parametrize(("name", "said"), WRONG, ids=[row[0] for row in WRONG])
def test_what_breaks_the_rules_is_answered_by_neither(pair: Pair, name: str, said: bytes) -> None:
    for heard, _asked in both(pair, said, {1}, SILENCE).values():
        assert heard.ends.get(1) != "status 0"
    (lean, asked), _ = both(pair, said, {1}, SILENCE).values()
    assert lean.over or lean.ends.get(1)  # silence would leave a client waiting
    assert asked == []
