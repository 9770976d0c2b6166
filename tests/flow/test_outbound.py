"""For whom is this call, and which credential goes with it? And nothing else leaves the pod."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.context.caller import Caller
from agent.context.store import ContextStore
from agent.credentials.credential import Injection
from agent.errors import Denial, Reason
from agent.flow.decision import Allow, Decision
from agent.flow.headers import IDENTITY, underscored
from agent.flow.outbound import Outbound, Target, bearer_hash, kept_inside
from agent.flow.request import Direction, Request
from agent.identity.principal import Kind, Verified
from agent.moment import Moment

MakeVerified = Callable[..., Verified]
MOMENT = Moment(now=1000.0, deadline=4.0)
TRACE, OTHER, SPAN = "a" * 32, "b" * 32, "c" * 16
HANDLE = "0123456789abcdef0123456789abcdef"


@dataclass
class FakeCredential:
    """Injects a token that names whom it was asked for, or answers what it was told to."""

    kind: str = "obo"
    answer: Injection | Denial | None = None
    asked: list[tuple[Caller | None, Moment]] = field(default_factory=list)

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        self.asked.append((caller, moment))
        if self.answer is not None:
            return self.answer
        who = caller.verified.principal.subject if caller and caller.verified else "nobody"
        return Injection((("authorization", f"Bearer for-{who}"),), Kind.USER)


def asked_for_nobody(credential: FakeCredential) -> str:
    """The transaction of the one call that was asked for, behind which nobody stands."""
    [(caller, moment)] = credential.asked
    assert moment == MOMENT
    assert caller is not None
    assert caller.verified is None
    assert caller.txn
    return caller.txn


@pytest.fixture
def caller(verified: MakeVerified) -> Caller:
    """Anna's inbound request, on which the application works."""
    return Caller(
        verified=verified(),
        handle=HANDLE,
        txn="txn-anna",
        request_id="request-anna",
        trace_id=TRACE,
        expires_at=2000.0,
        given=verified().token_hash,
    )


@pytest.fixture
def pipeline(caller: Caller, random: Callable[[int], bytes]) -> Callable[..., Outbound]:
    """Makes a pipeline with one destination, `audit`, whose store holds Anna's request."""

    def make(
        credential: FakeCredential | None = None, *, for_caller: bool = True, **different: Any
    ) -> Outbound:
        store = ContextStore(100)
        store.remember(caller)
        target = Target("audit", credential or FakeCredential(), for_caller)
        parts: dict[str, Any] = {
            "targets": {"audit": target},
            "store": store,
            "random": random,
            "passthrough": False,
            "workload": "shop/tasks",
            "stripped": kept_inside(),
            "recognise": lambda token: False,
            "revoked": lambda verified, now: None,
        }
        return Outbound(**parts | different)

    return make


Pipeline = Callable[..., Outbound]
ANNAS = {"x-attache-context": HANDLE}


def call(headers: dict[str, str] | None = None, **different: Any) -> Request:
    request: dict[str, Any] = {
        "direction": Direction.OUTBOUND,
        "method": "POST",
        "target": "/records?x=1",
        "host": "audit.shop:8002",
        "headers": headers or {},
        "destination": "audit",
    }
    return Request(**request | different)


def allowed(decision: Decision) -> Allow:
    assert isinstance(decision.outcome, Allow), decision.outcome
    assert not {name for name, _ in decision.outcome.set} & set(decision.outcome.remove)
    return decision.outcome


def as_the_destination_sees_it(request: Request, decision: Decision) -> dict[str, str]:
    """What Envoy makes of an allow: overwrites, then removes (ENVOY.md)."""
    allow = allowed(decision)
    seen = dict(request.headers) | dict(allow.set)
    return {name: value for name, value in seen.items() if name not in allow.remove}


def sent(outbound: Outbound, request: Request) -> dict[str, str]:
    return as_the_destination_sees_it(request, outbound.decide(request, MOMENT))


def test_a_call_carries_the_credential_for_its_caller_and_the_ids_of_its_chain(
    pipeline: Pipeline, caller: Caller
) -> None:
    credential = FakeCredential()
    seen = sent(pipeline(credential), call(ANNAS | {"content-type": "text/plain"}))
    assert seen.pop("traceparent").startswith(f"00-{TRACE}-")
    assert seen == {
        "authorization": "Bearer for-anna-oid",
        "x-correlation-id": "txn-anna",
        "content-type": "text/plain",
    }
    assert credential.asked == [(caller, MOMENT)]


