"""Does the inbound half keep its contract (DESIGN.md §4, §9) for a stranger's issuers and clients?"""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract_inbound_court import T1, T2, T3, T4, Court
from tests.e2e.contract_inbound_tools import Answer, Key, b64, life, until

pytestmark = pytest.mark.e2e

NONE = b'{"alg":"none"}'


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    folder = tmp_path_factory.mktemp("court")
    (folder / "signing").mkdir()
    _signing_key(folder / "signing" / "one.pem")
    made = Court(folder)
    with made.pod:
        until(lambda: made.pod.ask("/api/x", made.tenant()).status == 200, "corp's keys")
        until(lambda: made.pod.ask("/api/x", made.user()).status == 200, "partner's keys")
        until(lambda: _named(made, "secure") and _named(made, "far"), "the https issuers' keys")
        yield made
    made.close()


def _named(court: Court, name: str) -> bool:
    token = {"secure": court.user(court.secure, iss=court.tls.url),
             "far": court.internal(court.far, iss="https://far", client_id="far/edge", act={"sub": "far/edge"})}  # fmt: skip
    return court.pod.ask("/api/x", token[name]).status == 200


def _signing_key(file: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(Key("k", "EC").private.private_bytes(serialization.Encoding.PEM, *form))


def refused(answer: Answer, status: int, reason: str) -> dict[str, Any]:
    """The whole form of a denial (DESIGN.md §9, SECURITY.md 18); returns its body."""
    assert (answer.status, answer.reason) == (status, reason), answer.body
    body: dict[str, Any] = answer.json
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["correlationId"]
    assert body["correlationId"] == answer.headers["x-correlation-id"]
    challenge = answer.headers.get("www-authenticate", "")
    assert challenge.startswith("Bearer") == (
        status == 401
        or reason.startswith("insufficient_")
        or reason in ("user_required", "app_required", "tenant_not_allowed")
    )
    if reason == "missing_token":
        assert "error=" not in challenge
    elif status == 401:
        assert "error=" in challenge
    assert "eyJ" not in answer.body.decode()
    return body


# (name, token of the court, what becomes of it: None is 200)
TOKENS: dict[str, tuple[Any, tuple[int, str] | None]] = {
    "rsa without alg in its jwk": (lambda c: c.user(), None),
    "ec without alg in its jwk": (lambda c: c.user(c.ec), None),
    "second audience": (lambda c: c.user(aud="b"), None),
    "one of several audiences": (lambda c: c.user(aud=["z", "b"]), None),
    "typ at+jwt": (lambda c: c.rsa.token(_claims(c.user()), typ="at+jwt"), None),
    "no typ": (lambda c: c.rsa.token(_claims(c.user()), typ=None), None),
    "https issuer with its own ca": (lambda c: c.user(c.secure, iss=c.tls.url), None),
    "v2 of a listed tenant": (lambda c: c.tenant(), None),
    "key scoped to its tenant": (lambda c: c.tenant(key=c.scoped), None),
    "v1 of a listed tenant": (lambda c: _v1(c), None),
    "templated issuer": (lambda c: c.tenant(T2), None),
    "any tenant": (lambda c: c.tenant(T4, c.any_key, iss=f"{c.world.url}/{T4}/v2.0"), None),
    "internal by file": (lambda c: c.internal(), None),
    "internal by url": (lambda c: c.internal(c.far, iss="https://far", client_id="far/edge", act=None), None),
    "no kid": (lambda c: c.rsa.token(_claims(c.user()), kid=None), (401, "unknown_key")),
    "unknown kid": (lambda c: Key("nobody").token(_claims(c.user())), (401, "unknown_key")),
    "kid is a number": (lambda c: c.rsa.token(_claims(c.user()), kid=7), (401, "malformed_token")),
    "another's key": (lambda c: Key("e1", "EC").token(_claims(c.user())), (401, "invalid_token")),
    "key of another issuer": (lambda c: c.user(c.secure), (401, "unknown_key")),
    "expired": (lambda c: c.user(**life(-61)), (401, "expired_token")),
    "no exp": (lambda c: c.user(exp=None), (401, "invalid_token")),
    "exp is text": (lambda c: c.user(exp="9999999999"), (401, "invalid_token")),
    "not yet": (lambda c: c.user(nbf=int(time.time()) + 120), (401, "invalid_token")),
    "no aud": (lambda c: c.user(aud=None), (401, "wrong_audience")),
    "other aud": (lambda c: c.user(aud="A"), (401, "wrong_audience")),
    "empty aud": (lambda c: c.user(aud=[]), (401, "invalid_token")),
    "other issuer": (lambda c: c.user(iss="https://evil.test"), (401, "untrusted_issuer")),
    "issuer with a slash": (lambda c: c.user(iss=c.plain.url + "/realm/x/"), (401, "untrusted_issuer")),
    "crit": (lambda c: c.rsa.token(_claims(c.user()), crit=["exp"]), (401, "malformed_token")),
    "alg none": (lambda c: _unsigned(c), (401, "malformed_token")),
    "duplicate claims": (lambda c: c.rsa.token(b'{"iss":"a","iss":"b"}'), (401, "malformed_token")),
    "not a token": (lambda c: "abc", (401, "malformed_token")),
    "json": (lambda c: '{"payload":"x"}', (401, "malformed_token")),
    "too long": (lambda c: c.user(pad="x" * 17000), (401, "malformed_token")),
    "v1 of a tenant without that document": (lambda c: _v1(c, T2), (503, "issuer_unavailable")),
    "tenant not listed": (lambda c: c.tenant(T3), (403, "tenant_not_allowed")),
    "tid of another tenant": (lambda c: c.tenant(T1, tid=T2), (401, "invalid_token")),
    "tid in capitals": (lambda c: c.tenant(T1, tid=T1.upper()), (401, "invalid_token")),
    "key scoped to another tenant": (lambda c: c.tenant(T2, c.scoped), (401, "invalid_token")),
    "id token": (lambda c: c.tenant(scp=None), (401, "invalid_token")),
    "late issuer": (lambda c: c.user(c.late_key, iss=c.late.url), (503, "issuer_unavailable")),
    "stolen internal key": (lambda c: c.internal(c.other), (401, "invalid_token")),
    "internal key of nobody": (lambda c: c.internal(c.unbound), (401, "invalid_token")),
    "internal for another": (lambda c: c.internal(aud="else"), (401, "wrong_audience")),
    "internal as JWT": (lambda c: c.internal(typ="JWT"), (401, "invalid_token")),
    "internal for a day": (lambda c: c.internal(**life(86400)), (401, "invalid_token")),
    "internal that was here": (lambda c: c.internal(act={"sub": "shop/gateway", "act": {"sub": "court/judged"}}), (403, "call_loop")),
    "internal with too many hops": (lambda c: c.internal(hops=9), (403, "call_loop")),
    "internal issuer, external key": (lambda c: c.user(c.ec, iss="https://gw"), (401, "unknown_key")),
}  # fmt: skip


def _claims(token: str) -> bytes:
    import base64

    body = token.split(".")[1]
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))


