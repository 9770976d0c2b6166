"""What does a client of Microsoft's sidecar ask of us, and what may it not ask?"""

from __future__ import annotations

import pytest

from agent.errors import Reason
from agent.flow.tokens import Ask
from agent.token_service.sidecar import Health, Offer, Refused, Validation, read

OFFERS = {
    "graph": Offer(frozenset({"User.Read", "Mail.Read"}), app=False),
    "audit": Offer(frozenset({"api://audit/.default"}), app=True),
    "key": Offer(frozenset(), app=True, header="x-api-key"),
}
HERE = ["localhost:5178"]


def asked(
    target: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    hosts: list[str] = HERE,
) -> Ask | Validation | Health | Refused:
    return read(method, target, headers or {}, hosts, OFFERS)


def ask(target: str, headers: dict[str, str] | None = None) -> Ask:
    found = asked(target, headers=headers)
    assert isinstance(found, Ask), found
    return found


@pytest.mark.parametrize(
    ("target", "name", "alone", "path"),
    [
        ("/AuthorizationHeader/graph", "graph", False, "/AuthorizationHeader/graph"),
        ("/authorizationheader/Graph?", "graph", False, "/AuthorizationHeader/graph"),
        (
            "/AuthorizationHeaderUnauthenticated/audit",
            "audit",
            True,
            "/AuthorizationHeaderUnauthenticated/audit",
        ),
        ("/AuthorizationHeader/a%75dit", "audit", False, "/AuthorizationHeader/audit"),
        ("/AuthorizationHeader/%2e%2e%2f", "", False, "/AuthorizationHeader/"),
        ("/AuthorizationHeader/x%00", "", False, "/AuthorizationHeader/"),
    ],
)
def test_a_place_means_a_destination(target: str, name: str, alone: bool, path: str) -> None:
    found = ask(target)
    assert (found.destination, found.as_application, found.needs_caller) == (name, alone, not alone)
    assert (found.method, found.path) == ("GET", path)
    assert found.refused is None


TAKEN = [
    "optionsOverride.Scopes=User.Read&optionsOverride.Scopes=Mail.Read",
    "optionsoverride.scopes=Mail.Read%20User.Read",
    "optionsOverride.RequestAppToken=false",
    "optionsOverride.AcquireTokenOptions.ForceRefresh=False",
    "optionsOverride.AcquireTokenOptions.CorrelationId=6f1c7f0e-0000-4000-8000-000000000001",
]
REFUSED = [
    "optionsOverride.Scopes=User.Read",
    "optionsOverride.Scopes=User.Read&optionsOverride.Scopes=Mail.Read&optionsOverride.Scopes=All",
    "optionsOverride.Scopes=",
    "optionsOverride.RequestAppToken=true",
    "optionsOverride.RequestAppToken=false&optionsOverride.RequestAppToken=true",
    "optionsOverride.RequestAppToken=maybe",
    "optionsOverride.AcquireTokenOptions.Tenant=common",
    "optionsOverride.AcquireTokenOptions.ForceRefresh=true",
    "optionsOverride.AcquireTokenOptions.Claims=%7B%7D",
    "optionsOverride.AcquireTokenOptions.CorrelationId=a%0d%0ab",
    "optionsOverride.AcquireTokenOptions.PopPublicKey=x",
    "optionsOverride.AcquireTokenOptions.ManagedIdentity.UserAssignedClientId=x",
    "OPTIONSOVERRIDE.BASEURL=https%3A%2F%2Fevil.example",
    "optionsOverride.RelativePath=x",
    "optionsOverride.CustomHeader.X-Custom=value",
    "optionsOverride.ExtraHeaderParameters%5BX%5D=value",
    "AgentIdentity=11111111-1111-4111-8111-111111111111",
    "agentusername=a%40b",
    "AgentUserId=x",
    "tenant=x",
    "x",
]


@pytest.mark.parametrize("query", TAKEN)
def test_a_parameter_that_says_what_the_configuration_says_is_taken(query: str) -> None:
    assert ask(f"/AuthorizationHeader/graph?{query}").refused is None


