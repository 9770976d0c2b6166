"""Clients that say what no library would: any bytes, any frames. What was answered is a word each.

A word is the status of one answer, `closed` (no answer), `reset` (an HTTP/2 stream), `goaway`, or
`silence` (nothing, and the connection stands).
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import hpack

PATIENCE = 10.0  # seconds; an upper bound for what takes milliseconds
LINGER = 0.01  # seconds in which an answer too many would come

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY = 1, 4, 8, 32

Fields = Iterable[tuple[bytes, bytes]]
Where = int | Path
"""A port of loopback, or the path of a Unix socket."""


def connect(where: Where) -> socket.socket:
    """A connection on which nothing waits for company."""
    if isinstance(where, Path):
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.settimeout(PATIENCE)
        unix.connect(str(where))
        return unix
    connection = socket.create_connection(("127.0.0.1", where), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@dataclass
class Heard:
    """What came back: a word for each answer, their bodies, and the last one's headers."""

    words: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return ",".join(self.words)

    @property
    def reasons(self) -> list[str]:
        """Our own reason of each answer; `envoy` where Envoy refused by itself."""
        return [_reason(body) for word, body in zip(self.words, self.bodies, strict=False) if word]


def _reason(body: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["type"]).removeprefix("urn:attache:")
    return "envoy" if body != b"ok" else ""


class Talks(Protocol):
    """Something to say."""

    def exchange(self, where: Where, answers: int) -> Heard:
        """Say it, and hear *answers* answers."""
        ...


@dataclass(frozen=True)
class Bytes:
    """HTTP/1.1: what is sent, piece by piece; *ends* says how: with a half-close or a reset."""

    pieces: tuple[bytes, ...]
    hangs: bool = False
    ends: str = ""

    def exchange(self, where: Where, answers: int) -> Heard:
        """Say it, and hear until *answers* answers are complete."""
        with connect(where) as connection:
            with contextlib.suppress(ConnectionError):
                for piece in self.pieces:
                    connection.sendall(piece)
                _end(connection, self.ends)
            if self.ends == "reset":
                return Heard(["closed"])
            return _hear(connection, answers, 0.2 if self.hangs else PATIENCE)


def _end(connection: socket.socket, how: str) -> None:
    if how == "half":
        connection.shutdown(socket.SHUT_WR)
    elif how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def _hear(connection: socket.socket, answers: int, patience: float) -> Heard:
    heard, held = Heard(), b""
    while True:
        held = _take(heard, held)
        connection.settimeout(LINGER if len(heard.words) >= answers else patience)
        try:
            more = connection.recv(65536)
        except TimeoutError:
            if len(heard.words) < answers or not heard.words:
                heard.words.append("silence")
            return heard
        except ConnectionError:
            more = b""
        if not more:
            if not heard.words:
                heard.words.append("closed")
            return heard
        held += more


def _take(heard: Heard, held: bytes) -> bytes:
    """Move complete answers from *held* to *heard*; 1xx but 101 are no answers."""
    while b"\r\n\r\n" in held:
        head, _, rest = held.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ")[1]
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            return held
        held = rest[size:]
        if status == "101":
            heard.words.append(status)
            heard.bodies.append(held)
            return b""
        if not status.startswith("1"):
            heard.words.append(status)
            heard.bodies.append(rest[:size])
            heard.headers = headers
    return held


def request(
    target: bytes | str,
    *lines: bytes | str,
    method: bytes | str = "GET",
    host: bytes | str | None = "judged.test",
    body: bytes = b"",
    version: str = "HTTP/1.1",
    close: bool = True,
) -> bytes:
    """One request; *lines* are whole header lines, as they are."""
    first = b" ".join([_raw(method), _raw(target), version.encode()])
    named = [first] + ([b"Host: " + _raw(host)] if host is not None else [])
    named += [_raw(line) for line in lines] + ([b"Connection: close"] if close else [])
    return b"\r\n".join(named) + b"\r\n\r\n" + body


