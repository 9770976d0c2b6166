"""Who is calling, may they, and what does the application see? Every stage, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.routes import Route
from agent.context.carriers import read
from agent.context.store import ContextStore
from agent.credentials.mint import Minted
from agent.errors import Denial, Reason
from agent.flow.decision import Allow, Decision
from agent.flow.headers import IDENTITY, OVERRIDES, Badge, underscored
from agent.flow.inbound import ANONYMOUS_LIFE, Inbound
from agent.flow.request import Request
from agent.identity.principal import IssuerKind, Kind, RawToken, Verified
from agent.moment import Moment
from agent.policy.routes import Routes

Asks = Callable[..., Request]
MakeVerified = Callable[..., Verified]
MOMENT = Moment(now=1000.0, deadline=4.0)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

ROUTES = [
    {"path": "/healthz", "methods": ["GET"], "anonymous": True},
    {"path": "/api/tasks", "require": {"scopes": ["read"]}},
    {"path": "/api/admin", "require": {"roles": ["Admin"]}},
    {"path": "/any"},
]


@dataclass
class FakeVerifier:
    """Knows some tokens; remembers what it was asked."""

    known: dict[str, Verified | Denial] = field(default_factory=dict)
    asked: list[tuple[str, Moment]] = field(default_factory=list)

    def __call__(self, token: RawToken, moment: Moment) -> Verified | Denial:
        self.asked.append((token, moment))
        return self.known.get(token, Denial(Reason.INVALID_TOKEN, "unknown"))


@dataclass
class FakeSwap:
    """Mints a token that names its caller's handle, or refuses."""

    refusal: Denial | None = None

    def __call__(self, caller: Any, moment: Moment) -> Minted | Denial:
        return self.refusal or Minted(f"minted-for-{caller.handle}", moment.now + 60)


@pytest.fixture
def pipeline(verified: MakeVerified, random: Callable[[int], bytes]) -> Callable[..., Inbound]:
    """Makes a pipeline that knows Anna's token `anna.s.token`; keywords change its parts."""

    def make(**different: Any) -> Inbound:
        parts: dict[str, Any] = {
            "routes": Routes(Route.model_validate(route) for route in ROUTES),
            "verify": FakeVerifier({"anna.s.token": verified()}),
            "revoked": lambda verified, now: None,
            "chain": lambda _: None,
            "badge": Badge({}),
            "store": ContextStore(100),
            "random": random,
            "edge": False,
            "forward": "original",
            "swap": None,
        }
        return Inbound(**parts | different)

    return make


Pipeline = Callable[..., Inbound]
ANNA = {"authorization": "Bearer anna.s.token"}


def reason(decision: Decision) -> str:
    return decision.outcome.reason.value if isinstance(decision.outcome, Denial) else "allow"


def allowed(decision: Decision) -> Allow:
    assert isinstance(decision.outcome, Allow), decision.outcome
    assert not {name for name, _ in decision.outcome.set} & set(decision.outcome.remove)
    return decision.outcome


STAGES: list[tuple[dict[str, Any], str]] = [
    ({"headers": ANNA}, "allow"),
    ({"headers": {"authorization": "bearer anna.s.token"}}, "allow"),
    ({"headers": ANNA, "target": "/api/tasks?a=/../admin"}, "allow"),
    ({"headers": ANNA, "target": "/any"}, "allow"),
    # canonical path
    ({"headers": ANNA, "target": "/api/../api/tasks"}, "bad_path"),
    ({"headers": ANNA, "target": "/api/tasks;a=b"}, "bad_path"),
    ({"headers": ANNA, "target": "*"}, "bad_path"),
    ({"headers": ANNA, "target": ""}, "bad_path"),
    # route
    ({"headers": ANNA, "target": "/elsewhere"}, "no_route"),
    ({"headers": ANNA, "target": "/API/tasks"}, "bad_path"),
    ({"headers": ANNA, "method": "BREW"}, "no_route"),
    ({"headers": ANNA, "method": "POST", "target": "/healthz"}, "no_route"),
    ({"headers": ANNA, "host": "a,b"}, "no_route"),
    ({"headers": ANNA, "host": ""}, "no_route"),
    # exactly one bearer
    ({}, "missing_token"),
    ({"headers": {"authorization": ""}}, "missing_token"),
    ({"headers": {"authorization": "Basic YTpi"}}, "missing_token"),
    ({"headers": {"x-auth-subject": "anna-oid"}}, "missing_token"),
    ({"headers": {"authorization": "Bearer anna.s.token,Bearer anna.s.token"}}, "malformed_token"),
    ({"headers": {"authorization": "Bearer anna.s.token, Basic YTpi"}}, "malformed_token"),
    ({"headers": {"authorization": "Bearer  anna.s.token"}}, "malformed_token"),
    ({"headers": {"authorization": "Bearer anna.s.token "}}, "malformed_token"),
    ({"headers": {"authorization": "Bearer"}}, "malformed_token"),
    # verify
    ({"headers": {"authorization": "Bearer someone.elses.token"}}, "invalid_token"),
    # requirement
    ({"headers": ANNA, "target": "/api/admin"}, "insufficient_role"),
]