def _unsigned(court: Court) -> str:
    return f"{b64(NONE)}.{court.user().split('.')[1]}."


def _v1(court: Court, tid: str = T1) -> str:
    iss = f"https://sts.example.test/{tid}/"
    return court.tenant(tid, court.v1, iss=iss, ver="1.0", azp=None, appid="spa")


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_is_taken_or_refused_for_its_reason(court: Court, name: str) -> None:
    make, expected = TOKENS[name]
    answer = court.pod.ask("/api/x", make(court))
    if expected is None:
        assert answer.status == 200, answer.body
    else:
        refused(answer, *expected)


# path, method, token, status, reason, required and granted
ROUTES: list[tuple[str, str, Any, int, str, tuple[list[str], list[str]] | None]] = [
    ("/healthz", "GET", None, 200, "", None),
    ("/healthz?x=/../%2f", "GET", None, 200, "", None),
    ("/healthz", "POST", None, 403, "no_route", None),
    ("/nowhere", "GET", lambda c: c.user(), 403, "no_route", None),
    ("/item/1", "GET", lambda c: c.user(), 200, "", None),
    ("/item/1", "PUT", lambda c: c.user(), 403, "no_route", None),
    ("/item/1/2", "GET", lambda c: c.user(), 403, "no_route", None),
    ("/item/1", "DELETE", lambda c: c.user(), 403, "insufficient_scope", (["nobody"], ["read"])),
    ("/api", "GET", lambda c: c.user(), 200, "", None),
    ("/api/a%20b", "GET", lambda c: c.user(), 200, "", None),
    ("/api/x", "GET", None, 401, "missing_token", None),
    ("/scopes", "GET", lambda c: c.user(scope="read write"), 200, "", None),
    ("/scopes", "GET", lambda c: c.user(), 403, "insufficient_scope", (["read", "write"], ["read"])),
    ("/scopes", "GET", lambda c: c.user(scope="READ write"), 403, "insufficient_scope", (["read", "write"], ["READ", "write"])),
    ("/user", "GET", lambda c: c.app(), 403, "user_required", None),
    ("/user", "GET", lambda c: c.user(), 200, "", None),
    ("/app", "GET", lambda c: c.user(), 403, "app_required", None),
    ("/app", "GET", lambda c: c.app(), 200, "", None),
    ("/role", "GET", lambda c: c.tenant(roles=["Editor"]), 200, "", None),
    ("/role", "GET", lambda c: c.tenant(roles=["Reader"]), 403, "insufficient_role", (["Admin", "Editor"], ["Reader"])),
    ("/role", "GET", lambda c: c.tenant(roles=["admin"]), 403, "insufficient_role", (["Admin", "Editor"], ["admin"])),
    ("/role", "GET", lambda c: c.tenant(), 403, "insufficient_role", (["Admin", "Editor"], [])),
    ("/step", "GET", lambda c: c.tenant(acrs=["c1"]), 200, "", None),
    ("/step", "GET", lambda c: c.tenant(xms_cc=["cp1"]), 401, "step_up_required", None),
    ("/step", "GET", lambda c: c.tenant(), 403, "step_up_required", None),
    *((path, "GET", lambda c: c.user(), 400, "bad_path", None) for path in (
        "/api/%2fx", "/api/%5Cx", "/api/x%u002fy",
        "/api/x;v=1", "/api/%252e", "/api/%00", "/api/%c0%af", "/api/x%3bv", "/api/%zz",
    )),
]  # fmt: skip


