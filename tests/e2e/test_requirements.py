"""Do requirements hold through a real agent and Envoy, and does a refused client learn what to do?"""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.contract_inbound_tools import Pod, until
from tests.e2e.doors import Provider

pytestmark = pytest.mark.e2e

ROUTES: list[dict[str, Any]] = [
    {"path": "/finance", "require": {"claims": {"department": "finance", "org.level": [3, 4]}}},
    {"path": "/groups", "require": {"claims": {"groups": ["g-1", "g-2"]}}},
    {"path": "/gold", "require": {"acr": ["gold", "platinum"]}},
    {"path": "/fresh", "require": {"maxAge": "15m"}},
    {"path": "/both", "require": {"scopes": ["pay"], "acr": ["gold"], "maxAge": 60}},
    {"path": "/clients", "require": {"clients": ["batch"]}},
    {"path": "/host", "hosts": ["Shop.example:8443", "[2001:db8::1]"], "anonymous": True},
    {"path": "/traced", "methods": ["TRACE"], "anonymous": True},
    {"path": "/plain", "anonymous": True},
]
INSUFFICIENT = 'error="insufficient_scope"'
STEP_UP = 'error="insufficient_user_authentication"'
FINANCE = {"department": "finance", "org": {"level": 3}}


def ago(seconds: float) -> dict[str, int]:
    return {"auth_time": int(time.time() - seconds)}


#        path, further claims of the token (`age`: of the sign-in), status, reason, parts of the challenge
CASES: list[tuple[str, dict[str, Any], int, str, list[str]]] = [
    ("/finance", FINANCE, 200, "", []),
    ("/finance", FINANCE | {"org.level": 4}, 200, "", []),
    ("/finance", FINANCE | {"org.level": 5}, 403, "insufficient_role", [INSUFFICIENT]),
    ("/finance", FINANCE | {"org": {"level": "3"}}, 403, "insufficient_role", [INSUFFICIENT]),
    ("/finance", {"department": ["sales", "finance"], "org": {"level": [1, 4]}}, 200, "", []),
    (
        "/finance",
        {"department": "Finance", "org": {"level": 3}},
        403,
        "insufficient_role",
        [INSUFFICIENT],
    ),
    ("/groups", {"groups": ["g-2"]}, 200, "", []),
    ("/groups", {"groups": ["g-20"]}, 403, "insufficient_role", [INSUFFICIENT]),
    ("/groups", {"hasgroups": True}, 403, "insufficient_role", [INSUFFICIENT, "unknown"]),
    (
        "/groups",
        {"_claim_names": {"groups": "s"}},
        403,
        "insufficient_role",
        [INSUFFICIENT, "unknown"],
    ),
    ("/gold", {"acr": "platinum"}, 200, "", []),
    ("/gold", {"acr": "silver"}, 401, "step_up_required", [STEP_UP, 'acr_values="gold platinum"']),
    ("/fresh", {"age": 1}, 200, "", []),
    ("/fresh", {"age": 901}, 401, "step_up_required", [STEP_UP, 'max_age="900"']),
    ("/fresh", {}, 401, "step_up_required", [STEP_UP, 'max_age="900"']),
    (
        "/both",
        {},
        403,
        "insufficient_scope",
        [INSUFFICIENT, 'scope="pay"', 'acr_values="gold"', 'max_age="60"'],
    ),
    (
        "/both",
        {"scope": "pay"},
        401,
        "step_up_required",
        [STEP_UP, 'acr_values="gold"', 'max_age="60"'],
    ),
    ("/both", {"scope": "pay", "acr": "gold"} | {"age": 1}, 200, "", []),
    ("/clients", {}, 403, "insufficient_role", [INSUFFICIENT]),
    ("/clients", {"azp": "batch"}, 200, "", []),
]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.site.down()


@pytest.fixture(scope="module")
def pod(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    configuration = {"issuers": provider.issuers(), "routes": ROUTES}
    with Pod(tmp_path_factory.mktemp("pod"), configuration) as made:
        until(lambda: made.ask("/fresh", provider.token(**ago(0))).status == 200, "the keys")
        yield made


@pytest.mark.must(16, 18)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]} {case[2]}")
def test_a_requirement_holds_or_the_challenge_says_what_is_missing(
    pod: Pod, provider: Provider, case: Any
) -> None:
    path, claims, status, reason, parts = case
    # the sign-in's time is of this moment: the table was made when the tests were collected
    claims = {k: v for k, v in claims.items() if k != "age"} | (
        ago(claims["age"]) if "age" in claims else {}
    )
    answer = pod.ask(path, provider.token(**claims))
    assert (answer.status, answer.reason) == (status, reason), answer.body
    challenge = answer.headers.get("www-authenticate", "")
    assert [part for part in parts if part not in challenge] == []
    assert bool(parts) is bool(challenge)


@pytest.mark.must(15)
def test_the_age_of_a_sign_in_is_asked_again_for_a_token_that_is_known(
    pod: Pod, provider: Provider
) -> None:
    token = provider.token(**ago(898))
    assert pod.ask("/fresh", token).status == 200
    until(lambda: pod.ask("/fresh", token).status == 401, "the sign-in is too long ago")


HOSTS = [
    ("shop.example:8443", 200),
    ("SHOP.Example", 200),
    ("shop.example.", 200),
    ("[2001:DB8:0::1]:80", 200),
    ("shop.example.evil.test", 403),
    ("xshop.example", 403),
    ("[2001:db8::2]", 403),
    ("shop.example,shop.example", 400),
    ("shop.example/host", 400),
]


@pytest.mark.must(16, 21)
@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_a_route_for_hosts_is_for_those_alone(pod: Pod, host: str, status: int) -> None:
    assert pod.ask("/host", host=host).status == status


METHODS = [
    ("OPTIONS", "/plain", 200),
    ("get", "/plain", 400),  # Envoy reads no such method, over HTTP/1.1
    ("BREW", "/plain", 400),
    ("PURGE", "/plain", 403),
    ("TRACE", "/plain", 403),
    ("TRACE", "/traced", 501),  # the application's own answer: it was let through
    ("GET", "/traced", 403),
]


@pytest.mark.must(21)
@pytest.mark.parametrize(("method", "path", "status"), METHODS)
def test_a_method_that_no_route_names_is_denied(
    pod: Pod, method: str, path: str, status: int
) -> None:
    assert pod.ask(path, method=method).status == status