@pytest.mark.must(14, 17, 20, 21)
@pytest.mark.parametrize(("request_", "answer"), STAGES)
def test_a_request_passes_every_stage_or_is_denied_by_the_first(
    pipeline: Pipeline, asks: Asks, request_: dict[str, Any], answer: str
) -> None:
    inbound = pipeline()
    decision = inbound.decide(asks(**request_), MOMENT)
    assert reason(decision) == answer
    # nobody who was denied is remembered
    assert len(inbound.store) == (1 if answer == "allow" else 0)


@pytest.mark.parametrize("refusal", [Reason.EXPIRED_TOKEN, Reason.REVOKED, Reason.UNKNOWN_KEY])
def test_what_the_verifier_says_is_the_answer(
    pipeline: Pipeline, asks: Asks, refusal: Reason
) -> None:
    denial = Denial(refusal, "no")
    verify = FakeVerifier({"anna.s.token": denial})
    decision = pipeline(verify=verify).decide(asks(ANNA), MOMENT)
    assert decision.outcome is denial
    assert decision.facts.verified is None
    assert verify.asked == [("anna.s.token", MOMENT)]


@pytest.mark.must(15)
def test_the_verifier_and_the_requirement_are_asked_on_every_request(
    pipeline: Pipeline, asks: Asks
) -> None:
    verify = FakeVerifier(pipeline().verify.known)  # type: ignore[attr-defined]
    inbound = pipeline(verify=verify)
    answers = [reason(inbound.decide(asks(ANNA), MOMENT)) for _ in range(2)]
    verify.known.clear()
    answers.append(reason(inbound.decide(asks(ANNA), MOMENT)))
    assert answers == ["allow", "allow", "invalid_token"]


@pytest.mark.parametrize("path", ["/elsewhere", "/api/../x", "/healthz"])
def test_no_token_is_looked_at_before_a_route_asks_for_one(
    pipeline: Pipeline, asks: Asks, path: str
) -> None:
    verify = FakeVerifier()
    pipeline(verify=verify).decide(asks(ANNA, target=path), MOMENT)
    assert verify.asked == []


@pytest.mark.must(30)
def test_a_loop_is_denied_before_the_requirement_is_asked(pipeline: Pipeline, asks: Asks) -> None:
    loop = Denial(Reason.CALL_LOOP, "again")
    inbound = pipeline(chain=lambda _: loop)
    decision = inbound.decide(asks(ANNA, target="/api/admin"), MOMENT)
    assert decision.outcome is loop
    assert decision.facts.verified is not None  # the audit says who


INTERNAL = [(True, "untrusted_issuer"), (False, "allow")]


@pytest.mark.must(11)
@pytest.mark.parametrize(("edge", "answer"), INTERNAL)
def test_an_internal_token_is_not_accepted_from_strangers(
    pipeline: Pipeline, asks: Asks, verified: MakeVerified, edge: bool, answer: str
) -> None:
    verify = FakeVerifier({"anna.s.token": verified(issuer_kind=IssuerKind.INTERNAL)})
    assert reason(pipeline(verify=verify, edge=edge).decide(asks(ANNA), MOMENT)) == answer