@pytest.mark.must(16, 18, 20, 21)
@pytest.mark.parametrize("case", ROUTES, ids=lambda case: f"{case[1]} {case[0]} {case[3]}")
def test_a_route_asks_for_what_it_says(court: Court, case: Any) -> None:
    path, method, make, status, reason, scopes = case
    answer = court.pod.ask(path, make(court) if make else None, method)
    if status == 200:
        assert answer.status == 200, answer.body
        return
    if answer.status == 400 and not answer.body.startswith(b"{"):
        return  # Envoy itself was faster
    body = refused(answer, status, reason)
    if scopes:
        assert (sorted(body["required"]), sorted(body["granted"])) == scopes


RESOLVED = [  # what is asked for, and the only path that may be decided on and passed on
    ("//api/x", "/api/x"), ("/api//x", "/api/x"), ("/api/./x", "/api/x"),
    ("/api/../scopes", "/scopes"), ("/api/%2e%2e/scopes", "/scopes"), ("/healthz/../scopes", "/scopes"),
    ("/api/..", "/"), ("/../../scopes", "/scopes"), ("/api/.%2E/scopes", "/scopes"), ("/api/\\\\x", "/api/x"),
]  # fmt: skip


@pytest.mark.must(20)
@pytest.mark.parametrize(("asked", "resolved"), RESOLVED)
def test_a_path_is_refused_or_decided_on_as_what_the_application_gets(
    court: Court, asked: str, resolved: str
) -> None:
    answer = court.pod.ask(asked, court.user())
    if answer.status == 400:
        return
    assert answer.status == court.pod.ask(resolved, court.user()).status
    assert answer.status == 403 or answer.json["path"] == resolved


AUTH = "Authorization"
CREDENTIALS: dict[str, Any] = {
    "twice the same": lambda t: [(AUTH, f"Bearer {t}"), (AUTH, f"Bearer {t}")],
    "two different": lambda t: [(AUTH, "Basic YTpi"), (AUTH, f"Bearer {t}")],
    "a comma": lambda t: [(AUTH, f"Bearer {t},Bearer {t}")],
    "two spaces": lambda t: [(AUTH, f"Bearer  {t}")],
    "a tab": lambda t: [(AUTH, f"Bearer\t{t}")],
    "basic": lambda t: [(AUTH, "Basic YTpi")],
    "no scheme": lambda t: [(AUTH, t)],
    "nothing": lambda t: [(AUTH, "Bearer")],
    "empty": lambda t: [(AUTH, "")],
    "quoted": lambda t: [(AUTH, f'Bearer "{t}"')],
    "padded": lambda t: [(AUTH, f"Bearer {t}=")],
}


@pytest.mark.must(14)
@pytest.mark.parametrize("name", CREDENTIALS)
def test_exactly_one_bearer_is_accepted(court: Court, name: str) -> None:
    answer = court.pod.ask("/api/x", headers=CREDENTIALS[name](court.user()))
    assert answer.status == 401
    assert answer.reason in ("missing_token", "malformed_token"), answer.body


