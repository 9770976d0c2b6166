"""What only HTTP/2 can say (RFC 9113 §8.2, §8.3, §10.5; RFC 8441): fields, frames and their order."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from collections.abc import Callable

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import Attack, Siege, ann
from tests.e2e.attacks.sockets import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    Talk,
    pseudo,
)  # fmt: skip

GROUP = "Frames: what only HTTP/2 can say"

Field = tuple[bytes, bytes]


def _fields(
    name: str, fields: list[Field], answer: str = "closed", saw: int = 0, clean: object = None
) -> Attack:
    return Attack(f"h2 {name}", lambda s: Talk().headers(1, fields), answer, "", saw, clean)  # type: ignore[arg-type]


def _frames(
    name: str,
    talk: Callable[[Siege], Talk],
    answer: str = "closed",
    saw: int = 0,
    clean: object = None,
) -> Attack:
    return Attack(f"h2 {name}", talk, answer, "", saw, clean)  # type: ignore[arg-type]


def bare(seen: Seen, _: Siege) -> bool:
    """What belongs to one connection went no further, nor did trailers."""
    return not seen.trailers and not any(
        seen.all(name)
        for name in ("connection", "keep-alive", "te", "upgrade", "transfer-encoding")
    )


def get(*more: Field, **wanted: bytes | None) -> list[Field]:
    return pseudo(b"/open/x", *more, **wanted)


def post(talk: Talk, *more: Field) -> Talk:
    return talk.headers(1, get(*more, method=b"POST"), end=False)


def _block(talk: Talk) -> bytes:
    return talk.block(get())


def rapid_reset(s: Siege) -> Talk:
    """CVE-2023-44487: streams opened and reset at once."""
    talk = Talk()
    for stream in range(1, 1001, 2):
        talk.headers(stream, pseudo(b"/api/x"), end=True).raw(RST, 0, stream, b"\0\0\0\x08")
    talk.streams = [999]
    return talk


def bomb(s: Siege) -> Talk:
    """HPACK: one big entry of the table, named again and again (RFC 7541 §7.3)."""
    talk = Talk()
    encoded = talk.block([*get(), (b"x-bomb", b"f" * 3900)])
    talk.streams = [1]
    return talk.raw(HEADERS, END_HEADERS | END_STREAM, 1, encoded + b"\xbe" * 12_000)


def continuations(count: int, payload: bytes = b"") -> Callable[[Siege], Talk]:
    """CVE-2024-27316: header blocks that never end."""

    def say(s: Siege) -> Talk:
        talk = Talk()
        talk.raw(HEADERS, END_STREAM, 1, _block(talk))
        for _ in range(count):
            talk.raw(CONTINUATION, 0, 1, payload)
        talk.streams = [1]
        return talk

    return say


def flood(
    kind: int, payload: bytes, count: int, flags: int = 0, stream: int = 0
) -> Callable[[Siege], Talk]:
    def say(s: Siege) -> Talk:
        talk = Talk()
        for _ in range(count):
            talk.raw(kind, flags, stream, payload)
        return talk.headers(1, pseudo(b"/api/x"))

    return say


ROWS = (
    # pseudo-headers (§8.3)
    *(_fields(f"two {n.decode()}", [*get(), (n, v)]) for n, v in ((b":path", b"/admin/x"), (b":method", b"POST"), (b":scheme", b"https"))),
    _fields("two :path, the second first", [(b":path", b"/admin/x"), *get()]),
    *(_fields(f"no {n.decode()}", [f for f in get() if f[0] != n]) for n in (b":path", b":method", b":scheme")),
    *(_fields(f"empty {n.decode()}", [f for f in get() if f[0] != n] + [(n, b"")]) for n in (b":path", b":method", b":scheme")),
    _fields(":path behind a header", [*get()[:3], (b"x-a", b"b"), get()[3]]),
    _fields(":method behind a header", [(b"x-a", b"b"), *get()]),
    *(_fields(f"pseudo-header {n.decode()}", [*get()[:3], (n, b"forged"), get()[3]]) for n in (b":status", b":forged", b":", b":Path", b":path ", b":protocol", b":x-auth-kind")),
    _fields(":path without a slash", pseudo(b"open/x")),
    _fields(":path with a line break", pseudo(b"/open/x HTTP/1.1\r\nx-auth-kind: forged")),
    _fields(":method with a space", get(method=b"GET /admin")),
    _fields(":method with a line break", get(method=b"GET /admin HTTP/1.1\r\nx: ")),
    _fields(":method in small letters", get(method=b"get"), "403"),
    _fields(":method CONNECT without a path", [(b":method", b"CONNECT"), (b":authority", b"judged.test:80")], "404"),
    _fields(":method CONNECT with a path", get(method=b"CONNECT"), "closed"),
    _fields("extended CONNECT (RFC 8441)", [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *get()[1:]]),
    _fields(":scheme https on plain text", get(scheme=b"https"), "200", 1, bare),
    _fields(":scheme forged", get(scheme=b"ftp"), "200", 1),
    _fields(":scheme with a path", get(scheme=b"http://judged.test/admin?"), "closed"),
    # fields (§8.2)
    *(_fields(f"field {n!r}: {v!r}", get((n, v))) for n, v in (
        (b"X-A", b"b"), (b"", b"b"), (b"x a", b"b"), (b"x\ta", b"b"), (b"x:a", b"b"), (b"x\r\na", b"b"), (b"x\0a", b"b"), (b"\xc3\xa9", b"b"), (b"x(a)", b"b"),
        (b"x-a", b"b\r\nx-auth-kind: forged"), (b"x-a", b"b\nc"), (b"x-a", b"b\rc"), (b"x-a", b"b\0c"),
    )),
    *(_fields(f"hop-by-hop {n.decode()}: {v.decode()}", get((n, v))) for n, v in (
        (b"connection", b"close"), (b"connection", b"x-auth-kind"), (b"keep-alive", b"1"), (b"proxy-connection", b"close"), (b"upgrade", b"h2c"), (b"transfer-encoding", b"chunked"), (b"te", b"gzip"),
    )),
    _fields("te: trailers is allowed, and stays here", get((b"te", b"trailers")), "200", 1),
    _fields("cookie in crumbs", get((b"cookie", b"a=b"), (b"cookie", b"c=d")), "200", 1, bare),
    # bodies
    _frames("content-length too small", lambda s: post(Talk(), (b"content-length", b"3")).data(1, b"abcdef"), "reset"),
    _frames("content-length too great", lambda s: post(Talk(), (b"content-length", b"9")).data(1, b"abc"), "reset"),
    _frames("content-length twice", lambda s: post(Talk(), (b"content-length", b"3"), (b"content-length", b"5")).data(1, b"abc")),
    _frames("content-length +3", lambda s: post(Talk(), (b"content-length", b"+3")).data(1, b"abc")),
    _frames("content-length 3 and no body", lambda s: Talk().headers(1, get((b"content-length", b"3"), method=b"POST"))),
    _frames("a request in the body", lambda s: post(Talk(), (b"content-length", b"28")).data(1, b"GET /admin HTTP/1.1\r\nhost: x"), "200", 1, bare),
    # trailers
    _frames("trailers of ours", lambda s: post(Talk()).data(1, b"abc", end=False).headers(1, [(b"x-auth-subject", b"forged"), (b"x-team", b"forged")]), "200", 1, bare),
    _frames("trailers with a credential", lambda s: Talk().headers(1, pseudo(b"/api/x", s.field, method=b"POST"), end=False).data(1, b"a", end=False).headers(1, [(b"authorization", b"Bearer forged")]), "200", 1, ann),
    _frames("trailers with an underscore", lambda s: post(Talk()).data(1, b"abc", end=False).headers(1, [(b"x_auth_subject", b"forged")]), "reset", 0),
    _frames("trailers with a pseudo-header", lambda s: post(Talk()).data(1, b"abc", end=False).headers(1, [(b":path", b"/admin")]), "closed", 0),
    _frames("trailers with capitals", lambda s: post(Talk()).data(1, b"abc", end=False).headers(1, [(b"X-Auth-Kind", b"forged")]), "closed", 0),
    _frames("trailers that do not end the stream", lambda s: post(Talk()).data(1, b"abc", end=False).headers(1, [(b"x-auth-kind", b"forged")], end=False), "closed", 0),
    # frames out of place
    _frames("DATA before HEADERS", lambda s: Talk().data(1, b"abc").headers(3, get()), "goaway"),
    _frames("HEADERS on stream 0", lambda s: Talk().headers(0, get())),
    _frames("HEADERS on an even stream", lambda s: Talk().headers(2, get())),
    _frames("HEADERS on an older stream", lambda s: Talk(hangs=True).headers(5, get()).headers(3, get()), "200,silence", 1),
    _frames("CONTINUATION alone", lambda s: Talk().raw(CONTINUATION, END_HEADERS, 1, b"").headers(3, get()), "goaway"),
    _frames("another frame between HEADERS and CONTINUATION", lambda s: Talk().raw(HEADERS, END_STREAM, 1, b"\x82").raw(PING, 0, 0, b"\0" * 8).headers(3, get()), "goaway"),
    _frames("PUSH_PROMISE from a client", lambda s: Talk().raw(PUSH, END_HEADERS, 1, b"\0\0\0\x02").headers(3, get()), "closed"),
    _frames("padding longer than the frame", lambda s: Talk().raw(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, b"\xff\x82").headers(3, get()), "goaway"),
    _frames("a frame larger than allowed", lambda s: post(Talk()).raw(DATA, END_STREAM, 1, b"x" * 20_000), "goaway"),
    _frames("SETTINGS of half a setting", lambda s: Talk().raw(SETTINGS, 0, 0, b"\0\0\0").headers(1, get()), "goaway"),
    _frames("SETTINGS with a table of 4 GiB", lambda s: Talk(b"\0\1\xff\xff\xff\xff").headers(1, get()), "200", 1),
    _frames("SETTINGS with a window too great", lambda s: Talk(b"\0\4\xff\xff\xff\xff").headers(1, get())),
    _frames("WINDOW_UPDATE of nothing", lambda s: Talk().raw(WINDOW, 0, 0, b"\0\0\0\0").headers(1, get())),
    _frames("WINDOW_UPDATE beyond 2^31", lambda s: Talk().raw(WINDOW, 0, 0, b"\x7f\xff\xff\xff").raw(WINDOW, 0, 0, b"\x7f\xff\xff\xff").headers(1, get())),
    _frames("RST_STREAM of an idle stream", lambda s: Talk().raw(RST, 0, 1, b"\0\0\0\0").headers(3, get())),
    _frames("a stream that depends on itself", lambda s: Talk().raw(PRIORITY, 0, 1, b"\0\0\0\x01\0").headers(1, get()), "200", 1),
    _frames("an unknown frame", lambda s: Talk().raw(0xFA, 0xFF, 0, b"forged" * 10).headers(1, get()), "200", 1),
    _frames("GOAWAY, then a request", lambda s: Talk().raw(GOAWAY, 0, 0, b"\0" * 8).headers(1, get()), "200", 1),
    _frames("HPACK index of nothing", lambda s: Talk().raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\x7f").headers(3, get()), "goaway"),
    _frames("HPACK table grown beyond its size", lambda s: Talk().raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\x7f\x82").headers(3, get()), "goaway"),
    _frames("HPACK integer without end", lambda s: Talk().raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 40).headers(3, get()), "goaway"),
    _frames("HPACK Huffman code broken", lambda s: Talk().raw(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x40\x81\xff\x81\xff").headers(3, get()), "goaway"),
    # floods, each bounded
    _frames("HPACK bomb", bomb, "reset"),
    _frames("CONTINUATION without end", continuations(2000), "closed"),
    _frames("CONTINUATION with 1 MiB of headers", continuations(64, b"\x40\x01a\x7f\x80\x7f" + b"f" * 16_000), "closed"),
    _frames("rapid reset of 500 streams", rapid_reset, "closed"),
    _frames("PINGs", flood(PING, b"\0" * 8, 12_000), "closed"),
    _frames("SETTINGS", flood(SETTINGS, b"", 12_000), "closed"),
    _frames("empty DATA", lambda s: [talk := post(Talk()), [talk.data(1, b"", end=False) for _ in range(500)]][0], "closed"),  # type: ignore[return-value]
    _frames("PRIORITY", flood(PRIORITY, b"\0\0\0\0\0", 12_000, 0, 1), "closed"),
    _frames("WINDOW_UPDATE", flood(WINDOW, b"\0\0\0\x01", 12_000), "closed"),
    _frames("more streams than allowed", lambda s: [talk := Talk(), [talk.headers(n, pseudo(b"/api/x"), end=False) for n in range(1, 241, 2)], setattr(talk, "streams", [239])][0], "reset"),  # type: ignore[return-value]
)  # fmt: skip