FORGED = {
    **dict.fromkeys((*IDENTITY, *underscored(IDENTITY)), "forged"),
    **dict.fromkeys(OVERRIDES, "forged"),
    "x-attache-context": "forged",
    "x_attache_context": "forged",
    "x-request-id": "forged",
    "x_request_id": "forged",
    "x_correlation_id": "forged",
    "x-department": "forged",
    "x_department": "forged",
    "traceparent": "forged",
    "tracestate": "attache=forged",
    "baggage": "attache=forged,%61ttache=forged",
}


def as_the_application_sees_it(request: Request, allow: Allow) -> dict[str, str]:
    """What Envoy makes of an allow: overwrites, then removes (ENVOY.md)."""
    seen = dict(request.headers) | dict(allow.set)
    return {name: value for name, value in seen.items() if name not in allow.remove}


@pytest.mark.must(19)
@pytest.mark.parametrize("path", ["/healthz", "/any"])
@pytest.mark.parametrize("edge", [True, False])
def test_nothing_forged_reaches_the_application(
    pipeline: Pipeline, asks: Asks, path: str, edge: bool
) -> None:
    request = asks(FORGED | ANNA, target=path)
    inbound = pipeline(edge=edge, badge=Badge({"x-department": "dept"}))
    seen = as_the_application_sees_it(request, allowed(inbound.decide(request, MOMENT)))
    assert "forged" not in " ".join(seen.values())
    identity = {name for name in seen if name.startswith(("x-auth", "x_", "x-department"))}
    assert identity == (set() if path == "/healthz" else {*IDENTITY} & identity)
    assert (seen.get("x-auth-subject") == "anna-oid") is (path == "/any")


@pytest.mark.must(19)
@pytest.mark.parametrize(
    "authorization", ["Bearer anna.s.token", "Bearer forged", "Basic YTpi", "x"]
)
@pytest.mark.parametrize("forward", ["original", "internal", "none"])
def test_on_an_anonymous_route_nobody_looks_verified(
    pipeline: Pipeline, asks: Asks, authorization: str, forward: str
) -> None:
    request = asks({"authorization": authorization, "x-auth-kind": "user"}, target="/healthz")
    inbound = pipeline(forward=forward, swap=FakeSwap())
    decision = inbound.decide(request, MOMENT)
    seen = as_the_application_sees_it(request, allowed(decision))
    assert "authorization" not in seen
    assert not set(IDENTITY) & set(seen)
    assert decision.facts.verified is None
    caller = inbound.store.by_handle(seen["x-attache-context"], MOMENT.now)
    assert caller is not None
    assert (caller.verified, caller.given) == (None, b"")
    assert caller.expires_at == MOMENT.now + ANONYMOUS_LIFE


FORWARDS = [("original", "Bearer anna.s.token"), ("none", None)]


@pytest.mark.parametrize(("forward", "authorization"), FORWARDS)
@pytest.mark.parametrize("swap", [None, FakeSwap()], ids=["cannot-mint", "could-mint"])
def test_the_application_sees_the_token_that_the_configuration_says(
    pipeline: Pipeline, asks: Asks, forward: str, authorization: str | None, swap: FakeSwap | None
) -> None:
    request = asks(ANNA)
    inbound = pipeline(forward=forward, swap=swap)
    seen = as_the_application_sees_it(request, allowed(inbound.decide(request, MOMENT)))
    assert seen.get("authorization") == authorization
    relayed = hashlib.sha256(b"anna.s.token").digest()
    caller = inbound.store.by_token(relayed, MOMENT.now)
    assert (caller is not None) is (authorization is not None)


def test_with_internal_forwarding_the_application_sees_only_what_was_minted(
    pipeline: Pipeline, asks: Asks
) -> None:
    request = asks(ANNA)
    inbound = pipeline(forward="internal", swap=FakeSwap())
    allow = allowed(inbound.decide(request, MOMENT))
    seen = as_the_application_sees_it(request, allow)
    token = seen["authorization"].removeprefix("Bearer ")
    assert token == f"minted-for-{seen['x-attache-context']}"
    assert "anna.s.token" not in str(allow.set)
    caller = inbound.store.by_token(hashlib.sha256(token.encode()).digest(), MOMENT.now)
    assert caller is not None
    assert caller.handle == seen["x-attache-context"]
    assert inbound.store.by_token(hashlib.sha256(b"anna.s.token").digest(), MOMENT.now) is None