def test_the_scheme_is_not_case_sensitive(court: Court) -> None:
    answer = court.pod.ask("/api/x", headers={"aUTHorization": f"bEARER {court.user()}"})
    assert answer.status == 200, answer.body


FORGED = [
    (name.replace("-", joint), "forged")
    for joint in "-_"
    for name in (
        "x-auth-kind", "x-auth-subject", "x-auth-tenant", "x-auth-client", "x-auth-scopes",
        "x-auth-roles", "x-auth-issuer", "x-auth-name", "x-auth-email", "x-team",
        "x-correlation-id", "x-request-id", "x-attache-context",
    )
] + [("X-Auth_Subject", "forged"), ("x_auth-roles", "forged"), ("X-AUTH-KIND", "forged")]  # fmt: skip


@pytest.mark.must(19)
@pytest.mark.parametrize("who", ["anonymous", "user"])
def test_no_identity_header_can_be_forged(court: Court, who: str) -> None:
    token = court.tenant() if who == "user" else None
    path = "/api/x" if token else "/"
    for variant in [pair for pair in FORGED if "_" in pair[0]]:
        answer = court.pod.ask(path, token, headers=[variant])
        assert answer.status == 400 or b"forged" not in answer.body  # Envoy refuses, or we strip
    forged = [pair for pair in FORGED if "_" not in pair[0] and pair[0] != "x-correlation-id"]
    answer = court.pod.ask(path, token, headers=forged)
    assert answer.status == 200, answer.body
    assert b"forged" not in answer.body
    assert answer.seen("x-auth-subject") == (["o-1"] if token else [])


IDENTITIES: dict[str, tuple[Any, dict[str, str | None]]] = {
    "entra user": (
        lambda c: c.tenant(name="Zoë 100%", nick="Zö,é", preferred_username="z@x.test", roles=["b", "a,c"], scp="w r", team=["p", "q"]),
        {"kind": "user", "subject": "o-1", "tenant": T1, "client": "spa", "scopes": "r w", "roles": "a%2Cc,b",
         "name": "Z%C3%B6,%C3%A9", "email": "z@x.test", "x-team": "p,q"},
    ),
    "entra app": (
        lambda c: c.tenant(scp=None, sub="o-1", idtyp="app", name="App", email="a@b", azp="job", team="t"),
        {"kind": "app", "subject": "o-1", "tenant": T1, "client": "job", "scopes": None, "name": None, "email": None, "x-team": "t"},
    ),
    "oidc user": (
        lambda c: c.user(email="e@x.test", preferred_username="p", team={"a": 1}),
        {"kind": "user", "subject": "ann", "tenant": None, "client": "spa", "scopes": "read", "roles": None, "email": "e@x.test", "x-team": None},
    ),
    "internal user": (
        lambda c: c.internal(roles=["A"]),
        {"kind": "user", "subject": "o-9", "tenant": T1, "client": "shop/gateway", "scopes": "read", "roles": "A", "issuer": "https://gw"},
    ),
    "control characters": (
        lambda c: c.user(nick="a\r\nx-auth-kind: app", team="a\u0000b", email="a\x7f"),
        {"kind": "user", "name": None, "x-team": None, "email": None},
    ),
    "too long": (lambda c: c.user(nick="x" * 5000), {"kind": "user", "name": None}),
}  # fmt: skip


@pytest.mark.must(13, 22)
@pytest.mark.parametrize("name", IDENTITIES)
def test_the_application_sees_who_calls(court: Court, name: str) -> None:
    make, expected = IDENTITIES[name]
    token = make(court)
    answer = court.pod.ask("/api/x", token)
    assert answer.status == 200, answer.body
    for short, value in expected.items():
        header = short if short.startswith("x-") else f"x-auth-{short}"
        assert answer.seen(header) == ([] if value is None else [value]), header
    assert answer.seen("authorization") == [f"Bearer {token}"]
    for header in ("x-correlation-id", "x-request-id", "traceparent"):
        assert len(answer.seen(header)) == 1


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_ids_of_one_of_us_are_continued(court: Court) -> None:
    ids = {"x-correlation-id": "order-42", "x-request-id": "r-1", "traceparent": TRACE, "tracestate": "v=1", "baggage": "k=v"}  # fmt: skip
    answer = court.pod.ask("/api/x", court.user(), headers=ids)
    assert answer.seen("x-correlation-id") == ["order-42"]
    assert TRACE[3:35] in answer.seen("traceparent")[0]
    assert answer.seen("x-request-id") != ["r-1"]
    assert "v=1" in answer.seen("tracestate")[0]
    assert "k=v" in answer.seen("baggage")[0]
    assert court.pod.record(txn="order-42")["traceId"] == TRACE[3:35]
    denied = court.pod.ask("/api/x", headers={"x-correlation-id": "order-43"})
    assert refused(denied, 401, "missing_token")["correlationId"] == "order-43"
    # the transaction of an internal token is its own, whatever a header says
    inner = court.pod.ask("/api/x", court.internal(), headers=ids)
    assert inner.seen("x-correlation-id") == ["txn-7"]