def _raw(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


class Talk:
    """HTTP/2: a connection's frames, written by hand."""

    def __init__(self, settings: bytes = b"", *, hangs: bool = False) -> None:
        self._encoder = hpack.Encoder()
        self.sent = bytearray(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.streams: list[int] = []
        self.hangs = hangs

    def block(self, fields: Fields) -> bytes:
        return self._encoder.encode(list(fields), huffman=False)

    def headers(self, stream: int, fields: Fields, *, end: bool = True, flags: int = 0) -> Talk:
        """A stream's headers (or trailers), in CONTINUATION frames where they are long."""
        block = self.block(fields)
        if stream not in self.streams:
            self.streams.append(stream)
        first, rest = block[:16384], block[16384:]
        last = END_HEADERS if not rest else 0
        self.sent += frame(HEADERS, flags | last | (END_STREAM if end else 0), stream, first)
        while rest:
            part, rest = rest[:16384], rest[16384:]
            self.sent += frame(CONTINUATION, 0 if rest else END_HEADERS, stream, part)
        return self

    def raw(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> Talk:
        self.sent += frame(kind, flags, stream, payload)
        return self

    def data(self, stream: int, payload: bytes, *, end: bool = True) -> Talk:
        return self.raw(DATA, END_STREAM if end else 0, stream, payload)

    def exchange(self, where: Where, answers: int) -> Heard:
        """Say it, and hear until every stream has its end or the connection has."""
        with connect(where) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(self.sent)
            if self.hangs:
                connection.settimeout(0.2)
            return _Reader(self.streams).hear(connection)


class _Reader:
    """Reads frames until each stream has its end."""

    def __init__(self, streams: list[int]) -> None:
        self._decoder = hpack.Decoder()
        self._words: dict[int, str] = {}
        self._bodies: dict[int, bytes] = dict.fromkeys(streams, b"")
        self._headers: dict[str, str] = {}
        self._open = set(streams)
        self._gone = ""

    def hear(self, connection: socket.socket) -> Heard:
        held = b""
        while self._open and not self._gone:
            try:
                more = connection.recv(65536)
            except TimeoutError:
                self._gone = "silence"
                break
            except ConnectionError:
                more = b""
            if not more:
                self._gone = "closed"
                break
            held += more
            while len(held) >= 9 and len(held) >= 9 + (size := int.from_bytes(held[:3])):
                self._read(held[3], held[4], int.from_bytes(held[5:9]), held[9 : 9 + size])
                held = held[9 + size :]
        words = [self._words.get(one, self._gone) for one in self._bodies]
        if not words:
            words = [self._gone]
        return Heard(words, list(self._bodies.values()), self._headers)

    def _read(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == GOAWAY:
            if int.from_bytes(payload[4:8]):
                self._gone = "goaway"
            return
        if kind == HEADERS:
            fields: list[Any] = list(self._decoder.decode(payload, raw=True))
            headers = {name.decode(): value.decode("latin-1") for name, value in fields}
            if not headers.get(":status", "1").startswith("1"):  # else 1xx, or trailers
                self._words[stream] = headers[":status"]
                self._headers = headers
        elif kind == DATA:
            self._bodies[stream] = self._bodies.get(stream, b"") + payload
        elif kind == RST and stream not in self._words:
            self._words[stream] = "reset"
        if kind == RST or (kind in (HEADERS, DATA) and flags & END_STREAM):
            self._open.discard(stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113 §4.1."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def pseudo(
    path: bytes | None = b"/open/x",
    *fields: tuple[bytes, bytes],
    method: bytes | None = b"GET",
    scheme: bytes | None = b"http",
    authority: bytes | None = b"judged.test",
) -> list[tuple[bytes, bytes]]:
    """The fields of a request; None leaves one out."""
    wanted = [(b":method", method), (b":scheme", scheme), (b":authority", authority)]
    wanted.append((b":path", path))
    return [(name, value) for name, value in wanted if value is not None] + list(fields)