TOKEN = "anna.s.token"
WAYS = [
    {"x-attache-context": HANDLE},
    {"baggage": f"a=1,attache={HANDLE}"},
    {"tracestate": f"attache={HANDLE},v=1"},
    {"authorization": f"Bearer {TOKEN}"},
    {"authorization": f"bearer  {TOKEN} "},
    {"x-request-id": "request-anna"},
    {"traceparent": f"00-{TRACE}-{SPAN}-01"},
]


@pytest.mark.must(29)
@pytest.mark.parametrize("headers", WAYS, ids=lambda h: next(iter(h)))
def test_every_carrier_leads_to_the_caller(pipeline: Pipeline, headers: dict[str, str]) -> None:
    assert sent(pipeline(), call(headers))["authorization"] == "Bearer for-anna-oid"


DOUBTS = [
    ({"x-attache-context": "f" * 32}, Reason.NO_SUBJECT),
    ({"x-attache-context": f"{HANDLE},{'f' * 32}"}, Reason.AMBIGUOUS_SUBJECT),
    ({"baggage": f"attache={HANDLE},attache={'f' * 32}"}, Reason.AMBIGUOUS_SUBJECT),
    ({"baggage": f"attache={HANDLE},%61ttache={'f' * 32}"}, Reason.AMBIGUOUS_SUBJECT),
]


@pytest.mark.must(28, 29)
@pytest.mark.parametrize(("headers", "reason"), DOUBTS)
def test_a_doubt_denies_where_the_credential_may_speak_for_the_caller(
    pipeline: Pipeline, headers: dict[str, str], reason: Reason
) -> None:
    credential = FakeCredential()
    decision = pipeline(credential, for_caller=True).decide(call(headers), MOMENT)
    assert isinstance(decision.outcome, Denial)
    assert decision.outcome.reason is reason
    assert credential.asked == []
    assert decision.facts.verified is None


@pytest.mark.parametrize(("headers", "_reason"), DOUBTS)
def test_a_doubt_leaves_an_applications_own_call_without_a_caller(
    pipeline: Pipeline, headers: dict[str, str], _reason: Reason
) -> None:
    credential = FakeCredential(kind="clientCredentials")
    decision = pipeline(credential, for_caller=False).decide(call(headers), MOMENT)
    allowed(decision)
    assert asked_for_nobody(credential) == decision.facts.txn


@pytest.mark.must(25)
@pytest.mark.parametrize("token", ["eyJ.ours.s", "eyJ.others.s"])
def test_to_an_unlisted_host_no_token_of_our_issuers_passes(pipeline: Pipeline, token: str) -> None:
    outbound = pipeline(passthrough=True, recognise=lambda said: said == "eyJ.ours.s")
    request = call({"authorization": f"Bearer {token}"}, destination="", passthrough=True)
    assert ("authorization" in sent(outbound, request)) is (token == "eyJ.others.s")


@pytest.mark.parametrize("for_caller", [True, False])
def test_a_call_of_nobody_is_for_the_credential_to_judge(
    pipeline: Pipeline, for_caller: bool
) -> None:
    credential = FakeCredential(answer=Denial(Reason.NO_SUBJECT, "nobody"))
    decision = pipeline(credential, for_caller=for_caller).decide(call(), MOMENT)
    assert decision.outcome is credential.answer
    assert asked_for_nobody(credential) == decision.facts.txn


@pytest.mark.must(25)
@pytest.mark.parametrize("host", ["audit.shop:8002", "evil.example", "billing.shop", "a,b", ""])
def test_the_destination_is_the_routes_and_never_the_hosts(pipeline: Pipeline, host: str) -> None:
    headers = ANNAS | {"host": host, "x-forwarded-host": host, ":authority": host}
    assert sent(pipeline(), call(headers, host=host))["authorization"] == "Bearer for-anna-oid"


