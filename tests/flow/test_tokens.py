"""Which credential does a program get that makes the call itself, and for whom?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.context.caller import Caller
from agent.context.store import ContextStore
from agent.credentials.credential import Injection
from agent.credentials.subject import acting_as
from agent.errors import Denial, Reason
from agent.flow.outbound import Outbound, Target, kept_inside
from agent.flow.tokens import Ask, Tokens
from agent.flow.transaction import Transactions
from agent.identity.principal import IssuerKind, Kind, RawToken, Verified
from agent.moment import Moment

NOW = Moment(now=1000.0, deadline=4.0)
HANDLE = "0123456789abcdef0123456789abcdef"
TRACE, SPAN = "a" * 32, "c" * 16
MakeVerified = Callable[..., Verified]


class FakeCredential:
    """Names whom it was asked for; speaks for a user, or for the application where it may."""

    kind = "obo"

    def __init__(self, subject: Any) -> None:
        self._subject = subject

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        acting = acting_as(self._subject, caller)
        if isinstance(acting, Denial):
            return acting
        who = caller.verified.principal.subject if caller and caller.verified else "nobody"
        text = who if acting is Kind.USER else "ourselves"
        return Injection((("authorization", f"Bearer for-{text}"),), acting, 3000.0)


@pytest.fixture
def anna(verified: MakeVerified) -> Caller:
    """Her request, on which the application works; it was given another token in its place."""
    given = verified("given.in.place").token_hash
    return Caller(verified(), HANDLE, "txn-anna", "request-anna", TRACE, 2000.0, given)


@pytest.fixture
def tokens(
    anna: Caller, verified: MakeVerified, random: Callable[[int], bytes]
) -> Callable[..., Tokens]:
    """Makes a pipeline; tokens verify that are named after whom they are for."""

    def verify(token: RawToken, moment: Moment) -> Verified | Denial:
        if token.startswith("forged"):
            return Denial(Reason.INVALID_TOKEN, "The token's signature is wrong.")
        subject, _, kind = token.partition(".")
        internal = IssuerKind.INTERNAL if kind == "internal" else IssuerKind.ENTRA
        caller = Kind.APP if kind == "app" else Kind.USER
        return verified(token, subject=f"{subject}-oid", issuer_kind=internal, kind=caller)

    def make(**different: Any) -> Tokens:
        store = ContextStore(100)
        store.remember(anna)
        subjects = {"orders": "user", "audit": "app", "mixed": "either", "hidden": "app"}
        outbound = Outbound(
            targets={
                name: Target(name, FakeCredential(subject), subject != "app")
                for name, subject in subjects.items()
            },
            store=store,
            random=random,
            passthrough=False,
            workload="shop/tasks",
            stripped=kept_inside(),
            recognise=lambda token: True,
            revoked=different.pop("revoked", lambda verified, now: None),
        )
        parts: dict[str, Any] = {
            "outbound": outbound,
            "offered": frozenset({"orders", "audit", "mixed", "gone"}),
            "verify": verify,
            "chain": lambda verified: None,
            "edge": False,
        }
        return Tokens(**parts | different)

    return make


def ask(destination: str = "orders", headers: dict[str, str] | None = None, **how: Any) -> Ask:
    return Ask(destination, headers or {}, "GET", "/x", **how)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


HANDED = [
    ("a handle", "orders", {"x-attache-context": HANDLE}, "for-anna-oid"),
    ("a baggage", "orders", {"baggage": f"a=b,attache={HANDLE}"}, "for-anna-oid"),
    ("a trace", "orders", {"traceparent": f"00-{TRACE}-{SPAN}-01"}, "for-anna-oid"),
    ("a request id", "orders", {"x-request-id": "request-anna"}, "for-anna-oid"),
    ("what we gave in place of her token", "orders", bearer("given.in.place"), "for-anna-oid"),
    ("a token that verifies", "orders", bearer("bert.s"), "for-bert-oid"),
    ("both", "orders", bearer("anna.s.token") | {"x-attache-context": HANDLE}, "for-anna-oid"),
    ("nobody, for ourselves", "audit", {}, "for-ourselves"),
    ("a user, for ourselves", "audit", bearer("bert.s"), "for-ourselves"),
    ("a user, where either may", "mixed", bearer("bert.s"), "for-bert-oid"),
    ("an app, where either may", "mixed", bearer("cron.app"), "for-ourselves"),
    ("nobody, where either may", "mixed", {}, "for-ourselves"),
]


@pytest.mark.must(25, 27, 28, 29)
@pytest.mark.parametrize(
    ("destination", "headers", "value"), [row[1:] for row in HANDED], ids=[r[0] for r in HANDED]
)
def test_the_credential_is_the_destinations_for_who_stands_behind(
    tokens: Callable[..., Tokens], destination: str, headers: dict[str, str], value: str
) -> None:
    injection, facts = tokens().hand_out(ask(destination, headers), NOW)
    assert isinstance(injection, Injection), injection
    assert injection.headers == (("authorization", f"Bearer {value}"),)
    assert injection.expires_at == 3000.0
    assert facts.destination == facts.rule == destination
    assert (facts.credential or "").startswith("obo:")


DENIED = [
    ("nobody", "orders", {}, Reason.NO_SUBJECT),
    ("a forged token", "orders", bearer("forged.x"), Reason.INVALID_TOKEN),
    ("a forged token, for ourselves", "audit", bearer("forged.x"), Reason.INVALID_TOKEN),
    ("two tokens", "audit", {"authorization": "Bearer a,Bearer b"}, Reason.MALFORMED_TOKEN),
    ("no bearer", "audit", {"authorization": "Basic eDp5"}, Reason.MISSING_TOKEN),
    ("a forged handle", "orders", {"x-attache-context": "f" * 32}, Reason.NO_SUBJECT),
    (
        "a token and another's handle",
        "orders",
        bearer("bert.s") | {"x-attache-context": HANDLE},
        Reason.AMBIGUOUS_SUBJECT,
    ),
    (
        "a token and another's trace",
        "mixed",
        bearer("bert.s") | {"traceparent": f"00-{TRACE}-{SPAN}-01"},
        Reason.AMBIGUOUS_SUBJECT,
    ),
    ("an app where a user must be", "orders", bearer("cron.app"), Reason.USER_REQUIRED),
    ("a destination that is not handed out", "hidden", {}, Reason.DESTINATION_NOT_ALLOWED),
    ("one that is handed out and gone", "gone", {}, Reason.DESTINATION_NOT_ALLOWED),
    ("one that nobody knows", "nowhere", bearer("bert.s"), Reason.DESTINATION_NOT_ALLOWED),
]


@pytest.mark.must(21, 25, 28, 29)
@pytest.mark.parametrize(
    ("destination", "headers", "reason"), [row[1:] for row in DENIED], ids=[r[0] for r in DENIED]
)
def test_in_doubt_there_is_none(
    tokens: Callable[..., Tokens], destination: str, headers: dict[str, str], reason: Reason
) -> None:
    denial, _ = tokens().hand_out(ask(destination, headers), NOW)
    assert isinstance(denial, Denial)
    assert denial.reason is reason


def test_a_program_may_ask_as_the_application_and_is_then_nobody_else(
    tokens: Callable[..., Tokens],
) -> None:
    everything = bearer("bert.s") | {"x-attache-context": HANDLE, "x-correlation-id": "txn-1"}
    handed = tokens().hand_out(ask("mixed", everything, as_application=True), NOW)
    assert isinstance(handed.outcome, Injection)
    assert handed.outcome.acts_as is Kind.APP
    assert (handed.facts.verified, handed.facts.itself) == (None, "shop/tasks")
    assert handed.facts.txn == "txn-1"
    denial, _ = tokens().hand_out(ask("orders", everything, as_application=True), NOW)
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.NO_SUBJECT


def test_where_a_caller_is_needed_a_doubt_about_nobody_is_a_missing_token(
    tokens: Callable[..., Tokens],
) -> None:
    denial, _ = tokens().hand_out(ask("audit", needs_caller=True), NOW)
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.status) == (Reason.MISSING_TOKEN, 401)


def test_what_is_refused_by_its_form_says_so_first(tokens: Callable[..., Tokens]) -> None:
    why = Denial(Reason.DESTINATION_NOT_ALLOWED, "no", status=400)
    assert tokens().hand_out(ask("audit", refused=why), NOW).outcome is why


@pytest.mark.must(15)
def test_revoked_callers_looping_ones_and_internal_ones_at_the_edge_get_nothing(
    tokens: Callable[..., Tokens],
) -> None:
    revoked = Denial(Reason.REVOKED, "revoked")
    loop = Denial(Reason.CALL_LOOP, "a circle")
    for pipeline, token, reason in (
        (tokens(revoked=lambda verified, now: revoked), "bert.s", Reason.REVOKED),
        (tokens(revoked=lambda verified, now: revoked), "given.in.place", Reason.REVOKED),
        (tokens(chain=lambda verified: loop), "bert.s", Reason.CALL_LOOP),
        (tokens(edge=True), "bert.internal", Reason.UNTRUSTED_ISSUER),
    ):
        for outcome in (
            pipeline.hand_out(ask("orders", bearer(token)), NOW).outcome,
            pipeline.validate(ask("", bearer(token)), NOW).outcome,
        ):
            assert isinstance(outcome, Denial)
            assert outcome.reason is reason


def test_who_must_bring_a_txn_token_must_bring_it_here_too(
    tokens: Callable[..., Tokens], verified: MakeVerified
) -> None:
    """A token that was not let in by the inbound listener skips none of its demands."""

    def verify(token: RawToken, moment: Moment) -> Verified | Denial:
        return verified(token, issuer_kind=IssuerKind.INTERNAL, txn="t", client="c")

    required = Transactions(verify, {"entra": "require"})
    denial, _ = tokens(transactions=required).hand_out(ask("orders", bearer("bert.internal")), NOW)
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.MISSING_TOKEN
    handed = tokens(transactions=required).hand_out(ask("orders", bearer("bert.s")), NOW)
    assert isinstance(handed.outcome, Injection)  # only our own trust domain has them


def test_a_shown_token_is_verified_or_known(tokens: Callable[..., Tokens]) -> None:
    for token, subject in (("bert.s", "bert-oid"), ("given.in.place", "anna-oid")):
        shown = tokens().validate(ask("", bearer(token)), NOW)
        assert isinstance(shown.outcome, Verified)
        assert shown.outcome.principal.subject == subject
        assert shown.token == token
        # What we gave in place of her token is not hers; and this one says nothing that we read.
        assert ("name" in shown.claims) == (token == "bert.s")
    for headers, reason in (
        ({}, Reason.MISSING_TOKEN),
        (bearer("forged.x"), Reason.INVALID_TOKEN),
        ({"x-attache-context": HANDLE}, Reason.MISSING_TOKEN),
    ):
        denial = tokens().validate(ask("", headers), NOW).outcome
        assert isinstance(denial, Denial)
        assert denial.reason is reason