def test_where_nothing_can_be_minted_the_request_is_denied_and_forgotten(
    pipeline: Pipeline, asks: Asks
) -> None:
    refusal = Denial(Reason.CREDENTIAL_ERROR, "no key")
    inbound = pipeline(forward="internal", swap=FakeSwap(refusal))
    assert inbound.decide(asks(ANNA), MOMENT).outcome is refusal
    assert len(inbound.store) == 0


@pytest.mark.must(17)
@pytest.mark.parametrize("forward", ["internal", "Original", ""])
def test_the_original_token_is_never_a_fallback(
    pipeline: Pipeline, asks: Asks, forward: str
) -> None:
    with pytest.raises(ValueError, match=r"inbound\.forward"):
        pipeline(forward=forward, swap=None).decide(asks(ANNA), MOMENT)


def test_the_caller_is_remembered_under_what_the_application_was_given(
    pipeline: Pipeline, asks: Asks, verified: MakeVerified
) -> None:
    theirs = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-correlation-id": "order-1"}
    inbound = pipeline()
    seen = dict(allowed(inbound.decide(asks(ANNA | theirs), MOMENT)).set)
    carried = read(
        seen["baggage"], seen["tracestate"], seen["x-attache-context"], "", seen["traceparent"]
    )
    assert len(carried.handles) == 1
    caller = inbound.store.by_handle(carried.handles[0], MOMENT.now)
    assert caller is not None
    assert caller is inbound.store.by_request_id(seen["x-request-id"], MOMENT.now)
    assert caller is inbound.store.by_token(verified().token_hash, MOMENT.now)
    assert inbound.store.by_trace(TRACE, MOMENT.now) == (caller,)
    assert caller.verified == verified()
    assert caller.expires_at == verified().principal.expires_at
    assert (caller.txn, caller.trace_id) == ("order-1", TRACE)


TRANSACTIONS = [
    ("token-txn", "order-1", "token-txn"),  # SECURITY.md 30: what was signed never changes
    ("", "order-1", "order-1"),
]


@pytest.mark.must(30)
@pytest.mark.parametrize(("signed", "sent", "said"), TRANSACTIONS)
def test_the_transaction_is_the_tokens_before_the_headers(
    pipeline: Pipeline, asks: Asks, verified: MakeVerified, signed: str, sent: str, said: str
) -> None:
    verify = FakeVerifier({"anna.s.token": verified(txn=signed)})
    decision = pipeline(verify=verify).decide(asks(ANNA | {"x-correlation-id": sent}), MOMENT)
    allow = allowed(decision)
    assert dict(allow.set)["x-correlation-id"] == said
    assert decision.facts.txn == dict(allow.metadata)["txn"] == said


THEIRS = {
    "traceparent": f"00-{TRACE}-{SPAN}-01",
    "tracestate": "vendor=1",
    "baggage": "tenant=7",
    "x-correlation-id": "order-1",
    "x-request-id": "theirs",
}


@pytest.mark.must(29)
@pytest.mark.parametrize("path", ["/healthz", "/any"])
def test_at_the_edge_strangers_ids_are_replaced_and_among_us_they_go_on(
    pipeline: Pipeline, asks: Asks, path: str
) -> None:
    request = asks(ANNA | THEIRS, target=path)
    edge = dict(allowed(pipeline(edge=True).decide(request, MOMENT)).set)
    assert TRACE not in edge["traceparent"]
    assert "vendor" not in edge["tracestate"]
    assert "tenant" not in edge["baggage"]
    assert edge["x-correlation-id"] == edge["x-request-id"] != "theirs"
    ours = dict(allowed(pipeline(edge=False).decide(request, MOMENT)).set)
    assert ours["traceparent"] == THEIRS["traceparent"]
    assert ours["tracestate"].endswith(",vendor=1")
    assert ours["baggage"].endswith(",tenant=7")
    assert ours["x-correlation-id"] == "order-1"
    assert ours["x-request-id"] != "theirs"