@pytest.mark.must(25)
@pytest.mark.parametrize("destination", ["", "billing", "AUDIT", "audit ", "audit,audit"])
@pytest.mark.parametrize(
    ("passthrough", "unmatched"), [(False, False), (False, True), (True, False)]
)
def test_what_no_destination_names_gets_nothing(
    pipeline: Pipeline, destination: str, passthrough: bool, unmatched: bool
) -> None:
    """Passing needs both: the configuration's word and the mark of our own route."""
    credential = FakeCredential()
    request = call(ANNAS, destination=destination, passthrough=unmatched)
    decision = pipeline(credential, passthrough=passthrough).decide(request, MOMENT)
    assert isinstance(decision.outcome, Denial)
    assert decision.outcome.reason is Reason.DESTINATION_NOT_ALLOWED
    assert credential.asked == []


@pytest.mark.parametrize("reason", [Reason.CREDENTIAL_ERROR, Reason.CONSENT_REQUIRED])
def test_what_the_credential_says_is_the_answer(pipeline: Pipeline, reason: Reason) -> None:
    denial = Denial(reason, "no")
    decision = pipeline(FakeCredential(answer=denial)).decide(call(ANNAS), MOMENT)
    assert decision.outcome is denial
    assert decision.facts.credential == "obo"


@pytest.mark.must(25)
@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", "Bearer own", "Basic YTpi", "x"])
def test_without_a_credential_nothing_goes_in_authorization(
    pipeline: Pipeline, authorization: str
) -> None:
    credential = FakeCredential(kind="none", answer=Injection((), None))
    outbound = pipeline(credential, for_caller=False)
    assert "authorization" not in sent(outbound, call({"authorization": authorization}))


def test_a_credential_in_another_header_leaves_nothing_in_authorization(
    pipeline: Pipeline,
) -> None:
    credential = FakeCredential(answer=Injection((("x-api-key", "k"),), Kind.APP))
    seen = sent(pipeline(credential), call(ANNAS | {"authorization": f"Bearer {TOKEN}"}))
    assert seen["x-api-key"] == "k"
    assert "authorization" not in seen


def test_a_credential_may_write_a_header_that_is_otherwise_kept_inside(pipeline: Pipeline) -> None:
    credential = FakeCredential(answer=Injection((("x-auth-client", "me"),), Kind.APP))
    assert sent(pipeline(credential), call(ANNAS))["x-auth-client"] == "me"


INSIDE = {
    **dict.fromkeys((*IDENTITY, *underscored(IDENTITY)), "inside"),
    "x-attache-context": HANDLE,
    "x_attache_context": HANDLE,
    "x-attache_context": HANDLE,
    "x-department": "inside",
}


@pytest.mark.must(29)
@pytest.mark.parametrize("passthrough", [True, False])
def test_who_the_caller_is_and_the_handle_stay_in_the_pod(
    pipeline: Pipeline, passthrough: bool
) -> None:
    carriers = {
        "baggage": f"a=1,attache={HANDLE};p,%61ttache={HANDLE},b=2",
        "tracestate": f"attache={HANDLE},v=1",
    }
    request = call(INSIDE | carriers, passthrough=passthrough)
    outbound = pipeline(passthrough=passthrough, stripped=kept_inside(("x-department",)))
    seen = sent(outbound, request)
    assert HANDLE not in str(seen)
    assert "inside" not in str(seen)
    assert (seen["baggage"], seen["tracestate"]) == ("a=1,b=2", "v=1")


@pytest.mark.must(29)
def test_a_carrier_that_held_only_the_handle_is_removed(pipeline: Pipeline) -> None:
    headers = {"baggage": f"attache={HANDLE}", "tracestate": f"attache={HANDLE}"}
    assert not {"baggage", "tracestate"} & set(sent(pipeline(), call(headers)))


MOVED = [
    ({"x-attache-tracestate": "v=1,w=2"}, "v=1,w=2"),
    ({"x-attache-tracestate": f"v=1,attache={HANDLE}"}, "v=1"),
    ({"x-attache-tracestate": f"attache={HANDLE}"}, None),
    ({"x-attache-tracestate": "v=1", "tracestate": "w=2"}, "w=2,v=1"),
    ({"x-attache-tracestate": "v=1\x01"}, None),
]


@pytest.mark.must(29)
@pytest.mark.parametrize(("headers", "state"), MOVED)
def test_what_our_envoy_moved_out_of_its_tracers_reach_comes_back_without_the_handle(
    pipeline: Pipeline, headers: dict[str, str], state: str | None
) -> None:
    seen = sent(pipeline(), call(ANNAS | headers))
    assert seen.get("tracestate") == state
    assert "x-attache-tracestate" not in seen
    assert seen["authorization"] == "Bearer for-anna-oid"


