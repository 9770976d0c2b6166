"""Which host is asked for (SECURITY.md 21): decided on as the application gets it, or refused.

/inner is open to everybody under the host inner.test, and to admins under any other.
"""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import Attack, Siege
from tests.e2e.attacks.sockets import Talk, pseudo, request

GROUP = "Hosts: doubled, disguised, contradicted"


def inner(seen: Seen, _: Siege) -> bool:
    """The application gets the host that opened the route, once, and no other."""
    return seen.host.lower().rstrip(".").split(":")[0].rstrip(".") == "inner.test"


def _h1(
    name: str,
    *lines: str | bytes,
    target: bytes | str = "/inner/x",
    host: bytes | str | None = None,
    answer: str = "400",
    saw: int = 0,
) -> Attack:
    return Attack(
        f"h1 {name}", lambda s: request(target, *lines, host=host), answer, "", saw, inner
    )


def _h2(
    name: str,
    *fields: tuple[bytes, bytes],
    authority: bytes | None = None,
    answer: str = "400",
    saw: int = 0,
) -> Attack:
    return Attack(
        f"h2 {name}",
        lambda s: Talk().headers(1, pseudo(b"/inner/x", *fields, authority=authority)),
        answer,
        "",
        saw,
        inner,
    )


# What a Host header may not be, and what somebody may read as inner.test in it.
BAD = (
    b"inner.test,judged.test", b"judged.test,inner.test", b"inner.test:", b"inner.test:x", b"inner.test:80:80", b"inner.test:-1", b"inner.test:999999",
    b".inner.test", b"inner.test..", b"-inner.test", b"inner.test-", b"inner%2etest", b"inner.test%00", b"[inner.test]", b"[::1%25eth0]",
    b"[::1", b"::1", b"inner.test;x", b"inner.test'", b"*", b"*.test",
)  # fmt: skip
# Not the bytes of an authority (RFC 3986 §3.2): HTTP/2's connection ends.
BROKEN = (
    b"inner.test judged.test", b"inner.test/", b"inner.test/judged.test", b"inner.test?", b"inner.test#judged.test", b"x@inner.test", b"inner.test@judged.test",
    b"inner.test\\judged.test", b"http://inner.test", b'"inner.test"', b"inner.test\xff", b"\xef\xbd\x89nner.test", b"inner\xe3\x80\x82test", b"inner.test ", b"inner.test\0", b"inner.test\r\nhost: judged.test", b"",
)  # fmt: skip
# Another host by all readings: asked for as such, and the stranger is no admin there.
OTHER = (
    b"judged.test",
    b"xinner.test",
    b"inner..test",
    b"inner.test.evil.test",
    b"inner-test",
    b"inner_test",
    b"127.0.0.1",
    b"[::1]",
    b"localhost",
    b"inner.tes",
    b"inner.test.judged.test:80",
)
# The same host by RFC 9110 §4.2.3, RFC 1034 §3.1: case, port and the root's dot change nothing.
SAME = (
    b"inner.test",
    b"INNER.test",
    b"inner.test:80",
    b"inner.test:1",
    b"inner.test.",
    b"inner.test.:80",
)

ROWS = (
    *(_h1(f"Host {host!r}", host=host) for host in BAD),
    *(_h2(f":authority {host!r}", authority=host) for host in BAD),
    *(_h1(f"Host {host!r}", host=host) for host in BROKEN[:-4]),
    *(_h2(f":authority {host!r}", authority=host, answer="closed") for host in BROKEN),
    *(_h1(f"Host {host!r}", host=host, answer="401") for host in OTHER),
    *(_h2(f":authority {host!r}", authority=host, answer="401") for host in OTHER),
    *(_h1(f"Host {host!r}", host=host, answer="200", saw=1) for host in SAME),
    *(_h2(f":authority {host!r}", authority=host, answer="200", saw=1) for host in SAME),
    _h1("no Host"),
    _h1("empty Host", host="", answer="400"),
    _h1("two, inner first", "Host: inner.test", "Host: judged.test"),
    _h1("two, inner last", "Host: judged.test", "Host: inner.test"),
    _h1("two, the same", "Host: inner.test", "Host: inner.test"),
    _h1("two, cases differ", "Host: judged.test", "hOST: inner.test"),
    _h1("two, one empty", "Host:", "Host: judged.test", answer="401"),
    _h1("folded", "Host: judged.test\r\n inner.test"),
    _h1("space before the colon", "Host : inner.test", host="judged.test"),
    _h1("NUL", host=b"inner.test\0judged.test"),
    _h1("absolute form beats Host (RFC 9112 §3.2.2)", target="http://judged.test/inner/x", host="inner.test", answer="401"),
    _h1("absolute form is what the application gets", target="http://inner.test/inner/x", host="judged.test", answer="200", saw=1),
    _h1("absolute form without Host", target="http://inner.test/inner/x", answer="200", saw=1),
    _h1("absolute form with userinfo", target="http://inner.test@judged.test/inner/x", host="judged.test", answer="401"),
    _h1("absolute form with a userinfo that looks like a host", target="http://judged.test@inner.test/inner/x", host="judged.test", answer="200", saw=1),
    _h1("absolute form, https", target="https://judged.test/inner/x", host="inner.test", answer="401"),
    _h1("absolute form, no path", target="http://inner.test", host="judged.test", answer="200", saw=1),
    _h1("absolute form, query at once", target="http://judged.test?/inner/x", host="inner.test", answer="404"),
    _h1("authority form", target="inner.test:80", host="inner.test"),
    _h1("CONNECT", target="inner.test:80", host="inner.test", answer="400"),
    *(_h1(f"{name} says inner", f"{name}: inner.test", host="judged.test", answer="401") for name in (
        "X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server", "X-HTTP-Host-Override", "X-Envoy-Original-Host", "Forwarded", "Via", "Origin", "Referer")),
    _h1(":authority says inner", ":authority: inner.test", host="judged.test"),
    _h2("neither :authority nor host", answer="closed"),
    _h2("host alone", (b"host", b"inner.test"), answer="200", saw=1),
    _h2("host contradicts :authority", (b"host", b"inner.test"), authority=b"judged.test", answer="401"),
    _h2(":authority contradicts host", (b"host", b"judged.test"), authority=b"inner.test", answer="200", saw=1),
    _h2("two :authority", (b":authority", b"inner.test"), authority=b"judged.test", answer="closed"),
    _h2("two host", (b"host", b"inner.test"), (b"host", b"judged.test"), answer="closed"),
    _h2(":authority empty, host inner", (b"host", b"inner.test"), authority=b"", answer="closed"),
    _h2("x-forwarded-host", (b"x-forwarded-host", b"inner.test"), authority=b"judged.test", answer="401"),
)  # fmt: skip
