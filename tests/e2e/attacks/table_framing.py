"""Where a request ends: Envoy and the application must agree, or a second one slips in unasked.

RFC 9112 §6.3 and §11.2 (smuggling), §5.2 (folding), §7.1 (chunks); RFC 9110 §7.8 (upgrade).
"""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import Attack, Siege, ann
from tests.e2e.attacks.sockets import Bytes, request

GROUP = "Framing: smuggling, trailers, versions, upgrades, pipelines"

# What would be served if it got through as a request of its own.
INNER = b"GET /admin/forged HTTP/1.1\r\nHost: judged.test\r\nConnection: close\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"


def _post(
    name: str,
    *lines: str | bytes,
    body: bytes,
    answer: str = "400",
    reason: str = "envoy",
    saw: int = 0,
    clean: object = None,
    close: bool = True,
) -> Attack:
    says = lambda s: request("/open/x", *lines, method="POST", body=body, close=close)  # noqa: E731
    return Attack(f"h1 {name}", says, answer, reason, saw, clean)  # type: ignore[arg-type]


def _te(value: str | bytes) -> Attack:
    """Transfer-Encoding misspelt, beside a length: whoever believes the other ends elsewhere."""
    line = b"Transfer-Encoding:" + (value.encode() if isinstance(value, str) else value)
    return Attack(
        f"h1 TE.CL {value!r}",
        lambda s: request(
            "/open/x",
            line,
            f"Content-Length: {5 + len(INNER)}",
            method="POST",
            body=b"0\r\n\r\n" + INNER,
        ),
        "400|501",
        "envoy",
    )


def _length(value: str) -> Attack:
    return Attack(
        f"h1 Content-Length {value!r}",
        lambda s: request("/open/x", f"Content-Length:{value}", method="POST", body=b"abc"),
        "400",
        "envoy",
    )


def _first(
    raw: bytes, name: str, answer: str = "400", reason: str = "envoy", saw: int = 0
) -> Attack:
    return Attack(f"h1 {name}", lambda s: raw, answer, reason, saw)


def body_only(seen: Seen, _: Siege) -> bool:
    """What was sent as a body arrived as one."""
    return seen.method == "POST" and seen.body == b"abc" and not seen.trailers


def plain(seen: Seen, _: Siege) -> bool:
    """No protocol was switched and no hop's header went through."""
    return not any(seen.all(name) for name in ("upgrade", "connection", "http2-settings", "te"))


def one_word(seen: Seen, siege: Siege) -> bool:
    """The upgrade itself, and nothing that would make the next hop drop a header of ours."""
    return [word.lower() for word in seen.all("connection")] == ["upgrade"] and ann(seen, siege)


def pipelined(s: Siege) -> Bytes:
    """Allowed, without a token, allowed, forged: each is decided on by itself."""
    good = request("/api/x", s.bearer, close=False)
    return Bytes((
        good + request("/api/x", close=False) + good
        + request("/api/x", "Authorization: Bearer forged", close=False)
        + request("/admin/x", s.bearer),
    ))  # fmt: skip


WS = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: Zm9yZ2Vk",
)