@pytest.mark.must(29)
def test_a_moved_handle_is_a_carrier_like_any(pipeline: Pipeline) -> None:
    moved = {"x-attache-tracestate": f"attache={HANDLE}"}
    assert sent(pipeline(), call(moved))["authorization"] == "Bearer for-anna-oid"
    forged = {"x-attache-tracestate": f"attache={'0' * 32}"}
    for headers, reason in (
        (forged, Reason.NO_SUBJECT),
        (forged | ANNAS, Reason.AMBIGUOUS_SUBJECT),
        (forged | {"tracestate": f"attache={HANDLE}"}, Reason.AMBIGUOUS_SUBJECT),
    ):
        outcome = pipeline().decide(call(headers), MOMENT).outcome
        assert isinstance(outcome, Denial)
        assert outcome.reason is reason


def test_others_baggage_passes_as_it_was(pipeline: Pipeline) -> None:
    headers = ANNAS | {"baggage": " a = 1 ,b=%20", "tracestate": "v=1,, w=2"}
    allow = allowed(pipeline().decide(call(headers), MOMENT))
    assert not {"baggage", "tracestate"} & {*dict(allow.set), *allow.remove}


PASSING = [
    ("Bearer own.s.token", True),
    ("Basic YTpi", True),
    ("", False),
    (f"Bearer {TOKEN}", False),
    (f"bearer {TOKEN}", False),
    (f"Bearer   {TOKEN}", False),
    (f"Bearer\t{TOKEN}", False),
    (f" Bearer {TOKEN} ", False),
]


