"""A Txn-Token is looked at after the bearer, opens nothing, and must agree with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.config.routes import Route
from agent.context.store import ContextStore
from agent.errors import Denial, Reason
from agent.flow.decision import Allow
from agent.flow.headers import Badge
from agent.flow.inbound import Inbound
from agent.flow.request import Request
from agent.flow.transaction import Rule, Transactions, disagreement
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified
from agent.moment import Moment
from agent.policy.routes import Routes

MakePrincipal = Callable[..., Principal]
MakeVerified = Callable[..., Verified]
MOMENT = Moment(1000.0, 4.0)
INTERNAL: dict[str, Any] = {
    "issuer_kind": IssuerKind.INTERNAL,
    "issuer_name": "mesh",
    "txn": "txn-1",
    "claims": {"sub": "t1/anna"},
    "actors": ("shop/b", "shop/a"),
}
TRANSACTION: dict[str, Any] = {
    "issuer_kind": IssuerKind.INTERNAL,
    "subject": "t1/anna",
    "txn": "txn-1",
    "client": "shop/a",
}

DISAGREEMENTS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, False),
    ({"client": "shop/b"}, {}, False),
    ({"txn": "txn-2"}, {}, True),
    ({"txn": ""}, {}, True),
    ({"subject": "t1/bob"}, {}, True),
    ({"subject": "anna-oid"}, {}, True),
    ({}, {"claims": {}}, True),
    ({"client": "shop/c"}, {}, True),
    ({}, {"actors": ()}, True),
    # B calls as itself amid Anna's transaction
    ({}, {"kind": Kind.APP, "claims": {"sub": "shop/b"}}, False),
    ({"txn": "txn-2"}, {"kind": Kind.APP, "claims": {"sub": "shop/b"}}, True),
]


@pytest.mark.must(30)
@pytest.mark.parametrize(("transaction", "caller", "refused"), DISAGREEMENTS)
def test_two_tokens_of_one_request_tell_of_one_transaction(
    principal: MakePrincipal,
    transaction: dict[str, Any],
    caller: dict[str, Any],
    refused: bool,
) -> None:
    found = disagreement(principal(**TRANSACTION | transaction), principal(**INTERNAL | caller))
    assert (found is not None) == refused
    if found:
        assert found.reason is Reason.INVALID_TOKEN


@pytest.fixture
def pipeline(
    verified: MakeVerified, random: Callable[[int], bytes]
) -> Callable[..., tuple[Inbound, ContextStore]]:
    known = {
        "good.t.t": verified("good.t.t", **TRANSACTION),
        "other.t.t": verified("other.t.t", **TRANSACTION | {"txn": "txn-2"}),
    }

    def verify(token: RawToken, moment: Moment) -> Verified | Denial:
        return known.get(token, Denial(Reason.EXPIRED_TOKEN, "The token has expired."))

    def make(rule: Rule | None) -> tuple[Inbound, ContextStore]:
        store = ContextStore(100)
        bearers = {
            "anna.s.token": verified(**INTERNAL),
            "outside.s.token": verified("outside.s.token"),
        }
        inbound = Inbound(
            routes=Routes(
                [
                    Route.model_validate({"path": "/open", "anonymous": True}),
                    Route.model_validate({"path": "/**"}),
                ]
            ),
            verify=lambda token, moment: bearers.get(token, Denial(Reason.INVALID_TOKEN, "no")),
            revoked=lambda verified, now: None,
            chain=lambda _: None,
            badge=Badge({}),
            store=store,
            random=random,
            edge=False,
            forward="original",
            swap=None,
            transactions=Transactions(verify, {"mesh": rule}) if rule else None,
        )
        return inbound, store

    return make


ANNA, OUTSIDE = "Bearer anna.s.token", "Bearer outside.s.token"
# rule, bearer, Txn-Token → the answer, and whether the application sees the Txn-Token
CASES: list[tuple[Rule | None, str, str | None, str, bool]] = [
    ("accept", ANNA, "good.t.t", "allow", True),
    ("accept", ANNA, None, "allow", False),
    ("accept", ANNA, "old.t.t", "expired_token", False),
    ("accept", ANNA, "other.t.t", "invalid_token", False),
    ("accept", ANNA, "good.t.t,good.t.t", "expired_token", False),
    ("require", ANNA, "good.t.t", "allow", True),
    ("require", ANNA, None, "missing_token", False),
    ("require", ANNA, "old.t.t", "expired_token", False),
    ("ignore", ANNA, "good.t.t", "allow", False),
    ("ignore", ANNA, "old.t.t", "allow", False),
    # a token from outside has no transaction of ours yet
    ("require", OUTSIDE, "good.t.t", "allow", False),
    # and a transaction is no token
    ("accept", "Bearer good.t.t", "good.t.t", "invalid_token", False),
    ("accept", "", "good.t.t", "missing_token", False),
    (None, ANNA, "whatever", "allow", True),
]


@pytest.mark.must(11, 19)
@pytest.mark.parametrize(("rule", "bearer", "said", "answer", "seen"), CASES)
def test_only_one_that_agrees_reaches_the_application(
    pipeline: Callable[..., tuple[Inbound, ContextStore]],
    asks: Callable[..., Request],
    rule: Rule | None,
    bearer: str,
    said: str | None,
    answer: str,
    seen: bool,
) -> None:
    inbound, store = pipeline(rule)
    headers = {"authorization": bearer} | ({"txn-token": said} if said else {})
    outcome = inbound.decide(asks(headers, target="/x"), MOMENT).outcome
    if isinstance(outcome, Denial):
        assert outcome.reason == answer
        assert len(store) == 0
        return
    assert isinstance(outcome, Allow)
    assert answer == "allow"
    assert ("txn-token" not in outcome.remove) == seen
    if rule is not None:
        assert "txn_token" in outcome.remove
    remembered = store.by_handle(dict(outcome.set)["x-attache-context"], MOMENT.now)
    assert remembered is not None
    kept = remembered.transaction.token if remembered.transaction else None
    assert kept == (said if seen and rule else None)


def test_on_an_anonymous_route_no_transaction_looks_verified(
    pipeline: Callable[..., tuple[Inbound, ContextStore]], asks: Callable[..., Request]
) -> None:
    inbound, _ = pipeline("require")
    outcome = inbound.decide(asks({"txn-token": "good.t.t"}, target="/open"), MOMENT).outcome
    assert isinstance(outcome, Allow)
    assert "txn-token" in outcome.remove
