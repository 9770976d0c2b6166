"""Oversized everything (SECURITY.md 13, 42): each has a bound, and somebody who says no."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import Attack, Siege
from tests.e2e.attacks.sockets import Talk, pseudo, request

GROUP = "Sizes: everything too long or too many"

KIB = 1024


def padded(siege: Siege, size: int) -> str:
    """A validly signed token of about *size* bytes."""
    return siege.token(pad="x" * max(0, (size - len(siege.user)) * 3 // 4 - 8))


def short(seen: Seen, _: Siege) -> bool:
    return all(len(value) < 9 * KIB for _, value in seen.headers)


ROWS = (
    Attack("h1 URL of 8 KiB", lambda s: request("/open/" + "a" * 8187), "400", "bad_path"),
    Attack("h1 URL of 60 KiB", lambda s: request("/open/" + "a" * 60_000), "400", "bad_path"),
    Attack("h1 URL of 64 KiB", lambda s: request("/open/" + "a" * 65_536), "431", "envoy"),
    Attack("h1 URL of 1 MiB", lambda s: request("/open/" + "a" * 1_048_576), "431", "envoy"),
    Attack("h1 query of 60 KiB", lambda s: request("/api/x?" + "a" * 60_000), "401", "missing_token"),
    Attack("h1 path of 4,000 segments", lambda s: request("/admin" + "/a" * 4000), "401", "missing_token"),
    Attack("h1 path of 2,600 escapes", lambda s: request("/admin/" + "%61" * 2600), "401", "missing_token"),
    Attack("h1 dots without end", lambda s: request("/open" + "/.." * 2000 + "/admin"), "401", "missing_token"),
    Attack("h1 slashes without end", lambda s: request("/" * 8000 + "admin"), "401", "missing_token"),
    Attack("h1 method of 8 KiB", lambda s: request("/open/x", method="G" * 8192), "400", "envoy"),
    Attack("h1 host of 262 characters", lambda s: request("/open/x", host="h" * 262), "400", "no_route"),
    Attack("h1 host of 8 KiB", lambda s: request("/open/x", host="h" * 8192), "400", "no_route"),
    Attack("h1 host of 60 KiB", lambda s: request("/inner/x", host="inner.test" * 6000), "400", "no_route"),
    Attack("h1 a header of 60 KiB", lambda s: request("/api/x", "X-A: " + "a" * 60_000), "401", "missing_token"),
    Attack("h1 a header of 64 KiB", lambda s: request("/open/x", "X-A: " + "a" * 65_536), "431", "envoy"),
    Attack("h1 a header of 1 MiB", lambda s: request("/open/x", "X-A: " + "a" * 1_048_576), "431", "envoy"),
    Attack("h1 a header's name of 64 KiB", lambda s: request("/open/x", "X" * 65_536 + ": a"), "431", "envoy"),
    Attack("h1 60 headers of 2 KiB", lambda s: request("/open/x", *(f"X-{n}: " + "a" * 2000 for n in range(60))), "431", "envoy"),
    Attack("h1 101 headers", lambda s: request("/open/x", *(f"X-{n}: a" for n in range(101))), "431", "envoy"),
    Attack("h1 1,000 headers", lambda s: request("/open/x", *(f"X-{n}: a" for n in range(1000))), "431", "envoy"),
    Attack("h1 40 Authorization headers", lambda s: request("/api/x", *(s.bearer for _ in range(40))), "401", "malformed_token"),
    Attack("h1 token of just 16 KiB is one", lambda s: request("/api/x", f"Authorization: Bearer {padded(s, 16 * KIB - 100)}"), "200", "", 1),
    Attack("h1 token of 16 KiB and a little", lambda s: request("/api/x", f"Authorization: Bearer {padded(s, 16 * KIB + 40)}"), "401", "malformed_token"),
    Attack("h1 token of 100 KiB", lambda s: request("/api/x", f"Authorization: Bearer {padded(s, 100 * KIB)}"), "431", "envoy"),
    Attack("h1 token of 60 KiB of dots", lambda s: request("/api/x", "Authorization: Bearer " + "." * 60_000), "401", "malformed_token"),
    Attack("h1 scheme of 60 KiB", lambda s: request("/api/x", "Authorization: " + "B" * 60_000), "401", "missing_token"),
    Attack("h1 baggage of 30 KiB", lambda s: request("/open/x", "Baggage: a=" + "b" * 30_000), "200", "", 1, short),
    Attack("h1 tracestate of 30 KiB", lambda s: request("/open/x", "Tracestate: a=" + "b" * 30_000), "200", "", 1, short),
    Attack("h1 correlation id of 30 KiB", lambda s: request("/open/x", "X-Correlation-Id: " + "b" * 30_000), "200", "", 1, short),
    Attack("h1 correlation id of 1 MiB", lambda s: request("/open/x", "X-Correlation-Id: " + "b" * 1_048_576), "431", "envoy"),
    Attack("h1 chunk extension of 1 MiB", lambda s: request("/api/x", "Transfer-Encoding: chunked", method="POST", body=b"3;" + b"a" * 1_048_576 + b"\r\nabc\r\n0\r\n\r\n"), "401", "missing_token|envoy"),
    Attack("h1 body of 4 MiB, refused", lambda s: request("/api/x", "Content-Length: 4194304", method="POST", body=b"x" * 4_194_304), "401", "missing_token"),
    Attack("h2 URL of 60 KiB", lambda s: Talk().headers(1, pseudo(b"/open/" + b"a" * 60_000)), "400", "bad_path"),
    Attack("h2 URL of 1 MiB", lambda s: Talk().headers(1, pseudo(b"/open/" + b"a" * 1_048_576)), "goaway"),
    Attack("h2 a header of 64 KiB", lambda s: Talk().headers(1, pseudo(b"/open/x", (b"x-a", b"a" * 65_536))), "reset"),
    Attack("h2 1,000 headers", lambda s: Talk().headers(1, pseudo(b"/open/x", *((f"x-{n}".encode(), b"a") for n in range(1000)))), "reset"),
    Attack("h2 token of 16 KiB and a little", lambda s: Talk().headers(1, pseudo(b"/api/x", (b"authorization", f"Bearer {padded(s, 16 * KIB + 40)}".encode()))), "401", "malformed_token"),
    Attack("h2 method of 8 KiB", lambda s: Talk().headers(1, pseudo(b"/open/x", method=b"G" * 8192)), "403"),
)  # fmt: skip