@pytest.mark.must(21, 25, 28)
@pytest.mark.parametrize("query", REFUSED)
def test_a_parameter_that_would_change_it_is_refused_and_never_ignored(query: str) -> None:
    refused = ask(f"/AuthorizationHeader/graph?{query}").refused
    assert refused is not None
    assert (refused.reason, refused.status) == (Reason.DESTINATION_NOT_ALLOWED, 400)
    assert "evil" not in refused.detail
    assert refused.detail.isprintable()


def test_an_app_token_may_be_asked_for_where_it_is_one() -> None:
    for place in ("AuthorizationHeader", "AuthorizationHeaderUnauthenticated"):
        assert ask(f"/{place}/audit?optionsOverride.RequestAppToken=True").refused is None


def test_what_travels_in_another_header_has_no_authorization_header() -> None:
    for place in ("AuthorizationHeader", "AuthorizationHeaderUnauthenticated"):
        refused = ask(f"/{place}/key").refused
        assert refused is not None
        assert refused.status == 400
        assert "ask by gRPC" in refused.detail


def test_of_what_is_not_handed_out_no_parameter_tells_anything() -> None:
    assert ask("/AuthorizationHeader/other?AgentIdentity=x").refused is None  # a 404


def test_a_correlation_id_becomes_the_calls_unless_it_has_one() -> None:
    query = "optionsOverride.AcquireTokenOptions.CorrelationId=abc-1"
    assert ask(f"/AuthorizationHeader/graph?{query}").headers["x-correlation-id"] == "abc-1"
    own = {"x-correlation-id": "mine"}
    assert ask(f"/AuthorizationHeader/graph?{query}", own).headers == own


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/", "GET", 404),
        ("/AuthorizationHeader", "GET", 404),
        ("/AuthorizationHeader/a/b", "GET", 404),
        ("/openapi/v1.json", "GET", 404),
        ("/Validate/x", "GET", 404),
        ("http://localhost/Validate", "GET", 404),
        ("*", "OPTIONS", 404),
        ("/AuthorizationHeader/graph", "POST", 405),
        ("/AuthorizationHeader/graph", "HEAD", 405),
        ("/Validate", "DELETE", 405),
        ("/DownstreamApi/graph", "POST", 501),
        ("/DownstreamApiUnauthenticated/graph", "GET", 501),
        (f"/AuthorizationHeader/graph?{'a=b&' * 70}", "GET", 400),
        ("/AuthorizationHeader/graph?a=%ff", "GET", 400),
    ],
)
def test_what_is_not_there_says_what_is(target: str, method: str, status: int) -> None:
    found = asked(target, method)
    assert isinstance(found, Refused)
    assert found.status == status
    assert (found.allow == "GET") == (status == 405)


def test_the_other_places_are_read() -> None:
    assert isinstance(asked("/healthz"), Health)
    assert isinstance(asked("/validate"), Validation)


@pytest.mark.must(24, 47)
@pytest.mark.parametrize(
    ("headers", "hosts"),
    [
        ({}, []),
        ({}, ["rebound.example"]),
        ({}, ["localhost", "localhost"]),
        ({}, ["localhost.evil.example"]),
        ({}, ["10.0.0.7:5178"]),
        ({}, ["user@localhost"]),
        ({"origin": "https://evil.example"}, HERE),
        ({"origin": "null"}, HERE),
        ({"sec-fetch-site": "cross-site"}, HERE),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, HERE),
        ({"sec-fetch-mode": "no-cors"}, HERE),
        ({"sec-fetch-dest": "script"}, HERE),
    ],
)
def test_a_browser_is_no_program_of_the_pod(headers: dict[str, str], hosts: list[str]) -> None:
    for target in ("/AuthorizationHeader/graph", "/Validate", "/healthz"):
        found = asked(target, headers=headers, hosts=hosts)
        assert isinstance(found, Refused)
        assert found.status == 403


@pytest.mark.parametrize("host", ["localhost:5178", "LOCALHOST", "127.0.0.1:5178", "[::1]:5178"])
def test_a_program_calls_us_by_a_name_of_loopback(host: str) -> None:
    # Node's fetch names its mode, and nothing else that a browser would
    assert isinstance(asked("/healthz", headers={"sec-fetch-mode": "cors"}, hosts=[host]), Health)
