"""What becomes of a token that was revoked since: at the door, and behind calls under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent.config.routes import Route
from agent.context.caller import Caller
from agent.context.store import ContextStore
from agent.credentials.credential import Injection
from agent.errors import Denial, Reason
from agent.flow.decision import Allow, Decision
from agent.flow.headers import Badge
from agent.flow.inbound import Inbound
from agent.flow.outbound import Outbound, Target, kept_inside
from agent.flow.request import Direction, Request
from agent.identity.principal import Kind, Verified
from agent.moment import Moment
from agent.policy.routes import Routes

MOMENT = Moment(now=1000.0, deadline=4.0)
HANDLE = "0123456789abcdef0123456789abcdef"
NO = Denial(Reason.REVOKED, "no more")


@dataclass
class FakeList:
    """Revokes what it is told to, and remembers what it was asked."""

    denial: Denial | None = None
    asked: list[tuple[Verified, float]] = field(default_factory=list)

    def __call__(self, verified: Verified, now: float) -> Denial | None:
        self.asked.append((verified, now))
        return self.denial


@dataclass
class FakeCredential:
    """A cached token for whoever asks."""

    kind: str = "obo"
    asked: int = 0

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        self.asked += 1
        return Injection((("authorization", "Bearer cached"),), Kind.USER)


@pytest.fixture
def anna(verified: Callable[..., Verified]) -> Verified:
    return verified()


@pytest.fixture
def ask(
    anna: Verified, random: Callable[[int], bytes]
) -> Callable[[FakeList, str], tuple[Decision, ContextStore]]:
    def make(listed: FakeList, path: str) -> tuple[Decision, ContextStore]:
        store = ContextStore(10)
        routes = [{"path": "/a"}, {"path": "/r", "require": {"roles": ["No"]}}]
        inbound = Inbound(
            routes=Routes(
                Route.model_validate(r) for r in [*routes, {"path": "/open", "anonymous": True}]
            ),
            verify=lambda token, moment: anna,
            revoked=listed,
            chain=lambda _: None,
            badge=Badge({}),
            store=store,
            random=random,
            edge=False,
            forward="original",
            swap=None,
        )
        headers = {"authorization": "Bearer anna.s.token"}
        request = Request(Direction.INBOUND, "GET", path, "shop.example", headers)
        return inbound.decide(request, MOMENT), store

    return make


@pytest.mark.must(15)
@pytest.mark.parametrize("path", ["/a", "/r"])
def test_a_revoked_token_is_refused_before_its_rights_are_looked_at(
    ask: Callable[..., tuple[Decision, ContextStore]], anna: Verified, path: str
) -> None:
    listed = FakeList(NO)
    decision, store = ask(listed, path)
    assert decision.outcome is NO
    assert decision.facts.verified is anna  # the audit record says who it was
    assert listed.asked == [(anna, MOMENT.now)]
    assert len(store) == 0


def test_what_is_not_revoked_goes_on_to_the_requirement(
    ask: Callable[..., tuple[Decision, ContextStore]],
) -> None:
    assert isinstance(ask(FakeList(), "/a")[0].outcome, Allow)
    denied = ask(FakeList(), "/r")[0].outcome
    assert isinstance(denied, Denial)
    assert denied.reason is Reason.INSUFFICIENT_ROLE


def test_an_anonymous_route_asks_no_list(ask: Callable[..., tuple[Decision, ContextStore]]) -> None:
    listed = FakeList(NO)
    assert isinstance(ask(listed, "/open")[0].outcome, Allow)
    assert listed.asked == []


# may the credential speak for the caller?, headers → refused?
CALLS = [
    (True, {"x-attache-context": HANDLE}, True),
    (True, {}, False),  # nobody stands behind it
    (False, {"x-attache-context": HANDLE}, False),  # the application's own call
]


@pytest.mark.must(28)
@pytest.mark.parametrize(("for_caller", "headers", "refused"), CALLS)
def test_no_credential_speaks_for_a_caller_who_was_revoked_since(
    anna: Verified,
    random: Callable[[int], bytes],
    for_caller: bool,
    headers: dict[str, str],
    refused: bool,
) -> None:
    store = ContextStore(10)
    store.remember(Caller(anna, HANDLE, "txn", "r", "a" * 32, 2000.0))
    credential = FakeCredential()
    outbound = Outbound(
        targets={"d": Target("d", credential, for_caller)},
        store=store,
        random=random,
        passthrough=False,
        workload="shop/tasks",
        stripped=kept_inside(),
        recognise=lambda token: False,
        revoked=FakeList(NO),
    )
    request = Request(Direction.OUTBOUND, "GET", "/", "d.shop", headers, destination="d")
    decision = outbound.decide(request, MOMENT)
    assert (decision.outcome is NO) is refused
    assert credential.asked == (0 if refused else 1)
    if refused:
        assert decision.facts.verified is anna
        assert decision.facts.destination == "d"
