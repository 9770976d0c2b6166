"""No header of ours can be forged (SECURITY.md 19), and none that steers a framework or Envoy."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import IDENTITY, Attack, Siege, ann, anonymous
from tests.e2e.attacks.sockets import Talk, pseudo, request

GROUP = "Identity: forged, misspelt and steering headers"

# What we write, with the operator's own extra header, and what carries a request's context.
OURS = (*IDENTITY, "x-attache-context", "x-request-id")
# What some frameworks or Envoy itself obey, and what only Envoy may say.
STEERING = (
    "x-original-url", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override",
    "x-envoy-original-path", "x-envoy-original-host", "x-envoy-decorator-operation", "x-envoy-upstream-alt-stat-name",
    "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries", "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-expected-rq-timeout-ms", "x-envoy-internal", "x-envoy-force-trace",
    "x-envoy-external-address", "x-envoy-hedge-on-per-try-timeout", "x-envoy-ip-tags", "x-envoy-attempt-count",
    "x-forwarded-client-cert", "proxy-authorization", "proxy-connection", "proxy", "keep-alive", "te",
)  # fmt: skip
# Spellings that some server or gateway interface reads as x-auth-subject.
SPELLINGS = (
    "x_auth_subject", "X_AUTH_SUBJECT", "x-auth_subject", "x_auth-subject", "X-Auth_Subject", "x__auth__subject",
    "x.auth.subject", "x-auth.subject", "x~auth~subject", "x!auth!subject", "X-AUTH-SUBJECT", "X-aUtH-sUbJeCt",
    "x_attache_context", "x_request_id", "x_correlation_id", "x_team", "X-Http_Method-Override", "http_x_auth_subject",
)  # fmt: skip
BROKEN = (
    "x-auth-subject ", "x-auth-subject\t", "x-auth-subject\0", "\0x-auth-subject",
    "x-auth-\rsubject", "x-auth-\x0bsubject", "x-auth-subject\xa0", "x-auth-sub\xefject", "(x-auth-subject)", "x-auth-subject,x-team", '"x-auth-subject"',
)  # fmt: skip
FOLDED = (" x-auth-subject", "\tx-auth-subject")
# RFC 9110 §7.6.1: a proxy drops the headers that Connection names. None of ours may go that way.
NOMINATED = (
    "authorization", "x-auth-kind", "x-auth-subject", "X-Auth-Roles", "x-team", "x-request-id", "x-correlation-id",
    "x-attache-context", "traceparent", "baggage", "host", "content-length", "x-forwarded-for, x-auth-subject", "close, x-auth-kind",
)  # fmt: skip


def _h1(
    name: str, *lines: str | bytes, answer: str = "200", reason: str = "", saw: int = 1
) -> list[Attack]:
    """The same as a stranger on an anonymous route, and as a user on a protected one."""
    return [
        Attack(f"h1 anonymous {name}", lambda s: request("/open/x", *lines), answer, reason, saw, anonymous),
        Attack(f"h1 user {name}", lambda s: request("/api/x", s.bearer, *lines), answer, reason, saw, ann),
    ]  # fmt: skip


def _h2(
    name: str, *fields: tuple[bytes, bytes], answer: str = "200", reason: str = "", saw: int = 1
) -> list[Attack]:
    return [
        Attack(f"h2 anonymous {name}", lambda s: Talk().headers(1, pseudo(b"/open/x", *fields)), answer, reason, saw, anonymous),
        Attack(f"h2 user {name}", lambda s: Talk().headers(1, pseudo(b"/api/x", s.field, *fields)), answer, reason, saw, ann),
    ]  # fmt: skip


def _spelt(name: str) -> list[Attack]:
    """Envoy refuses a `_`; another spelling of ours is removed."""
    refused = {"answer": "400", "reason": "envoy", "saw": 0} if "_" in name else {}
    over_two = {"answer": "reset", "saw": 0} if "_" in name else {}
    return [
        *_h1(f"spelling {name}", f"{name}: forged", **refused),  # type: ignore[arg-type]
        *_h2(f"spelling {name}", (name.lower().encode(), b"forged"), **over_two),  # type: ignore[arg-type]
    ]


def _nominated(name: str) -> list[Attack]:
    # Without `close` Envoy keeps the connection, which changes nothing.
    rows = []
    for who, target, clean in (("anonymous", "/open/x", anonymous), ("user", "/api/x", ann)):

        def says(s: Siege, target: str = target) -> bytes:
            lines = ["X-Auth-Subject: forged", f"Connection: {name}"]
            return request(target, *([s.bearer] if target == "/api/x" else []), *lines, close=False)

        # Envoy takes Authorization away before the agent is asked, and refuses to lose its own.
        lost = {
            "authorization": "401" if who == "user" else "200",
            "host": "400",
            "x-forwarded-for, x-auth-subject": "400",
        }
        answer = lost.get(name, "200")
        rows.append(
            Attack(f"h1 {who} Connection: {name}", says, answer, "", int(answer == "200"), clean)
        )
    return rows  # fmt: skip


HANDLES = (
    "attache=forgedforgedforged", "a=b,attache=forgedforgedforged", "%61ttache=forgedforgedforged", "attache =forgedforgedforged",
    "attache=forgedforgedforged;p=1", "a=b;x=1,attache=forgedforgedforged",
)  # fmt: skip
# What no transaction id looks like: another is made instead.
NO_IDS = (
    "forged forged",
    "forged,forged",
    '"forged"',
    "forged;a=b",
    "forged\tx",
    "forged\xe9",
    "{forged}",
    "<forged>",
    "forged" * 60,
)
TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def linked(seen: Seen, _: Siege) -> bool:
    """One handle, the one that we made, in all three carriers."""
    (handle,) = seen.all("x-attache-context")
    (baggage,), (state,) = seen.all("baggage"), seen.all("tracestate")
    return baggage.startswith(f"attache={handle}") and state.startswith(f"attache={handle}")


ROWS = (
    *(row for name in OURS for row in _h1(name, f"{name}: forged")),
    *(row for name in OURS for row in _h2(name, (name.encode(), b"forged"))),
    *_h1("all of them, twice", *(f"{name}: forged{n}" for n in "12" for name in OURS)),
    *(row for name in STEERING for row in _h1(name, f"{name}: forged")),
    *(row for name in STEERING if name not in ("te", "keep-alive", "proxy-connection") for row in _h2(name, (name.encode(), b"forged"))),
    *(row for name in SPELLINGS for row in _spelt(name)),
    *(row for name in BROKEN for row in _h1(f"name {name!r}", f"{name}: forged", answer="400", reason="envoy", saw=0)),
    # a continued line (RFC 9112 §5.2): it belongs to the header before it
    *(Attack(f"h1 folded {name!r}", lambda s, n=name: request("/api/x", s.bearer, f"{n}: forged"), "401", "malformed_token") for name in FOLDED),
    *(row for name in (*BROKEN, *FOLDED) for row in _h2(f"name {name!r}", (name.encode("latin-1"), b"forged"), answer="closed", saw=0)),
    *_h2("name in capitals", (b"X-Auth-Subject", b"forged"), answer="closed", saw=0),
    *_h2("name of no letters", (b"", b"forged"), answer="closed", saw=0),
    *(row for name in NOMINATED for row in _nominated(name)),
    *(row for handle in HANDLES for row in (
        Attack(f"h1 baggage {handle}", lambda s, h=handle: request("/open/x", f"baggage: {h}"), "200", "", 1, linked),
        Attack(f"h1 tracestate {handle}", lambda s, h=handle: request("/open/x", TRACE, f"tracestate: {h}"), "200", "", 1, linked),
    )),
    Attack("h1 baggage twice", lambda s: request("/open/x", "baggage: a=b", "Baggage: attache=forgedforgedforged"), "200", "", 1, linked),
    *(row for value in NO_IDS for row in _h1(f"correlation id {value[:40]!r}", f"X-Correlation-Id: {value}")),
    *_h1("correlation id with a NUL", "X-Correlation-Id: forged\0", answer="400", reason="envoy", saw=0),
)  # fmt: skip