@pytest.mark.must(29)
@pytest.mark.parametrize("name", ["tracestate", "x-attache-tracestate"])
def test_states_are_continued_from_wherever_envoy_leaves_them(
    pipeline: Pipeline, asks: Asks, name: str
) -> None:
    theirs = {"traceparent": THEIRS["traceparent"], name: f"attache={'0' * 32},vendor=1"}
    allow = allowed(pipeline(edge=False).decide(asks(ANNA | theirs), MOMENT))
    written = dict(allow.set)
    assert written["tracestate"] == f"attache={written['x-attache-context']},vendor=1"
    assert "x-attache-tracestate" in allow.remove


FACTS = [
    ({"headers": ANNA, "target": "/api/%74asks?x"}, "/api/tasks", "/api/tasks", True),
    ({"headers": ANNA, "target": "/api/admin"}, "/api/admin", "/api/admin", True),
    ({"target": "/api/tasks"}, "/api/tasks", "/api/tasks", False),
    ({"headers": ANNA, "target": "/elsewhere"}, "/elsewhere", "", False),
    ({"headers": ANNA, "target": "/a/../b"}, None, "", False),
    ({"headers": ANNA, "target": "/healthz"}, "/healthz", "/healthz", False),
]


@pytest.mark.must(45)
@pytest.mark.parametrize(("request_", "path", "rule", "known"), FACTS)
def test_the_audit_learns_what_the_pipeline_learned(
    pipeline: Pipeline,
    asks: Asks,
    request_: dict[str, Any],
    path: str | None,
    rule: str,
    known: bool,
) -> None:
    facts = pipeline().decide(asks(**request_), MOMENT).facts
    assert (facts.path, facts.rule, facts.verified is not None) == (path, rule, known)
    assert facts.txn
    assert facts.trace_id
    assert (facts.destination, facts.credential) == (None, None)


@pytest.mark.must(22)
def test_dropped_values_are_counted(pipeline: Pipeline, asks: Asks, verified: MakeVerified) -> None:
    verify = FakeVerifier({"anna.s.token": verified(claims={"name": "a\nb", "email": "a\x00"})})
    decision = pipeline(verify=verify).decide(asks(ANNA), MOMENT)
    assert decision.facts.dropped_headers == 2
    assert {"x-auth-name", "x-auth-email"} <= set(allowed(decision).remove)


def test_envoys_access_log_learns_who_it_was(pipeline: Pipeline, asks: Asks) -> None:
    allow = allowed(pipeline().decide(asks(ANNA), MOMENT))
    metadata = dict(allow.metadata)
    assert metadata.pop("txn")
    assert metadata == {"subject": "anna-oid", "tenant": "t1", "client": "web"}
    nobody = allowed(pipeline().decide(asks(target="/healthz"), MOMENT))
    assert [name for name, _ in nobody.metadata] == ["txn"]


@pytest.mark.must(45)
def test_no_token_shows_when_a_decision_is_printed(pipeline: Pipeline, asks: Asks) -> None:
    decision = pipeline().decide(asks(ANNA), MOMENT)
    assert allowed(decision)
    assert decision.facts.verified is not None
    assert decision.facts.verified.token == "anna.s.token"
    assert "anna.s.token" not in repr(decision)


@pytest.mark.must(27)
def test_two_requests_of_one_user_have_nothing_in_common_but_the_user(
    pipeline: Pipeline, asks: Asks
) -> None:
    inbound = pipeline()
    first, second = (dict(allowed(inbound.decide(asks(ANNA), MOMENT)).set) for _ in range(2))
    for name in ("x-attache-context", "x-request-id", "x-correlation-id", "traceparent", "baggage"):
        assert first[name] != second[name]


