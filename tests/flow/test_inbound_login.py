"""A session's token is a caller's like any other, and the door is asked only where it must be."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.login import Login
from agent.config.routes import Route
from agent.context.store import ContextStore
from agent.credentials.mint import Minted
from agent.errors import Denial, Reason
from agent.flow.decision import Allow, Carried, Redirect
from agent.flow.headers import Badge
from agent.flow.inbound import Inbound
from agent.identity.principal import RawToken
from agent.moment import Moment
from agent.policy.routes import Routes

NOW = Moment(1000.0, 5.0)
LOGIN = {"identity": "us", "scopes": ["read"]}
ROUTES = [
    {"path": "/open", "anonymous": True},
    {"path": "/app/write", "login": LOGIN, "require": {"scopes": ["write"]}},
    {"path": "/app/**", "login": LOGIN},
    {"path": "/api/**"},
]


class FakeDoor:
    """Brings *token*, or says why not; notes what it was asked."""

    def __init__(self, token: str | Denial) -> None:
        self.token = token
        self.asked: list[str] = []

    def answer(self, request: Any, path: Any, facts: Any, moment: Any) -> Redirect | None:
        return Redirect("/there") if path.text.startswith("/.attache/") else None

    def bring(self, request: Any, login: Any, facts: Any, moment: Any) -> RawToken | Denial:
        self.asked.append("bring")
        assert isinstance(login, Login)
        facts.response += (("set-cookie", "session=new"),)
        if isinstance(self.token, Denial):
            return self.token
        facts.carried = Carried("s1", "", 0.0, "theme=dark")
        return RawToken(self.token)

    def turned_away(self, request: Any, login: Any, denial: Any, facts: Any, moment: Any) -> Any:
        self.asked.append(f"turned away: {denial.reason}")
        return Redirect("https://id.example", denial)

    def others(self, request: Any) -> str | None:
        return "" if "session" in request.header("cookie") else None


@pytest.fixture
def inbound(verified, random):
    def make(token: str | Denial = "anna.s.token", forward: str = "original") -> Inbound:
        return Inbound(
            routes=Routes([Route.model_validate(route) for route in ROUTES]),
            verify=lambda token, moment: verified(token),
            revoked=lambda verified, now: None,
            chain=lambda verified: None,
            badge=Badge({}),
            store=ContextStore(10),
            random=random,
            edge=True,
            forward=forward,
            swap=(lambda caller, moment: Minted("internal", 2e9))
            if forward == "internal"
            else None,
            door=FakeDoor(token),
        )

    return make


@pytest.mark.parametrize(
    ("forward", "shown"), [("original", "Bearer anna.s.token"), ("internal", "Bearer internal")]
)
def test_a_sessions_caller_is_let_in_and_the_cookie_is_not(inbound, asks, forward, shown):
    found = inbound(forward=forward).decide(asks({"cookie": "session=x"}, target="/app/x"), NOW)
    assert isinstance(found.outcome, Allow)
    written = dict(found.outcome.set)
    assert (written["authorization"], written["cookie"]) == (shown, "theme=dark")
    assert written["x-auth-subject"] == "anna-oid"
    assert ("set-cookie", "session=new") in found.facts.response


def test_forward_none_shows_nothing_of_the_session(inbound, asks):
    found = inbound(forward="none").decide(asks({"cookie": "session=x"}, target="/app/x"), NOW)
    assert "authorization" in found.outcome.remove
    assert "authorization" not in dict(found.outcome.set)


def test_a_bearer_beside_it_is_what_counts(inbound, asks):
    made = inbound(Denial(Reason.MISSING_TOKEN, "nobody"))
    headers = {"cookie": "session=x", "authorization": "Bearer anna.s.token"}
    found = made.decide(asks(headers, target="/app/x"), NOW)
    assert isinstance(found.outcome, Allow)
    assert "cookie" in found.outcome.remove
    assert made.door.asked == []
    refused = made.decide(asks(headers, target="/app/write"), NOW)
    assert refused.outcome.reason is Reason.INSUFFICIENT_SCOPE
    assert made.door.asked == []


def test_where_nobody_signs_in_the_session_says_nothing(inbound, asks):
    made = inbound()
    found = made.decide(asks({"cookie": "session=x"}, target="/api/x"), NOW)
    assert found.outcome.reason is Reason.MISSING_TOKEN
    assert made.door.asked == []
    opened = made.decide(asks({"cookie": "session=x"}, target="/open"), NOW)
    assert "cookie" in opened.outcome.remove
    assert "cookie" not in made.decide(asks({"cookie": "a=1"}, target="/open"), NOW).outcome.remove


def test_every_denial_of_a_session_comes_by_the_door(inbound, asks):
    made = inbound(Denial(Reason.EXPIRED_TOKEN, "over"))
    found = made.decide(asks(target="/app/x"), NOW)
    assert isinstance(found.outcome, Redirect)
    made = inbound()
    made.decide(asks(target="/app/write"), NOW)
    assert made.door.asked == ["bring", "turned away: insufficient_scope"]


def test_our_own_paths_are_answered_before_any_route(inbound, asks):
    found = inbound().decide(asks(target="/.attache/callback?code=x"), NOW)
    assert found.outcome == Redirect("/there")


def test_a_preflight_is_never_answered_for_a_session(inbound, asks):
    made = inbound()
    request = asks(
        {"cookie": "session=x", "origin": "https://a", "access-control-request-method": "POST"},
        target="/app/x",
        method="OPTIONS",
        preflight=True,
    )
    assert made.decide(request, NOW).outcome.denial.reason is Reason.MISSING_TOKEN
    assert "bring" not in made.door.asked
