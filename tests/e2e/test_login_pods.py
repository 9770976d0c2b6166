"""Do the pods of one gateway share sessions, and do those end everywhere, or survive?"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.e2e.contract_inbound_tools import until
from tests.e2e.contract_revocation_tools import Redis, needs_redis
from tests.e2e.login_world import (
    FETCH,
    LOGOUT,
    SESSION,
    SIGNED_OUT,
    Browser,
    Gateway,
    Provider,
    configuration,
)

pytestmark = [pytest.mark.e2e, needs_redis]

HOST = "gateway.localhost"
FORM = {"content_type": "application/x-www-form-urlencoded"}


class Pods:
    """Two pods of one gateway; a browser may meet either."""

    def __init__(self, provider: Provider, redis: Redis, folder: Path) -> None:
        self.provider, self.redis, self.folder = provider, redis, folder
        url = f"redis://127.0.0.1:{redis.port}"
        self.whole = configuration(provider, folder, revocation={"redis": {"url": url}})
        self.whole["sessions"] |= {"redis": {"url": url}}
        self.one, self.other = (Gateway(folder / name, self.whole) for name in ("one", "other"))

    def browser(self, pod: Gateway | None = None) -> Browser:
        return Browser((pod or self.one).port, HOST)

    def at(self, browser: Browser, pod: Gateway) -> Browser:
        """The same cookies, sent to another pod."""
        moved = Browser(pod.port, HOST)
        moved.cookies = dict(browser.cookies)
        return moved


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    folder, provider = tmp_path_factory.mktemp("pods"), Provider()
    redis = Redis(folder / "redis")
    made = Pods(provider, redis, folder)
    with made.one, made.other:
        until(lambda: made.one.ready() and made.other.ready(), "the keys")
        yield made
    redis.kill()
    provider.stop()


@pytest.fixture
def provider(pods: Pods) -> Provider:
    pods.provider.life, pods.provider.slow, pods.provider.down = 3600, 0.0, False
    return pods.provider


def status(browser: Browser) -> int:
    return browser.ask("/app/x", keep=False, **FETCH).status


def test_tabs_at_two_pods_cause_one_refresh(pods: Pods, provider: Provider) -> None:
    provider.life = 3
    browser = pods.browser()
    browser.sign_in(provider)
    ends = time.time() + 3.1
    before, provider.slow = provider.refreshes(), 0.5
    until(lambda: time.time() > ends, "the end of the token")
    provider.life = 3600
    tabs = [pods.at(browser, pod) for pod in (pods.one, pods.other) for _ in range(10)]
    with ThreadPoolExecutor(len(tabs)) as pool:
        assert set(pool.map(status, tabs)) == {200}
    assert provider.refreshes() - before == 1
    assert provider.refusals == []
    stored = pods.redis.ask("GET", pods.redis.ask("KEYS", "attache:session:*").splitlines()[0])
    assert "eyJ" not in stored  # sealed there too


@pytest.mark.must(37)
def test_a_restart_ends_no_session(pods: Pods, provider: Provider) -> None:
    browser = pods.browser()
    browser.sign_in(provider)
    process = pods.one.processes[0]
    process.send_signal(signal.SIGKILL)
    process.wait()
    pods.one._run("attache", "run", "--config", str(pods.one.config), "--log-level", "debug")
    until(pods.one.ready, "the agent")
    assert status(browser) == 200


def test_who_signed_out_at_one_pod_is_out_at_the_other(pods: Pods, provider: Provider) -> None:
    browser = pods.browser()
    browser.sign_in(provider)
    copy = pods.at(browser, pods.other)
    assert status(copy) == 200
    assert browser.ask(LOGOUT, sec_fetch_site="same-origin").status == 302
    assert status(pods.at(copy, pods.one)) == 401
    until(lambda: status(copy) == 401, "the list at the other pod")


def test_a_logout_token_ends_the_session_that_it_names_and_no_other(
    pods: Pods, provider: Provider
) -> None:
    provider.person = "bob"
    bob = pods.browser(pods.other)
    bob.sign_in(provider)
    provider.person = "ann"
    ann = pods.browser()
    ann.sign_in(provider)

    def tell(token: str) -> int:
        return ann.ask(SIGNED_OUT, "POST", urlencode({"logout_token": token}), **FORM).status

    claims = [
        {"iss": "https://evil.test"}, {"aud": "another"}, {"exp": 1}, {"events": None},
        {"events": {}}, {"events": {"http://schemas.openid.net/event/backchannel-logout": True}},
        {"nonce": "n"}, {"jti": None}, {"iat": None}, {"iat": int(time.time()) - 3600},
        {"sub": None, "sid": None}, {"sid": 7}, {"header": {"typ": "at+jwt"}},
        {"header": {"alg": "none"}}, {"header": {"kid": "k2"}}, {"exp": None},
    ]  # fmt: skip
    for wrong in claims:
        assert tell(provider.logout_token(**wrong)) == 400, wrong
    assert tell(provider.statement(nonce="n")) == 400  # an ID token is none
    assert ann.ask(SIGNED_OUT, "POST", "", **FORM).status == 400
    assert ann.ask(SIGNED_OUT, "GET").status == 403
    assert ann.ask(SIGNED_OUT, "POST", "logout_token=" + "x" * 40_000, **FORM).status == 413
    assert (status(ann), status(bob)) == (200, 200)
    right = provider.logout_token()
    answer = ann.ask(SIGNED_OUT, "POST", urlencode({"logout_token": right}), **FORM)
    assert (answer.status, answer.headers["cache-control"], answer.body) == (200, "no-store", b"")
    assert tell(right) == 400  # once
    until(lambda: status(ann) == 401, "the end of her session")
    until(lambda: status(pods.at(ann, pods.other)) == 401, "its end at the other pod")
    assert status(bob) == 200
    assert tell(provider.logout_token(sub="bob", sid=None)) == 200
    second = time.time() + 1  # `iat` knows no fractions: a token of the same second is out too
    until(lambda: status(bob) == 401, "the end of all of his")
    until(lambda: time.time() > second, "the next second")
    provider.person = "bob"
    bob.sign_in(provider)  # he may come back
    assert status(bob) == 200
    provider.person = "ann"
    assert ann.finish(provider.answer_to(ann.begin("/app/"))).status == 403  # that very session


def test_without_redis_each_pod_goes_on_by_itself(pods: Pods, provider: Provider) -> None:
    provider.life, provider.person = 3, "cid"
    browser = pods.browser()
    browser.sign_in(provider)
    ends = time.time() + 3.1
    pods.redis.kill()
    until(lambda: time.time() > ends, "the end of the token")
    provider.life = 3600
    assert browser.page("/app/x").status == 200
    assert "sessions.redis" in pods.one.page("/readyz")[1]  # type: ignore[index]
    pods.redis.up()


def test_lifetimes_and_keys_change_while_sessions_last(pods: Pods, provider: Provider) -> None:
    browser = pods.browser(pods.other)
    browser.sign_in(provider)
    keys = pods.folder / "session-keys"
    keys.write_text("n" * 40 + "\n" + keys.read_text())
    fresh = pods.browser(pods.other)

    def sealed_anew() -> bool:
        fresh.cookies.clear()
        fresh.begin("/app/")
        (flow,) = fresh.cookies.values()
        (old,) = (value for name, value in browser.cookies.items() if name == SESSION)
        return flow[:5] != old.partition(".")[2][:5]

    until(sealed_anew, "the new key")
    assert status(browser) == 200  # the old one still opens
    whole = pods.whole | {"sessions": pods.whole["sessions"] | {"idle": "1s"}}
    pods.other.write(whole)
    until(lambda: status(browser) == 401, "idleness")
    answer = browser.ask("/app/x", **FETCH)
    assert (answer.reason, browser.cookies) == ("expired_token", {})