PATHS = st.one_of(
    st.sampled_from(["/healthz", "/api/tasks", "/api/admin", "/any", "/healthz/", "/HEALTHZ"]),
    st.lists(
        st.sampled_from(["/", "healthz", "api", "tasks", "..", ".", "%2e", "%2f", ";", "?", "\\"])
    ).map("".join),
    st.text(max_size=12).map("/".__add__),
)
AUTHORIZATIONS = st.one_of(
    st.sampled_from(["", "Bearer anna.s.token", "Bearer", "bearer x.y.z", "Basic YTpi"]),
    st.lists(st.sampled_from(["Bearer ", "anna.s.token", ",", " ", "\t", "x"])).map("".join),
    st.text(max_size=20),
)
NAMES = st.sampled_from(
    [
        *("authorization", "baggage", "tracestate", "traceparent", "x-request-id"),
        *("x-correlation-id", "x-attache-context", "cookie"),
        *(*IDENTITY, *underscored(IDENTITY[:1]), *OVERRIDES),
    ]
)


@pytest.mark.must(17, 19)
@settings(max_examples=300)
@given(
    path=PATHS,
    authorization=AUTHORIZATIONS,
    headers=st.dictionaries(NAMES, st.text(max_size=20), max_size=6),
    method=st.sampled_from(["GET", "POST", "OPTIONS", "CONNECT", "get", ""]),
    host=st.sampled_from(["shop.example", "a,b", "", "[::1]:80"]),
    edge=st.booleans(),
    forward=st.sampled_from(["original", "internal", "none"]),
)
def test_only_a_verified_caller_or_an_anonymous_route_is_ever_allowed(
    verified: MakeVerified,
    asks: Asks,
    path: str,
    authorization: str,
    headers: dict[str, str],
    method: str,
    host: str,
    edge: bool,
    forward: str,
) -> None:
    anna = verified()
    inbound = Inbound(
        routes=Routes(Route.model_validate(route) for route in ROUTES),
        verify=FakeVerifier({"anna.s.token": anna}),
        revoked=lambda verified, now: None,
        chain=lambda _: None,
        badge=Badge({"x-department": "name"}),
        store=ContextStore(10),
        random=lambda size: hashlib.shake_256(b"x").digest(size),
        edge=edge,
        forward=forward,
        swap=FakeSwap(),
    )
    headers = headers | ({"authorization": authorization} if authorization else {})
    request = asks(headers, target=path, method=method, host=host)
    decision = inbound.decide(request, MOMENT)
    if isinstance(decision.outcome, Denial):
        assert len(inbound.store) == 0
        return
    seen = as_the_application_sees_it(request, allowed(decision))
    if decision.facts.verified is None:
        assert (decision.facts.rule, method) == ("/healthz", "GET")
        assert not {*IDENTITY, "authorization", "x-department"} & set(seen)
    else:
        assert decision.facts.verified is anna
        assert headers["authorization"].lower() == "bearer anna.s.token"
        assert decision.facts.rule in ("/api/tasks", "/any")
        assert seen["x-auth-subject"] == "anna-oid"
    assert not [name for name in seen if "_" in name]
    assert not set(OVERRIDES) & set(seen)
    handle = seen["x-attache-context"]
    carried = read(seen["baggage"], seen["tracestate"], handle, "", "")
    assert carried.handles == (handle,)


@pytest.mark.must(17)
@pytest.mark.parametrize("broken", ["verify", "chain", "swap", "random"])
def test_what_breaks_raises_and_remembers_nobody(
    pipeline: Pipeline, asks: Asks, broken: str
) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("broken")

    inbound = replace(pipeline(forward="internal", swap=FakeSwap()), **{broken: fail})
    with pytest.raises(RuntimeError, match="broken"):
        inbound.decide(asks(ANNA), MOMENT)
    assert len(inbound.store) == 0


@pytest.mark.parametrize("kind", list(Kind))
def test_users_and_apps_are_told_apart(
    pipeline: Pipeline, asks: Asks, verified: MakeVerified, kind: Kind
) -> None:
    verify = FakeVerifier({"anna.s.token": verified(kind=kind)})
    allow = allowed(pipeline(verify=verify).decide(asks(ANNA), MOMENT))
    assert dict(allow.set)["x-auth-kind"] == kind.value
