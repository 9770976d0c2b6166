"""Can a browser's script call through a real Envoy, and one from elsewhere not?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.contract_inbound_tools import Answer, Pod, until
from tests.e2e.doors import Provider

pytestmark = [pytest.mark.e2e, pytest.mark.must(23)]

UI, PARTNER, EVIL = "https://ui.example", "https://partner.example", "https://ui.example.evil.test"
ROUTES = [
    {"path": "/partner", "cors": {"allowOrigins": [PARTNER], "allowCredentials": True}},
    {"path": "/private/**", "cors": {"allowOrigins": []}},
    {"path": "/read", "methods": ["GET"]},
    {"path": "/open", "anonymous": True},
    {"path": "/api/**", "require": {"scopes": ["read"]}},
]
ORIGIN = "access-control-allow-origin"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.site.down()


@pytest.fixture(scope="module")
def pod(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    cors = {"allowOrigins": [UI], "exposeHeaders": ["etag"], "maxAge": "1h"}
    configuration = {"issuers": provider.issuers(), "routes": ROUTES, "inbound": {"cors": cors}}
    with Pod(tmp_path_factory.mktemp("pod"), configuration) as made:
        until(lambda: made.ask("/api/x", provider.token()).status == 200, "the keys")
        yield made


def preflight(pod: Pod, path: str, origin: str, method: str = "POST") -> Answer:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return pod.ask(path, method="OPTIONS", headers=headers)


def test_a_preflight_says_what_may_be_asked_and_the_application_never_sees_it(pod: Pod) -> None:
    before = len(pod.app.hits)
    answer = preflight(pod, "/api/x", UI)
    assert (answer.status, answer.body) == (200, b"")
    assert {name: value for name, value in answer.headers.items() if "control" in name} == {
        ORIGIN: UI,
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": "authorization, content-type",
        "access-control-max-age": "3600",
    }
    assert answer.headers["vary"] == "origin"
    assert len(pod.app.hits) == before


REFUSED = [
    ("/api/x", EVIL, "POST"),
    ("/api/x", "null", "POST"),
    ("/api/x", UI, "BREW"),
    ("/api/x", UI, "post"),
    ("/api/x", PARTNER, "POST"),
    ("/partner", UI, "POST"),
    ("/private/x", UI, "GET"),
    ("/open", EVIL, "GET"),
    ("/read", UI, "POST"),
    ("/nowhere", UI, "GET"),
    ("/api/x;y", UI, "GET"),
    ("/API/x", UI, "GET"),
]


@pytest.mark.parametrize(("path", "origin", "method"), REFUSED)
def test_a_preflight_that_no_route_grants_is_denied(
    pod: Pod, path: str, origin: str, method: str
) -> None:
    before = len(pod.app.hits)
    answer = preflight(pod, path, origin, method)
    assert answer.status in (400, 401, 403)
    assert "access-control-allow-methods" not in answer.headers
    assert len(pod.app.hits) == before


@pytest.mark.parametrize(
    ("path", "authorized", "status"),
    [("/api/x", True, 200), ("/api/x", False, 401), ("/nowhere", True, 403), ("/a;b", True, 400)],
)
def test_a_script_can_read_answers_and_the_challenge_of_a_denial(
    pod: Pod, provider: Provider, path: str, authorized: bool, status: int
) -> None:
    token = provider.token() if authorized else None
    answer = pod.ask(path, token, headers={"Origin": UI})
    assert (answer.status, answer.headers[ORIGIN], answer.headers["vary"]) == (status, UI, "origin")
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"www-authenticate", "x-correlation-id", "retry-after", "etag"} == set(exposed)
    assert "access-control-allow-credentials" not in answer.headers
    stranger = pod.ask(path, token, headers={"Origin": EVIL})
    assert (stranger.status, stranger.headers["vary"]) == (status, "origin")
    assert not [name for name in stranger.headers if name.startswith("access-control")]


def test_a_route_has_its_own_origins(pod: Pod, provider: Provider) -> None:
    granted = preflight(pod, "/partner", PARTNER, "GET")
    assert (granted.status, granted.headers[ORIGIN]) == (200, PARTNER)
    assert granted.headers["access-control-allow-credentials"] == "true"
    answer = pod.ask("/partner", provider.token(), headers={"Origin": PARTNER})
    assert (answer.status, answer.headers[ORIGIN]) == (200, PARTNER)
    for path in ("/partner", "/private/x"):
        assert ORIGIN not in pod.ask(path, provider.token(), headers={"Origin": UI}).headers


def test_our_headers_join_or_replace_those_of_an_application_that_writes_its_own(
    pod: Pod, provider: Provider
) -> None:
    pod.app.extra = [("vary", "accept"), (ORIGIN, "*"), ("x-correlation-id", "forged")]
    try:
        answer = pod.ask("/api/x", provider.token(), headers={"Origin": UI})
    finally:
        pod.app.extra = []
    lists = [value for name, value in answer.pairs if name == "vary"]
    assert {word.strip() for value in lists for word in value.split(",")} == {"accept", "origin"}
    assert [value for name, value in answer.pairs if name == ORIGIN] == [UI]
    assert "forged" not in [value for _, value in answer.pairs]


def test_an_ordinary_options_request_reaches_the_application(pod: Pod, provider: Provider) -> None:
    answer = pod.ask("/api/x", provider.token(), method="OPTIONS", headers={"Origin": UI})
    assert (answer.status, answer.json["method"]) == (200, "OPTIONS")