ROWS = (
    # two lengths, or a length and chunks
    _post("CL.TE", "Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG"),
    _post("TE.CL", CHUNKED, "Content-Length: 4", body=b"5c\r\n" + INNER + b"\r\n0\r\n\r\n"),
    _post("CL.TE, a whole request inside", f"Content-Length: {5 + len(INNER)}", CHUNKED, body=b"0\r\n\r\n" + INNER),
    _post("CL.0 with a request behind", "Content-Length: 0", body=INNER, answer="200", reason="", saw=1),
    _post("CL twice, different", "Content-Length: 3", "Content-Length: 5", body=b"abcde"),
    _post("CL twice, the same", "Content-Length: 3", "Content-Length: 3", body=b"abc", answer="400"),
    _post("CL in capitals too", "Content-Length: 3", "CONTENT-LENGTH: 5", body=b"abcde"),
    *(_length(v) for v in (" +3", " -3", " 3, 3", " 3 3", " 0x3", " 3.0", " 3e0", " \xb3", " 99999999999999999999", " 18446744073709551619", " ", " three", " 3;", " \x0b3", " 3\0")),
    _post("TE twice", CHUNKED, "Transfer-Encoding: identity", body=b"0\r\n\r\n", answer="501"),
    _post("TE identity", "Transfer-Encoding: identity", body=b"abc", answer="501"),
    _post("TE gzip, chunked", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n", answer="501"),
    _post("TE chunked, chunked", "Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n", answer="501"),
    *(_te(v) for v in (" xchunked", " chunked;q=1", " chunked, identity", " 'chunked'", ' "chunked"', "\x0bchunked", " chunked\0", " chun ked", " chunk", " \x0cchunked", " cow", " ,chunked", " chunked,", " c\xc4\xa5unked")),
    _post("TE, space before the colon", "Transfer-Encoding : chunked", f"Content-Length: {5 + len(INNER)}", body=b"0\r\n\r\n" + INNER),
    _post("TE, folded", "Transfer-Encoding:\r\n chunked", f"Content-Length: {5 + len(INNER)}", body=b"0\r\n\r\n" + INNER),
    _post("TE with an underscore", "Transfer_Encoding: chunked", "Content-Length: 3", body=b"abc"),
    Attack("h1 TE of HTTP/1.0", lambda s: request("/open/x", CHUNKED, method="POST", body=b"0\r\n\r\n", version="HTTP/1.0"), "426", "envoy"),
    # chunks
    *(_post(f"chunk size {size!r}", CHUNKED, body=size + b"\r\nabc\r\n0\r\n\r\n", answer="400")
      for size in (b"0x3", b"+3", b"-3", b"g", b"", b" 3 3", b"3\0", b"fffffffffffffffff", b"\xb3")),
    _post("chunk extension", CHUNKED, body=b'3;a="forged"\r\nabc\r\n0;b\r\n\r\n', answer="200", reason="", saw=1, clean=body_only),
    _post("chunk ended by a bare LF", CHUNKED, body=b"3\nabc\n0\n\n"),
    _post("chunk with more than it says", CHUNKED, body=b"3\r\nabcdef\r\n0\r\n\r\n", answer="200", reason="", saw=1, clean=body_only),
    _post("body behind the last chunk", CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n" + INNER, answer="200", reason="", saw=1, clean=body_only),
    _post("body longer than its length", "Content-Length: 3", body=b"abc" + INNER, answer="200", reason="", saw=1, clean=body_only),
    _post("trailers of chunks", CHUNKED, "Trailer: x-auth-subject", body=b"3\r\nabc\r\n0\r\nx-auth-subject: forged\r\nAuthorization: Bearer forged\r\n\r\n", answer="200", reason="", saw=1, clean=body_only),
    _post("trailers that change the framing", CHUNKED, body=b"3\r\nabc\r\n0\r\nContent-Length: 99\r\nHost: forged\r\n\r\n", answer="200", reason="", saw=1, clean=body_only),
    # pipelines
    Attack("h1 pipeline, each decided on", pipelined, "200,401,200,401,403", "|missing_token|malformed_token|insufficient_role", 2),
    Attack("h1 pipeline, refused with a body", lambda s: request("/api/x", f"Content-Length: {len(INNER)}", method="POST", body=INNER + request("/api/x"), close=False), "401,401", "missing_token"),
    Attack("h1 pipeline behind an upgrade", lambda s: request("/open/ws", *WS, close=False, body=INNER), "200", "", 1),
    # lines
    _first(b"GET /open/x HTTP/1.1\nHost: judged.test\nConnection: close\n\n", "bare LF", "200", "", 1),
    Attack("h1 bare CR", lambda s: Bytes((b"GET /open/x HTTP/1.1\rHost: judged.test\r\r",), hangs=True), "silence"),
    _first(b"GET /open/x HTTP/1.1\r\nHost: judged.test\r\nX-A: b\rX-Auth-Kind: f\r\nConnection: close\r\n\r\n", "bare CR in a value", "200", "", 1),
    _first(b"GET /open/x HTTP/1.1\r\nHost: judged.test\r\nX-A: b\nX-Auth-Kind: forged\r\nConnection: close\r\n\r\n", "bare LF in a value", "200", "", 1),
    _first(b"GET /open/x HTTP/1.1\r\nHost: judged.test\r\nX-A: b\0X-Auth-Kind: forged\r\nConnection: close\r\n\r\n", "NUL in a value"),
    _first(b"GET /open/x HTTP/1.1\r\nHost: judged.test\r\nX-A\0: b\r\nConnection: close\r\n\r\n", "NUL in a name"),
    _first(b"GET /open/x HTTP/1.1\r\nHost: judged.test\r\nno colon\r\nConnection: close\r\n\r\n", "a line without a colon"),
    _first(b"GET /open/x HTTP/1.1\r\nHost: judged.test\r\n: forged\r\nConnection: close\r\n\r\n", "a header without a name"),
    _first(b"GET /open/x HTTP/1.1\r\n X-A: forged\r\nHost: judged.test\r\nConnection: close\r\n\r\n", "folded first line", "400", "envoy"),
    _first(b"\0\r\n\r\n", "NUL alone"),
    _first(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, "TLS where none is spoken", "400"),
    _first(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "another protocol"),
    _first(b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" + request("/open/x"), "PROXY protocol"),
    # versions
    *(_first(line + b"\r\nHost: judged.test\r\n\r\n", f"first line {line!r}", answer, "envoy") for line, answer in (
        (b"GET /open/x", "426"), (b"GET /open/x HTTP/0.9", "426"), (b"GET /open/x HTTP/1.0", "426"), (b"GET /open/x HTTP/1.2", "426"), (b"GET /open/x HTTP/2.0", "426"),
        (b"GET /open/x HTTP/1", "400"), (b"GET /open/x http/1.1", "400"), (b"GET /open/x HTTP/01.1", "400"),
        (b"GET /open/x HTTP/1.1\x0b", "400"), (b" GET /open/x HTTP/1.1", "400"), (b"GET", "400"), (b"GET /open/x forged HTTP/1.1", "400"),
    )),
    # more white space than there should be: the application gets what was decided on, spelt well
    *(_first(line + b"\r\nHost: judged.test\r\nConnection: close\r\n\r\n", f"first line {line!r}", "200", "", 1) for line in (b"GET /open/x HTTP/1.1 ", b"GET  /open/x HTTP/1.1", b"GET\t/open/x\tHTTP/1.1")),
    _first(b"GET /open/x HTTP/1.0\r\n\r\n", "HTTP/1.0 without a host", "426"),
    _first(b"GET /open/x\r\n", "HTTP/0.9", "426"),
    # methods
    *(Attack(f"h1 method {m!r}", lambda s, m=m: request("/open/x", method=m), "400|403", "envoy|no_route") for m in (
        "get", "GeT", "TRACE", "TRACK", "CONNECT", "PURGE", "PROPFIND", "DEBUG", "X", "G\0T", "GET;", "_GET", "G:T", b"G\xcbT")),
    # upgrades
    Attack("h1 upgrade to h2c", lambda s: request("/open/x", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings", close=False), "200", "", 1, plain),
    Attack("h1 upgrade to h2c on a protected route", lambda s: request("/api/x", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings", close=False), "401", "missing_token"),
    *(Attack(f"h1 upgrade to {p}", lambda s, p=p: request("/open/x", f"Upgrade: {p}", "Connection: Upgrade", close=False), "403", "envoy") for p in (
        "TLS/1.0", "HTTP/2.0", "websocket, h2c", "h2c, websocket", "forged", "WebSocket2")),
    Attack("h1 WebSocket without a token", lambda s: request("/ws/accept", *WS, close=False), "401", "missing_token"),
    Attack("h1 WebSocket with a forged token", lambda s: request("/ws/accept", *WS, "Authorization: Bearer forged", close=False), "401", "malformed_token"),
    Attack("h1 WebSocket by POST", lambda s: request("/ws/accept", *WS, method="POST", close=False), "401", "missing_token"),
    Attack("h1 WebSocket, and the token as a subprotocol", lambda s: request("/ws/accept", *WS, f"Sec-WebSocket-Protocol: bearer, {s.user}", close=False), "401", "missing_token"),
    Attack("h1 WebSocket refused, a request in its frames", lambda s: request("/ws/accept", *WS, close=False, body=INNER), "401", "missing_token"),
    Attack("h1 WebSocket that drops our headers", lambda s: request("/ws/accept", s.bearer, "Upgrade: websocket", "Connection: Upgrade, X-Auth-Subject, Authorization", close=False), "101", "", 1, one_word),
    Attack("h1 WebSocket that keeps alive", lambda s: request("/ws/accept", s.bearer, "Upgrade: websocket", "Connection: keep-alive, Upgrade", close=False), "101", "", 1),
    # expectations
    Attack("h1 Expect: 100-continue without a token", lambda s: request("/api/x", "Expect: 100-continue", "Content-Length: 6", method="POST", body=b"forged"), "401", "missing_token"),
    Attack("h1 Expect: a miracle", lambda s: request("/open/x", "Expect: a-miracle"), "200", "", 1),
)  # fmt: skip