@pytest.mark.parametrize("bad", ["a b", "x" * 300, "a,b", "é", '"q"', "a\tb"])
def test_an_unusable_correlation_id_is_replaced(court: Court, bad: str) -> None:
    answer = court.pod.ask("/", headers=[("x-correlation-id", bad), ("traceparent", "00-zz-11-01")])
    assert answer.status == 200
    assert answer.seen("x-correlation-id") != [bad]
    assert len(answer.seen("traceparent")[0]) == 55


@pytest.mark.must(23)
def test_only_a_real_preflight_of_a_listed_origin_passes(court: Court) -> None:
    ask = {"origin": "https://ui.example.test", "access-control-request-method": "POST"}
    granted = court.pod.ask("/api/x", method="OPTIONS", headers=ask)
    assert (granted.status, granted.headers["access-control-allow-origin"]) == (200, ask["origin"])
    for wrong in (
        ask | {"origin": "https://ui.example.test.evil.test"},
        {"origin": ask["origin"]},
        {"access-control-request-method": "POST"},
    ):
        answer = court.pod.ask("/api/x", method="OPTIONS", headers=wrong)
        assert answer.status == 401
        assert (
            "access-control-allow-origin" not in answer.headers or wrong["origin"] == ask["origin"]
        )


@pytest.mark.must(45, 46)
def test_every_decision_leaves_one_record_and_no_token_anywhere(court: Court) -> None:
    token, refusable = court.tenant(oid="auditee"), court.tenant(T3, oid="stranger")
    court.pod.ask("/api/seen?secret=q-canary", token, headers={"x-correlation-id": "rec-1"})
    court.pod.ask("/api/sEEn", refusable, "PATCH", headers={"x-correlation-id": "rec-2"})
    record = court.pod.record(txn="rec-1")
    fields = "time decision reason direction route method path destination kind subject tenant client actors txn traceId issuer kid tokenHash credential latencyMs"  # fmt: skip
    assert sorted(record) == sorted(fields.split())
    wanted = {"decision": "allow", "reason": None, "direction": "inbound", "route": "/api/**", "method": "GET", "path": "/api/seen", "kind": "user", "subject": "auditee", "tenant": T1, "client": "spa", "kid": "v2", "destination": None}  # fmt: skip
    assert {name: record[name] for name in wanted} == wanted
    assert (record["issuer"], type(record["latencyMs"])) == (f"{court.entra.url}/{T1}/v2.0", float)
    denied = court.pod.record(txn="rec-2")
    assert (denied["decision"], denied["reason"]) == ("deny", "tenant_not_allowed")
    assert [r["txn"] for r in court.pod.records()].count("rec-1") == 1
    output = court.pod.output() + "".join(
        court.pod.page(p)[1] for p in ("/metrics", "/status", "/readyz")
    )  # type: ignore[index]
    for secret in (
        token,
        refusable,
        token.split(".")[2],
        token.split(".")[1],
        "q-canary",
        "BEGIN PRIVATE",
    ):
        assert secret not in output
    metrics = court.pod.page("/metrics")[1]  # type: ignore[index]
    for theirs in ("auditee", "/api/seen", "sEEn", T1, "spa", "rec-1", "judged.test"):
        assert theirs not in metrics
    assert "tenant_not_allowed" in metrics


@pytest.mark.must(24, 44, 47)
def test_the_admin_pages_say_what_is_missing_and_change_nothing(court: Court) -> None:
    pod = court.pod
    assert pod.page("/livez")[0] == 200  # type: ignore[index]
    status, text = pod.page("/readyz") or (0, "")
    assert (status, "late" in text, "partner" in text) == (503, True, False)
    status, text = pod.page("/.well-known/jwks.json") or (0, "")
    (jwk,) = json.loads(text)["keys"]
    assert (status, jwk["kty"], jwk["workload"], "d" in jwk) == (200, "EC", "court/judged", False)
    document = json.loads((pod.page("/status") or (0, ""))[1])
    assert "late" in json.dumps(document)
    assert (pod.page("/nowhere") or (0, ""))[0] == 404