@pytest.mark.must(25)
@pytest.mark.parametrize(("authorization", "passes"), PASSING)
def test_to_an_unlisted_host_the_applications_own_credential_passes_but_never_the_callers(
    pipeline: Pipeline, authorization: str, passes: bool
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    request = call(headers, destination="", passthrough=True, host="elsewhere.example")
    outbound = pipeline(passthrough=True)
    decision = outbound.decide(request, MOMENT)
    seen = as_the_destination_sees_it(request, decision)
    assert ("authorization" in seen) is passes
    assert TOKEN not in str(seen)
    assert decision.facts.credential == "passthrough"
    assert {"x-correlation-id", "traceparent"} <= set(seen)


def test_a_doubt_about_the_caller_does_not_stop_what_carries_nothing_of_theirs(
    pipeline: Pipeline,
) -> None:
    request = call({"x-attache-context": "f" * 32}, destination="", passthrough=True)
    seen = sent(pipeline(passthrough=True), request)
    assert set(seen) == {"x-correlation-id", "traceparent"}


IDS = [
    (ANNAS, "txn-anna", TRACE),
    (ANNAS | {"x-correlation-id": "mine"}, "txn-anna", TRACE),
    (ANNAS | {"traceparent": f"00-{OTHER}-{SPAN}-01"}, "txn-anna", OTHER),
    ({"x-correlation-id": "mine", "traceparent": f"00-{OTHER}-{SPAN}-01"}, "mine", OTHER),
]


@pytest.mark.must(30)
@pytest.mark.parametrize(("headers", "txn", "trace"), IDS)
@pytest.mark.parametrize("outcome", ["allow", "deny", "unknown"])
def test_every_call_whatever_becomes_of_it_has_a_transaction_and_a_trace(
    pipeline: Pipeline, headers: dict[str, str], txn: str, trace: str, outcome: str
) -> None:
    answer = Denial(Reason.CREDENTIAL_ERROR, "no") if outcome == "deny" else None
    destination = "elsewhere" if outcome == "unknown" else "audit"
    outbound = pipeline(FakeCredential(answer=answer))
    decision = outbound.decide(call(headers, destination=destination), MOMENT)
    assert (decision.facts.txn, decision.facts.trace_id) == (txn, trace)
    if isinstance(decision.outcome, Allow):
        said = dict(decision.outcome.set)
        assert said["x-correlation-id"] == txn
        assert said["traceparent"].startswith(f"00-{trace}-")


@pytest.mark.must(28, 45)
@pytest.mark.parametrize(
    ("acts_as", "credential"), [(Kind.USER, "obo:user"), (Kind.APP, "obo:app"), (None, "obo")]
)
def test_the_audit_says_as_whom_the_credential_spoke(
    pipeline: Pipeline, verified: MakeVerified, acts_as: Kind | None, credential: str
) -> None:
    injection = Injection((("authorization", "Bearer x"),), acts_as)
    facts = pipeline(FakeCredential(answer=injection)).decide(call(ANNAS), MOMENT).facts
    assert (facts.destination, facts.rule, facts.credential) == ("audit", "audit", credential)
    assert facts.verified == verified()


LINKS = [
    (ANNAS, "resolved"),
    ({}, "none"),
    ({"x-attache-context": "f" * 32}, "no_subject"),
    ({"x-attache-context": f"{HANDLE},x"}, "ambiguous_subject"),
]


@pytest.mark.must(45)
@pytest.mark.parametrize(("headers", "link"), LINKS)
@pytest.mark.parametrize("for_caller", [True, False])
def test_the_facts_say_how_the_call_found_its_caller(
    pipeline: Pipeline, headers: dict[str, str], link: str, for_caller: bool
) -> None:
    assert pipeline(for_caller=for_caller).decide(call(headers), MOMENT).facts.link == link


HASHES = [
    ("Bearer abc", "abc"),
    ("bearer abc", "abc"),
    ("BEARER\t abc ", "abc"),
    ("", None),
    ("Bearer", None),
    ("Bearer ", None),
    ("Basic abc", None),
    ("abc", None),
    ("Bearer abc,Bearer def", None),
    ("Bearer abc def", None),
]


@pytest.mark.parametrize(("authorization", "token"), HASHES)
def test_a_relayed_token_is_known_by_its_hash(authorization: str, token: str | None) -> None:
    expected = hashlib.sha256(token.encode()).digest() if token else None
    assert bearer_hash(authorization) == expected


SECRET = st.sampled_from([HANDLE, f"attache={HANDLE}", f"a=1,attache={HANDLE};p", "", "a=1"])
NAMES = st.sampled_from(
    [
        *("baggage", "tracestate", "x-attache-context", "x_attache_context", "x-request-id"),
        *("x-correlation-id", "traceparent", "authorization", *IDENTITY, "accept"),
    ]
)


@pytest.mark.must(17, 25, 29)
@settings(max_examples=300, deadline=None)
@given(
    headers=st.dictionaries(NAMES, SECRET | st.text(max_size=12), max_size=6),
    destination=st.sampled_from(["audit", "app", "", "x"]),
    unmatched=st.booleans(),
    passthrough=st.booleans(),
)
def test_whatever_the_application_sends_nothing_but_the_destinations_credential_leaves(
    verified: MakeVerified,
    headers: dict[str, str],
    destination: str,
    unmatched: bool,
    passthrough: bool,
) -> None:
    anna = Caller(verified(), HANDLE, "txn", "r", TRACE, 2000.0, verified().token_hash)
    store = ContextStore(10)
    store.remember(anna)
    own = Injection((("authorization", "Bearer own"),), Kind.APP)
    outbound = Outbound(
        targets={
            "audit": Target("audit", FakeCredential(), for_caller=True),
            "app": Target("app", FakeCredential(answer=own), for_caller=False),
        },
        store=store,
        random=lambda size: hashlib.shake_256(b"x").digest(size),
        passthrough=passthrough,
        workload="shop/tasks",
        stripped=kept_inside(),
        recognise=lambda token: False,
        revoked=lambda verified, now: None,
    )
    request = call(headers, destination=destination, passthrough=unmatched)
    decision = outbound.decide(request, MOMENT)
    if isinstance(decision.outcome, Denial):
        return
    seen = as_the_destination_sees_it(request, decision)
    passed = unmatched and passthrough
    assert destination in ("audit", "app") or passed
    assert not {*IDENTITY, "x-attache-context", "x_attache_context"} & set(seen)
    for name in ("baggage", "tracestate"):
        assert f"attache={HANDLE}" not in seen.get(name, "")
    if not passed:
        expected = {"audit": {"Bearer for-anna-oid", "Bearer for-nobody"}, "app": {"Bearer own"}}
        assert seen["authorization"] in expected[destination]
