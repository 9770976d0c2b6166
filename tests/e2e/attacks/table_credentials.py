"""Exactly one credential (SECURITY.md 14), however it is doubled, split, spelt or hidden."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from collections.abc import Callable

from tests.e2e.attacks.siege import Attack, Siege, ann
from tests.e2e.attacks.sockets import Bytes, Talk, pseudo, request

GROUP = "Credentials: doubled, split, misspelt, hidden"

Lines = Callable[[Siege], "list[str | bytes]"]


def _one(name: str, lines: Lines, answer: str, reason: str = "", saw: int = 0) -> Attack:
    return Attack(f"h1 {name}", lambda s: request("/api/x", *lines(s)), answer, reason, saw, ann)


def _two(
    name: str,
    fields: Callable[[Siege], list[tuple[bytes, bytes]]],
    answer: str,
    reason: str = "",
    saw: int = 0,
) -> Attack:
    def talk(siege: Siege) -> Talk:
        return Talk().headers(1, pseudo(b"/api/x", *fields(siege)))

    return Attack(f"h2 {name}", talk, answer, reason, saw, ann)


def _t(siege: Siege) -> bytes:
    return siege.user.encode()


AUTH = b"authorization"

ROWS = (
    _one("none", lambda s: [], "401", "missing_token"),
    _one("twice the same", lambda s: [s.bearer, s.bearer], "401", "malformed_token"),
    _one("good, then bad", lambda s: [s.bearer, "Authorization: Bearer forged"], "401", "malformed_token"),
    _one("bad, then good", lambda s: ["Authorization: Bearer forged", s.bearer], "401", "malformed_token"),
    _one("basic, then good", lambda s: ["Authorization: Basic Zm9yZ2Vk", s.bearer], "401", "missing_token"),
    _one("good, then basic", lambda s: [s.bearer, "Authorization: Basic Zm9yZ2Vk"], "401", "malformed_token"),
    _one("two, cases differ", lambda s: [s.bearer, "AUTHORIZATION: Bearer forged"], "401", "malformed_token"),
    # Envoy joins values and leaves out empty ones: one credential is decided on and passed on
    _one("two, the first empty", lambda s: ["Authorization:", s.bearer], "200", saw=1),
    _one("two, the last empty", lambda s: [s.bearer, "Authorization:"], "200", saw=1),
    _one("comma", lambda s: [s.bearer + ",Bearer forged"], "401", "malformed_token"),
    _one("comma and space", lambda s: [s.bearer + ", Bearer forged"], "401", "malformed_token"),
    _one("trailing comma", lambda s: [s.bearer + ","], "401", "malformed_token"),
    _one("semicolon", lambda s: [s.bearer + ";forged"], "401", "malformed_token"),
    _one("two schemes in one", lambda s: ["Authorization: Basic Bearer " + s.user], "401", "missing_token"),
    _one("scheme twice", lambda s: ["Authorization: Bearer Bearer " + s.user], "401", "malformed_token"),
    _one("two spaces", lambda s: ["Authorization: Bearer  " + s.user], "401", "malformed_token"),
    _one("tab", lambda s: ["Authorization: Bearer\t" + s.user], "401", "malformed_token"),
    _one("no space", lambda s: ["Authorization: Bearer" + s.user], "401", "missing_token"),
    _one("colon", lambda s: ["Authorization: Bearer:" + s.user], "401", "malformed_token"),
    _one("no scheme", lambda s: ["Authorization: " + s.user], "401", "missing_token"),
    _one("scheme only", lambda s: ["Authorization: Bearer"], "401", "malformed_token"),
    _one("scheme and a space", lambda s: ["Authorization: Bearer "], "401", "malformed_token"),
    _one("other scheme", lambda s: ["Authorization: DPoP " + s.user], "401", "missing_token"),
    _one("scheme with a look-alike letter", lambda s: ["Authorization: Be\xc4\xb1rer ".encode("latin-1") + _t(s)], "401", "missing_token"),
    _one("quoted", lambda s: [f'Authorization: Bearer "{s.user}"'], "401", "malformed_token"),
    _one("as a parameter", lambda s: [f"Authorization: Bearer token={s.user}"], "401", "malformed_token"),
    _one("padded", lambda s: [s.bearer + "="], "401", "malformed_token"),
    _one("trailing dot", lambda s: [s.bearer + "."], "401", "malformed_token"),
    _one("a space inside", lambda s: [s.bearer[:80] + " " + s.bearer[80:]], "401", "malformed_token"),
    _one("a letter with an umlaut", lambda s: [s.bearer + "\xfc"], "401", "malformed_token"),
    _one("percent-encoded", lambda s: [s.bearer.replace(".", "%2e")], "401", "malformed_token"),
    _one("signature cut off", lambda s: [s.bearer.rpartition(".")[0] + "."], "401", "malformed_token"),
    _one("signature of another token", lambda s: [s.bearer.rpartition(".")[0] + "." + s.token(sub="b").rpartition(".")[2]], "401", "invalid_token"),
    _one("NUL at the end", lambda s: [s.bearer + "\0"], "400", "envoy"),
    _one("NUL inside", lambda s: [s.bearer[:80] + "\0" + s.bearer[80:]], "400", "envoy"),
    # RFC 9112 §5.2: Envoy makes one line of a folded one, for the agent and the application alike
    _one("continued line, space", lambda s: ["Authorization: Bearer\r\n " + s.user], "200", saw=1),
    _one("continued line, tab", lambda s: ["Authorization:\r\n\tBearer " + s.user], "200", saw=1),
    _one("good, continued with another", lambda s: [s.bearer + "\r\n ,Bearer forged"], "401", "malformed_token"),
    _one("space before the colon", lambda s: ["Authorization : Bearer " + s.user], "400", "envoy"),
    _one("tab before the colon", lambda s: ["Authorization\t: Bearer " + s.user], "400", "envoy"),
    _one("space before the name", lambda s: ["X-A: b", " Authorization: Bearer " + s.user], "401", "missing_token"),
    _one("underscore", lambda s: ["authorization_: Bearer " + s.user], "400", "envoy"),
    _one("in another header", lambda s: ["Proxy-Authorization: Bearer " + s.user, "X-Authorization: Bearer " + s.user], "401", "missing_token"),
    _one("in a cookie", lambda s: ["Cookie: access_token=" + s.user], "401", "missing_token"),
    _one("case of name and scheme is free", lambda s: ["aUTHORIZATION: bEARER " + s.user], "200", saw=1),
    _one("white space around is no part of it", lambda s: ["Authorization: \t Bearer " + s.user + " \t"], "200", saw=1),
    Attack("h1 in the query (RFC 6750 §2.3)", lambda s: request(f"/api/x?access_token={s.user}"), "401", "missing_token"),
    Attack("h1 in a form (RFC 6750 §2.2)", lambda s: request("/api/x", "Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(s.user) + 13}", method="POST", body=b"access_token=" + _t(s)), "401", "missing_token"),
    Attack("h1 in the userinfo", lambda s: request(f"http://{s.user}@judged.test/api/x"), "400|401|403", "envoy|missing_token|no_route"),
    Attack("h1 in the body's end", lambda s: request("/api/x", "Transfer-Encoding: chunked", method="POST", body=b"0\r\nAuthorization: Bearer " + _t(s) + b"\r\n\r\n"), "401", "missing_token"),
    Attack("h1 in pieces, a byte at a time", lambda s: Bytes(tuple(bytes([b]) for b in request("/api/x", "Authorization: Bearer forged"))), "401", "malformed_token"),
    _two("none", lambda s: [], "401", "missing_token"),
    _two("twice the same", lambda s: [s.field, s.field], "401", "malformed_token"),
    _two("good, then bad", lambda s: [s.field, (AUTH, b"Bearer forged")], "401", "malformed_token"),
    _two("bad, then good", lambda s: [(AUTH, b"Bearer forged"), s.field], "401", "malformed_token"),
    _two("two, the first empty", lambda s: [(AUTH, b""), s.field], "200", saw=1),
    _two("basic, then good", lambda s: [(AUTH, b"Basic Zm9yZ2Vk"), s.field], "401", "missing_token"),
    _two("name in capitals", lambda s: [(b"Authorization", b"Bearer " + _t(s))], "closed"),
    _two("name with a space", lambda s: [(b"authorization ", b"Bearer " + _t(s))], "closed"),
    _two("name with a NUL", lambda s: [(b"authorization\0", b"Bearer " + _t(s))], "closed"),
    _two("value with a NUL", lambda s: [(AUTH, b"Bearer " + _t(s) + b"\0")], "closed"),
    _two("value with a line break", lambda s: [(AUTH, b"Bearer " + _t(s) + b"\r\nx-auth-kind: forged")], "closed"),
    _two("value with a line feed", lambda s: [(AUTH, b"Bearer " + _t(s) + b"\nx-auth-kind: forged")], "closed"),
    _two("value with a space before", lambda s: [(AUTH, b" Bearer " + _t(s))], "401|reset|200"),
    _two("value with a space behind", lambda s: [(AUTH, b"Bearer " + _t(s) + b" ")], "401|reset|200"),
    _two("comma", lambda s: [(AUTH, b"Bearer " + _t(s) + b",Bearer forged")], "401", "malformed_token"),
    Attack("h2 in the trailers", lambda s: Talk().headers(1, pseudo(b"/api/x"), end=False).data(1, b"x", end=False).headers(1, [s.field]), "401", "missing_token"),
)  # fmt: skip
