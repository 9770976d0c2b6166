"""The agent's own sockets, as somebody inside the pod might use them (SECURITY.md 17, 24, 42)."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

import gzip
import random

from tests.e2e.attacks.siege import Attack, Says
from tests.e2e.attacks.sockets import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST,
    SETTINGS,
    Bytes,
    Fields,
    Talk,
    frame,
    pseudo,
)  # fmt: skip

GROUP = "Sockets: garbage for the agent itself"

CHECK = b"/envoy.service.auth.v3.Authorization/Check"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
JUNK = random.Random(4).randbytes(65_536)


def grpc(*more: tuple[bytes, bytes], path: bytes = CHECK, method: bytes = b"POST") -> Fields:
    return pseudo(
        path, (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more, method=method
    )


def _call(body: bytes, *more: tuple[bytes, bytes]) -> Says:
    return lambda s: Talk().headers(1, grpc(*more), end=False).data(1, body)


def _resets(count: int) -> Talk:
    talk = Talk().headers(1, grpc())
    block = talk.block(grpc())  # all in the table now, so that it is the same each time
    for stream in range(3, 2 * count, 2):
        talk.raw(HEADERS, END_HEADERS | END_STREAM, stream, block)
        talk.raw(RST, 0, stream, b"\0\0\0\x08")
    talk.streams.clear()
    return talk.headers(2 * count + 1, grpc())


def _repeated(kind: int, payload: bytes, count: int, flags: int = 0, stream: int = 0) -> Talk:
    talk = Talk()
    for _ in range(count):
        talk.raw(kind, flags, stream, payload)
    return talk.headers(1, grpc())


def _row(name: str, says: Says, answer: str, at: str = "socket") -> Attack:
    return Attack(f"{at} {name}", says, answer, at=at)


ROWS = (
    *(row for at in ("socket", "xds") for row in (
        _row("HTTP/1.1", lambda s: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "closed", at),
        _row("TLS", lambda s: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, "closed", at),
        _row("64 KiB of nothing known", lambda s: JUNK, "closed", at),
        _row("half a preface, and half-closed", lambda s: Bytes((PREFACE[:12],), ends="half"), "closed", at),
        _row("nothing, and a reset", lambda s: Bytes((PREFACE,), ends="reset"), "closed", at),
    )),
    _row("a preface, then silence", lambda s: Bytes((PREFACE,), hangs=True), "silence"),
    _row("a preface, then junk", lambda s: PREFACE + JUNK, "closed"),
    _row("a frame of 16 MiB", lambda s: Talk().raw(SETTINGS, 0, 0).headers(1, grpc(), end=False).raw(DATA, 0, 1, b"x" * 20_000), "goaway"),
    _row("no SETTINGS first", lambda s: PREFACE + frame(PING, 0, 0, b"\0" * 8), "closed"),
    _row("GET", lambda s: Talk().headers(1, pseudo(b"/")), "415"),
    _row("GET of a Check", lambda s: Talk().headers(1, grpc(method=b"GET")), "415"),
    _row("another method", lambda s: Talk().headers(1, grpc(path=b"/evil.Service/Do"), end=False).data(1, b"\0\0\0\0\0"), "200"),
    _row("no message", lambda s: Talk().headers(1, grpc()), "200"),
    _row("an empty message", _call(b"\0\0\0\0\0"), "200"),
    _row("a message of junk", _call(b"\0\0\0\x01\0" + JUNK[:256]), "200"),
    _row("a message that says 4 GiB", _call(b"\0\xff\xff\xff\xffabc"), "200"),
    _row("a message that says too little", _call(b"\0\0\0\0\x01abc"), "200"),
    _row("two messages", _call(b"\0\0\0\0\0" * 2), "200"),
    _row("compressed, not said how", _call(b"\x01\0\0\0\x03abc"), "200"),
    _row("compressed in an unknown way", _call(b"\x01\0\0\0\x03abc", (b"grpc-encoding", b"forged")), "200"),
    _row("gzip of junk", _call(b"\x01\0\0\0\x03abc", (b"grpc-encoding", b"gzip")), "200"),
    _row("a bomb of gzip", _call(b"\x01" + len(packed := gzip.compress(b"\0" * (10 << 20))).to_bytes(4) + packed, (b"grpc-encoding", b"gzip")), "200"),
    _row("a time-out of nonsense", _call(b"\0\0\0\0\0", (b"grpc-timeout", b"forged")), "reset"),
    _row("a time-out of nothing", _call(b"\0\0\0\0\0", (b"grpc-timeout", b"0n")), "200"),
    _row("100 KiB of headers", lambda s: Talk().headers(1, [*grpc(), (b"x-a", b"a" * 100_000)]), "goaway"),
    _row("1,000 headers", lambda s: Talk().headers(1, [*grpc(), *((f"x-{n}".encode(), b"a") for n in range(1000))]), "goaway"),
    _row("a header of CR and LF", _call(b"\0\0\0\0\0", (b"x-a", b"b\r\nc")), "reset"),
    _row("bytes that are not UTF-8", _call(b"\0\0\0\0\0", (b"x-a", b"\xff\xfe")), "reset|goaway"),
    _row("content-length that lies", _call(b"\0\0\0\0\0", (b"content-length", b"99")), "reset"),
    _row("data on an idle stream", lambda s: Talk().data(7, b"abc").headers(9, grpc()), "goaway"),
    _row("an even stream", lambda s: Talk().headers(2, grpc()), "goaway"),
    _row("HPACK of junk", lambda s: Talk().raw(HEADERS, END_HEADERS | END_STREAM, 1, JUNK[:200]).headers(3, grpc()), "goaway"),
    _row("CONTINUATION without end", lambda s: Talk().raw(HEADERS, END_STREAM, 1, b"\x83").raw(CONTINUATION, 0, 1, b"\x86" * 16_000).raw(CONTINUATION, 0, 1, b"\x86" * 16_000).headers(3, grpc()), "goaway"),
    _row("2,000 streams, each reset", lambda s: _resets(2000), "200"),
    _row("30,000 PINGs", lambda s: _repeated(PING, b"\0" * 8, 30_000), "goaway"),
    _row("30,000 SETTINGS", lambda s: _repeated(SETTINGS, b"", 30_000), "goaway"),
)  # fmt: skip
