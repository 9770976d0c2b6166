"""Do people sign in at the gateway, through a real Envoy? With cookies and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.e2e.contract_inbound_tools import until
from tests.e2e.login_world import (
    CALLBACK,
    FETCH,
    LOGOUT,
    SESSION,
    Browser,
    Gateway,
    Provider,
    configuration,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def shared() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def provider(shared: Provider) -> Provider:
    shared.life, shared.slow, shared.down, shared.person = 3600, 0.0, False, "ann"
    shared.id_claims, shared.access_claims = {}, {}
    return shared


@pytest.fixture(scope="module")
def gateway(shared: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with Gateway(folder / "pod", configuration(shared, folder)) as made:
        until(made.ready, "the keys")
        yield made


@pytest.fixture
def browser(gateway: Gateway) -> Browser:
    return gateway.browser()


def test_a_person_signs_in_and_comes_back_to_the_page_they_wanted(browser, provider):
    answer = browser.sign_in(provider, "/app/deep/link?a=1&b=%2F")
    assert (answer.status, answer.json["path"]) == (200, "/app/deep/link?a=1&b=%2F")
    assert answer.seen("x-auth-subject") == ["ann"]
    asked = provider.authorizations or browser.seen
    assert asked
    for written in browser.seen:
        assert written.startswith("__Host-attache-")
        assert "; Path=/; Secure; HttpOnly; SameSite=Lax" in written
    assert list(browser.cookies) == [SESSION]


def test_the_request_to_the_provider_has_state_nonce_and_a_challenge(browser, gateway):
    one, other = browser.begin("/app/"), gateway.browser().begin("/app/")
    assert one["redirect_uri"] == f"http://127.0.0.1:{gateway.port}{CALLBACK}"
    assert one["scope"] == "openid profile offline_access access"
    assert (one["response_type"], one["code_challenge_method"]) == ("code", "S256")
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name]) >= 43
        assert one[name] != other[name]


def test_a_fetch_and_a_frame_read_401_and_are_never_redirected(browser):
    frame = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe", "accept": "text/html"}
    asked = [FETCH, {"accept": "application/json"}, {"x-requested-with": "XMLHttpRequest"}, frame]
    for headers in asked:
        answer = browser.ask("/app/x", **headers)
        assert (answer.status, answer.reason) == (401, "missing_token")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "location" not in answer.headers
    assert browser.ask("/app/x", "POST", accept="text/html").status == 401


def test_the_session_goes_no_further_than_the_gateway(browser, provider, gateway):
    browser.sign_in(provider)
    browser.cookies |= {"theme": "dark", "__Host-attache-other": "x"}
    for path in ("/app/x", "/open"):
        assert browser.page(path).seen("cookie") == ["theme=dark"]
    twice = [("cookie", "theme=dark"), ("cookie", f"{SESSION}={browser.cookies[SESSION]}")]
    answer = gateway.ask("/app/x", headers=twice)
    assert (answer.status, answer.seen("cookie")) == (200, ["theme=dark"])
    del browser.cookies["theme"]
    assert browser.page("/app/x").seen("cookie") == []
    token = browser.page("/app/x").seen("authorization")[0]  # inbound.forward: original
    provider.down = True
    assert browser.ask("/api/x", authorization=token, cookie="").status == 200
    assert browser.ask("/app/x", authorization=token, cookie="").status == 200
    assert browser.ask("/app/x", authorization="Bearer a.b.c", accept="text/html").status == 401
    assert browser.ask("/api/x", **FETCH).status == 401  # no login there


def test_a_changed_or_foreign_cookie_opens_nothing(browser, provider, gateway):
    browser.sign_in(provider)
    right = browser.cookies[SESSION]
    half = len(right) // 2
    flipped = right[:half] + ("A" if right[half] != "A" else "B") + right[half + 1 :]
    flow = gateway.browser()
    flow.begin("/app/")
    (moved,) = flow.cookies.values()
    for bad in (flipped, right[:-4], f"1.{moved}", "2" + right[1:], "1.", "x", right + "="):
        stranger = gateway.browser()
        stranger.cookies = {SESSION: bad}
        answer = stranger.ask("/app/x", keep=False, **FETCH)
        assert (answer.status, answer.reason) == (401, "invalid_token"), bad[:20]
        assert stranger.page("/app/x").status == 302
        assert SESSION not in stranger.cookies  # it is taken away
    assert browser.page("/app/x").status == 200


def test_a_code_or_a_state_serves_once_and_only_in_the_browser_that_began(
    browser, provider, gateway
):
    asked = browser.begin("/app/")
    location = provider.answer_to(asked)
    victim = gateway.browser()
    assert victim.finish(location).status == 400  # login CSRF: nobody's cookie, nobody's session
    victim.begin("/app/")
    assert victim.finish(location).status == 400  # nor with a flow of one's own
    assert SESSION not in victim.cookies
    before = dict(browser.cookies)
    assert browser.finish(location).status == 302
    grants = len(provider.grants)
    assert browser.finish(location).status == 400  # the flow's cookie is gone
    browser.cookies = before
    assert browser.finish(location).status == 400  # and a copy of it is remembered
    assert len(provider.grants) == grants  # the provider was not even asked


def test_an_answer_that_is_not_the_providers_own_is_refused(browser, provider):
    def back(**different: str) -> int:
        return browser.finish(provider.answer_to(browser.begin("/app/"), **different)).status

    assert back(iss="http://127.0.0.1:1") == 400
    assert back(state="0123456789abcdef.forged") == 400
    assert back(code="forged") == 400
    assert back(error="access_denied") == 403
    bad = [{"nonce": "x"}, {"nonce": None}, {"aud": "another"}, {"azp": "another"}]
    bad += [{"aud": ["gateway", "another"]}, {"at_hash": "x"}, {"exp": 1}, {"iss": "https://evil"}]
    bad += [{"header": {"alg": "none"}}, {"header": {"kid": "k2"}}, {"events": {}}]
    for claims in bad:
        provider.id_claims = claims
        assert back() in (400, 403), claims
    provider.id_claims = {}
    provider.access_claims = {"aud": "another"}
    assert back() == 403
    assert SESSION not in browser.cookies
    provider.access_claims = {}
    assert back() == 302


def test_nobody_is_sent_elsewhere(browser, provider, gateway):
    for path in ("//evil.test/x", "/\\evil.test", "/app/%2e%2e//evil", "/app/;x"):
        answer = browser.page(path)
        assert (answer.status in (400, 403), "location" in answer.headers) == (True, False), path
    for to in ("https://evil.test/", "//evil.test", "/\\evil.test", "/open", "/nowhere", "app"):
        answer = browser.page(f"/.attache/login?to={quote(to)}")
        assert (answer.status, "location" in answer.headers) == (400, False), to
    assert browser.page("/.attache/login?to=/app/x&to=//evil").status == 400
    asked = browser.begin(f"/.attache/login?to={quote('/app/x?y=1')}")
    back = browser.finish(provider.answer_to(asked))
    assert back.headers["location"] == "/app/x?y=1"
    asked = gateway.browser().begin("/app/" + "x" * 3000)
    assert asked["state"]


UNSAFE = [
    ({}, 403),
    ({"origin": "https://evil.test"}, 403),
    ({"origin": "null"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"sec-fetch-site": "none"}, 403),
    ({"sec-fetch-site": "same-origin", "origin": "https://evil.test"}, 403),
    ({"sec-fetch-site": "cross-site", "origin": "SELF"}, 403),
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"origin": "SELF"}, 200),
    ({"sec-fetch-site": "same-origin", "origin": "SELF"}, 200),
]


def test_what_changes_something_needs_a_proof_that_our_own_page_sent_it(browser, provider):
    browser.sign_in(provider)
    for headers, status in UNSAFE:
        headers = {n: f"http://{browser.host}" if v == "SELF" else v for n, v in headers.items()}
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = browser.ask("/app/x", method, **headers)
            assert answer.status == status, (method, headers)
        assert status == 200 or answer.reason == "cross_site"
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    assert browser.ask("/app/x", origin="https://evil.test", **upgrade).status == 403


@pytest.mark.must(31, 41)
def test_many_tabs_at_expiry_cause_one_refresh(gateway, provider):
    provider.life = 3
    browser = gateway.browser()
    browser.sign_in(provider)
    before, ends = provider.refreshes(), time.time() + 3.1
    provider.slow = 0.5
    until(lambda: time.time() > ends, "the end of the token")
    provider.life = 3600
    with ThreadPoolExecutor(40) as tabs:
        asked = [tabs.submit(browser.ask, "/app/x", keep=False, **FETCH) for _ in range(40)]
        answers = [one.result() for one in asked]
    assert {answer.status for answer in answers} == {200}
    assert provider.refreshes() - before == 1
    late = browser.page("/app/x")  # still with the cookie from before it
    assert (late.status, provider.refreshes() - before) == (200, 1)
    old = dict(browser.cookies)
    assert browser.page("/app/x").status == 200
    assert browser.cookies == old
    assert provider.refusals.count("refresh token") == 0


def test_a_session_that_the_provider_will_not_renew_is_over(gateway, provider):
    provider.life = 2
    browser = gateway.browser()
    browser.sign_in(provider)
    ends = time.time() + 2.1
    provider._refresh.clear()
    until(lambda: time.time() > ends, "the end of the token")
    provider.life = 3600
    before = provider.refreshes()
    answer = browser.ask("/app/x", keep=False, **FETCH)
    assert (answer.status, answer.reason) == (401, "interaction_required")
    assert browser.page("/app/x").status == 302
    assert SESSION not in browser.cookies
    assert provider.refreshes() - before == 1


def test_a_provider_that_is_away_ends_no_session(gateway, provider):
    provider.life = 2
    browser = gateway.browser()
    browser.sign_in(provider)
    ends = time.time() + 2.1
    provider.down = True
    until(lambda: time.time() > ends, "the end of the token")
    answer = browser.ask("/app/x", **FETCH)
    assert (answer.status, answer.reason) == (503, "issuer_unavailable")
    assert "retry-after" in answer.headers
    provider.down, provider.life = False, 3600
    until(lambda: browser.ask("/app/x", **FETCH).status == 200, "the session to go on")


def test_a_step_up_sends_the_person_back_and_never_round_in_circles(browser, provider):
    browser.sign_in(provider)
    refused = browser.ask("/app/strong", **FETCH)
    assert (refused.status, refused.reason) == (401, "step_up_required")
    asked = browser.begin("/app/strong")
    assert asked["acr_values"] == "gold"
    weak = dict(asked) | {"acr_values": "silver"}
    assert browser.finish(provider.answer_to(weak)).status == 302
    again = browser.page("/app/strong")  # the provider did not do what it was asked for
    assert (again.status, again.reason) == (403, "step_up_required")
    asked = browser.begin("/.attache/login?to=/app/strong&acr_values=gold")
    browser.finish(provider.answer_to(asked))
    assert browser.page("/app/strong").status == 200
    provider.access_claims = {"auth_time": 1}
    asked = browser.begin("/.attache/login?to=/app/recent")
    browser.finish(provider.answer_to(asked))
    assert browser.begin("/app/recent")["max_age"] == "300"
    provider.access_claims = {}
    assert browser.page("/app/roles").status == 403


def test_signing_out_ends_the_session_here_and_there(browser, provider, gateway):
    browser.sign_in(provider)
    stolen = gateway.browser()
    stolen.cookies = dict(browser.cookies)
    assert browser.ask(LOGOUT, sec_fetch_site="cross-site").status == 403
    assert browser.ask(LOGOUT, "POST").status == 403
    answer = browser.ask(LOGOUT, "POST", origin=f"http://{browser.host}")
    assert answer.status == 303
    parts = urlsplit(answer.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{provider.url}/end_session"
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert asked["post_logout_redirect_uri"] == f"http://{browser.host}/"
    assert (asked["client_id"], len(asked["id_token_hint"].split("."))) == ("gateway", 3)
    assert browser.cookies == {}
    answer = stolen.ask("/app/x", **FETCH)
    assert (answer.status, answer.reason) == (401, "expired_token")
    assert browser.page(LOGOUT).headers["location"] == "/"


@pytest.mark.must(45)
def test_no_token_and_no_secret_reaches_a_log(browser, provider, gateway):
    browser.sign_in(provider)
    token = browser.page("/app/x").seen("authorization")[0].removeprefix("Bearer ")
    written = gateway.output()
    for secret in (token, token.rpartition(".")[2], browser.cookies[SESSION][:80]):
        assert secret not in written
    for form in provider.grants:
        for name in ("code", "refresh_token", "code_verifier"):
            assert name not in form or form[name] not in written
    record = gateway.record(route=CALLBACK, decision="allow")
    assert record["path"] == CALLBACK
