"""What browsers' scripts may ask and read: preflights, and headers on answers of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.config.cors import Cors
from agent.config.routes import Route
from agent.context.store import ContextStore
from agent.errors import Denial, Reason
from agent.flow.decision import Allow, Decision
from agent.flow.headers import IDENTITY, Badge
from agent.flow.inbound import Inbound
from agent.flow.request import Request
from agent.identity.principal import Verified
from agent.moment import Moment
from agent.policy.routes import Routes

UI, PARTNER, EVIL = "https://ui.example", "https://partner.example", "https://evil.example"
ROUTES = [
    {"path": "/open", "anonymous": True},
    {"path": "/partner", "cors": {"allowOrigins": [PARTNER]}},
    {"path": "/private", "cors": {"allowOrigins": []}},
    {"path": "/read", "methods": ["GET"]},
    {"path": "/api/**"},
]
ALLOW_ORIGIN = "access-control-allow-origin"


@pytest.fixture
def ask(
    verified: Callable[..., Verified],
    random: Callable[[int], bytes],
    asks: Callable[..., Request],
) -> Callable[..., Decision]:
    """Asks a pipeline that knows the token `anna.s.token`."""

    def verify(token: str, moment: Moment) -> Verified | Denial:
        return verified() if token == "anna.s.token" else Denial(Reason.INVALID_TOKEN, "no")

    pipeline = Inbound(
        routes=Routes(
            (Route.model_validate(route) for route in ROUTES),
            Cors.model_validate({"allowOrigins": [UI]}),
        ),
        verify=verify,
        revoked=lambda *_: None,
        chain=lambda _: None,
        badge=Badge({}),
        store=ContextStore(10),
        random=random,
        edge=True,
        forward="original",
        swap=None,
    )

    def make(target: str, method: str = "GET", preflight: bool = False, **more: str) -> Decision:
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        request = asks(headers, target=target, method=method, preflight=preflight)
        return pipeline.decide(request, Moment(1000.0, 4.0))

    return make


Ask = Callable[..., Decision]

#        path, origin, method, granted
PREFLIGHTS = [
    ("/api/x", UI, "POST", True),
    ("/api/x?q=1", UI, "GET", True),
    ("/open", UI, "GET", True),
    ("/partner", PARTNER, "PUT", True),
    ("/read", UI, "GET", True),
    ("/read", UI, "PUT", False),
    ("/partner", UI, "PUT", False),
    ("/private", UI, "GET", False),
    ("/open", EVIL, "GET", False),
    ("/api/x", EVIL, "POST", False),
    ("/api/x", "null", "POST", False),
    ("/api/x", f"{UI}, {EVIL}", "POST", False),
    ("/api/x", "", "POST", False),
    ("/api/x", UI, "post", False),
    ("/api/x", UI, "BREW", False),
    ("/api/x", UI, "TRACE", False),
    ("/api/x", UI, "", False),
    ("/nowhere", UI, "GET", False),
    ("/api/../x", UI, "GET", False),
    ("/API/x", UI, "GET", False),
]


@pytest.mark.must(19, 21, 23)
@pytest.mark.parametrize(("path", "origin", "method", "granted"), PREFLIGHTS)
def test_a_preflight_is_granted_where_the_route_to_come_lets_that_origin_call(
    ask: Ask, path: str, origin: str, method: str, granted: bool
) -> None:
    named = {"origin": origin, "access_control_request_method": method}
    decision = ask(path, "OPTIONS", preflight=True, **named)
    assert isinstance(decision.outcome, Allow) is granted
    if granted:
        assert dict(decision.facts.response)[ALLOW_ORIGIN] == origin
        assert set(IDENTITY) <= set(decision.outcome.remove)  # type: ignore[union-attr]
    else:
        assert "access-control-allow-methods" not in dict(decision.facts.response)


@pytest.mark.must(23)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_only_options_is_a_preflight(ask: Ask, method: str) -> None:
    decision = ask("/open", method, preflight=True, origin=UI, access_control_request_method="GET")
    assert isinstance(decision.outcome, Denial)


@pytest.mark.must(23)
def test_where_envoy_does_not_answer_itself_a_preflight_is_a_request_like_any(ask: Ask) -> None:
    named = {"origin": UI, "access_control_request_method": "POST"}
    denial = ask("/api/x", "OPTIONS", **named).outcome
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.MISSING_TOKEN
    assert isinstance(ask("/open", "OPTIONS", **named).outcome, Allow)


@pytest.mark.must(17)
def test_what_envoy_would_answer_in_the_applications_place_is_not_allowed_by_another_rule(
    ask: Ask,
) -> None:
    named = {"origin": EVIL, "access_control_request_method": "POST"}
    token = {"authorization": "Bearer anna.s.token"}
    for path, more in (("/open", {}), ("/api/x", token)):
        assert isinstance(ask(path, "OPTIONS", preflight=True, **named, **more).outcome, Denial)


TOKEN = {"authorization": "Bearer anna.s.token"}
ANSWERS: list[tuple[str, dict[str, Any], str, bool]] = [
    ("/api/x", TOKEN, UI, True),
    ("/api/x", {}, UI, True),  # a script must be able to read the challenge
    ("/api/x", {"authorization": "Bearer x"}, UI, True),
    ("/api;x", {}, UI, True),
    ("/nowhere", {}, UI, True),
    ("/partner", {}, PARTNER, True),
    ("/partner", TOKEN, UI, False),
    ("/private", TOKEN, UI, False),
    ("/api/x", TOKEN, PARTNER, False),
    ("/api/x", TOKEN, EVIL, False),
    ("/nowhere", {}, EVIL, False),
]


@pytest.mark.must(16, 23)
@pytest.mark.parametrize(("path", "headers", "origin", "shared"), ANSWERS)
def test_every_answer_is_shared_with_the_routes_origins_and_no_others(
    ask: Ask, path: str, headers: dict[str, Any], origin: str, shared: bool
) -> None:
    response = dict(ask(path, origin=origin, **headers).facts.response)
    assert response.get(ALLOW_ORIGIN) == (origin if shared else None)
    assert response["vary"] == "origin"
