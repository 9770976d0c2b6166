"""Does a real browser sign in at the gateway, at Entra's like and at a certified provider?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from demo.idp import IdentityProvider, loading
from demo.idp.settings import Settings
from demo.people import CONTOSO, FABRIKAM
from demo.people import TASK_API as CLIENT
from tests.e2e.browser_world import Evil, Pages, chromium
from tests.e2e.contract_inbound_tools import Pod, free_ports, until
from tests.e2e.peers.oidc_provider import SECRET, OidcProvider, client

pytestmark = pytest.mark.e2e

DIRECTORY = Path(__file__).parents[2] / "demo" / "directory.yaml"
LIFE = 6
ROUTES = [
    {"path": "/", "anonymous": True},
    {"path": "/app/strong", "require": {"authContext": "c1"}},
    {"path": "/app/**"},
]


@dataclass
class Site:
    """A gateway, how one signs in at its provider, and how often that renewed a session."""

    pod: Pod
    url: str
    cookie: str
    sign_in: Callable[[Any, str], None]
    refreshes: Callable[[], int]
    leave: Callable[[Any], None]

    def open(self, context: Any, path: str, who: str) -> Any:
        page = context.new_page()
        page.goto(self.url + path)
        self.sign_in(page, who)
        page.wait_for_url(self.url + path)
        return page

    def cookies(self, context: Any) -> dict[str, str]:
        return {each["name"]: each["value"] for each in context.cookies(self.url)}


@pytest.fixture(scope="module")
def profiles() -> Iterator[Callable[[], Any]]:
    with chromium() as made:
        yield made


@pytest.fixture
def context(profiles: Callable[[], Any]) -> Iterator[Any]:
    made = profiles()
    made.set_default_timeout(20_000)
    yield made
    made.close()


def configuration(folder: Path, port: int, **different: Any) -> dict[str, Any]:
    (folder / "keys").write_text("k" * 40)
    return {
        "listeners": {"edge": True, "port": port},
        "routes": ROUTES,
        "sessions": {"keyFile": str(folder / "keys")},
        "revocation": {"file": str(folder / "revoked.json")},
    } | different


def opened(folder: Path, whole: dict[str, Any], port: int) -> Pod:
    """A pod on a port that its provider knows already."""
    pod = Pod(folder, whole, app=Pages())
    pod.port = port
    return pod


@pytest.fixture(scope="module")
def entra(profiles: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, (port,) = tmp_path_factory.mktemp("entra"), free_ports(1)
    url = f"http://localhost:{port}"
    directory = loading.load(DIRECTORY.read_text(), "directory.yaml")
    app = directory.app(CLIENT)
    assert app
    uris = (f"{url}/.attache/callback", f"{url}/")
    directory = directory.with_app(replace(app, redirect_uris=uris))
    people = (replace(each, second_factor=each.name == "Ada Admin") for each in directory.users)
    directory = replace(directory, users=tuple(people))
    settings = Settings(access_token_lifetime=LIFE, refresh_reuse="revokes")
    with IdentityProvider(directory, settings=settings) as idp:
        where = {"authority": idp.base_url, "caFile": str(idp.ca_file)}
        (folder / "secret").write_text("demo-secret-of-task-api")
        us = {"tenant": CONTOSO, "clientId": CLIENT, "secretFile": str(folder / "secret")}
        accepted = {"tenants": [CONTOSO, FABRIKAM], "audiences": [CLIENT]}
        login = {"identity": "gateway", "scopes": ["api://task-api/access_as_user"]}
        (folder / "revoked.json").write_text("[]")
        whole = configuration(folder, port)
        whole |= {"issuers": [{"name": "entra", "entra": where | accepted}]}
        whole |= {"identities": [{"name": "gateway", "entra": where | us}]}
        whole["listeners"] |= {"login": login}

        def sign_in(page: Any, who: str) -> None:
            page.fill("input[name=username]", who)
            page.fill("input[name=password]", f"demo-password-of-{who.partition('@')[0]}")
            page.click("button")

        with opened(folder / "pod", whole, port) as pod:
            until(pod.ready, "the keys")
            yield Site(
                pod,
                url,
                "__Host-attache-gateway",
                sign_in,
                lambda: idp.counters.total("token", grant="refresh_token"),
                lambda page: None,
            )


@pytest.fixture
def ada(entra: Site, context: Any) -> Any:
    return entra.open(context, "/app/deep?a=1", "ada@contoso.example")


def test_a_person_signs_in_and_lands_where_they_wanted(entra: Site, ada: Any, context: Any) -> None:
    assert ada.title() == "board"
    assert ada.url == f"{entra.url}/app/deep?a=1"
    (cookie,) = context.cookies(entra.url)
    assert (cookie["name"], cookie["sameSite"]) == (entra.cookie, "Lax")
    assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/")
    assert ada.evaluate("document.cookie") == ""
    assert ada.evaluate("ask('GET')") == 200
    assert ada.evaluate("ask('POST')") == 200  # its own page: the browser itself says so
    seen = entra.pod.app.seen[-1]  # type: ignore[attr-defined]
    assert (seen["x-auth-name"], "cookie" in {name.lower() for name in seen}) == (
        "Ada Admin",
        False,
    )


@pytest.mark.must(9)
def test_people_of_listed_tenants_sign_in_and_others_do_not(entra: Site, context: Any) -> None:
    assert entra.open(context, "/app/x", "zoe@fabrikam.example").title() == "board"
    context.clear_cookies()
    page = context.new_page()
    page.goto(f"{entra.url}/app/x")
    entra.sign_in(page, "nick@northwind.example")
    page.wait_for_url("**/.attache/callback**")
    assert "tenant" in page.inner_text("body")
    assert entra.cookies(context) == {}


def test_a_stronger_sign_in_is_asked_for_by_claims_challenge(
    entra: Site, ada: Any, context: Any
) -> None:
    asked: list[str] = []
    ada.on("request", lambda request: asked.append(request.url))
    ada.goto(f"{entra.url}/app/strong")
    assert "acrs" in next(url for url in asked if "authorize" in url)
    entra.sign_in(ada, "ada@contoso.example")
    ada.wait_for_url(f"{entra.url}/app/strong")
    assert ada.title() == "board"
    context.clear_cookies()
    ed = entra.open(context, "/app/x", "ed@contoso.example")  # who has no second factor
    ed.goto(f"{entra.url}/app/strong")
    entra.sign_in(ed, "ed@contoso.example")
    ed.wait_for_url("**/.attache/callback**")
    assert "did not sign you in" in ed.inner_text("body")


def test_a_fetch_by_nobody_reads_401_and_goes_nowhere(entra: Site, context: Any) -> None:
    page = context.new_page()
    page.goto(f"{entra.url}/")
    script = (
        "fetch('/app/api').then(a => [a.status, a.redirected, a.headers.get('www-authenticate')])"
    )
    assert page.evaluate(script) == [401, False, 'Bearer realm=""']


def test_many_tabs_at_expiry_are_one_renewal(entra: Site, ada: Any, context: Any) -> None:
    tabs = [ada, *(context.new_page() for _ in range(4))]
    for tab in tabs[1:]:
        tab.goto(f"{entra.url}/app/tab")
    ends = time.time() + LIFE
    until(lambda: time.time() > ends, "the end of the token")
    before = entra.refreshes()
    for tab in tabs:
        tab.evaluate("window.asked = Promise.all(Array.from({length: 8}, () => ask('GET')))")
    answers = [status for tab in tabs for status in tab.evaluate("window.asked")]
    assert answers == [200] * 40
    assert entra.refreshes() - before == 1
    ada.reload()
    assert (ada.title(), entra.refreshes() - before) == ("board", 1)


def test_a_changed_cookie_means_signing_in_again(entra: Site, ada: Any, context: Any) -> None:
    (cookie,) = context.cookies(entra.url)
    broken = cookie["value"][:-8] + "AAAAAAAA"
    context.add_cookies([{**cookie, "value": broken}])
    assert ada.evaluate("ask('GET')") == 401
    ada.goto(f"{entra.url}/app/x")
    assert "Sign in" in ada.title()


def test_another_browser_cannot_use_an_answer(entra: Site, context: Any, profiles: Any) -> None:
    page, answers = context.new_page(), list[str]()
    page.on("request", lambda asked: "callback?" in asked.url and answers.append(asked.url))
    page.goto(f"{entra.url}/app/x")
    entra.sign_in(page, "ada@contoso.example")
    page.wait_for_url(f"{entra.url}/app/x")
    victim = profiles()
    other = victim.new_page()
    assert other.goto(answers[0]).status == 400  # login CSRF: somebody else's account
    assert entra.cookies(victim) == {}
    assert page.goto(answers[0]).status == 400  # replayed
    assert page.goto(f"{entra.url}/app/x").status == 200
    victim.close()


def test_another_site_can_do_nothing_with_the_session(entra: Site, ada: Any, context: Any) -> None:
    evil, app = Evil(entra.url), entra.pod.app
    before = len(app.hits)
    page = context.new_page()
    answers: dict[str, int] = {}
    page.on("response", lambda a: answers.__setitem__(a.url.removeprefix(entra.url), a.status))
    page.goto(evil.url)
    wanted = {"/app/framed", "/app/form", "/app/fetched", "/.attache/logout"}
    until(lambda: wanted <= set(answers) or page.wait_for_timeout(50), "every try")
    assert {path: answers[path] for path in wanted} == {
        "/app/framed": 401,
        "/app/form": 401,
        "/app/fetched": 401,
        "/.attache/logout": 403,
    }
    assert len(app.hits) == before
    assert ada.evaluate("ask('GET')") == 200  # and she is still signed in
    evil.stop()


def test_nothing_leads_elsewhere(entra: Site, context: Any) -> None:
    page = context.new_page()
    for to in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        assert page.goto(f"{entra.url}/.attache/login?to={quote(to)}").status == 400
        assert page.url.startswith(entra.url)


def test_signing_out_ends_it_here_and_there(entra: Site, ada: Any, context: Any) -> None:
    kept = context.cookies(entra.url)
    ada.click("text=out")
    ada.wait_for_url(f"{entra.url}/")
    assert entra.cookies(context) == {}
    context.add_cookies(kept)
    assert ada.evaluate("ask('GET')") == 401
    ada.goto(f"{entra.url}/app/x")
    assert "Sign in" in ada.title()


@pytest.fixture(scope="module")
def certified(profiles: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, (port,) = tmp_path_factory.mktemp("certified"), free_ports(1)
    url = f"http://localhost:{port}"
    us = client(
        "gateway",
        "client_secret_basic",
        "authorization_code",
        "refresh_token",
        redirect_uris=[f"{url}/.attache/callback"],
        post_logout_redirect_uris=[f"{url}/"],
        backchannel_logout_uri=f"{url}/.attache/backchannel-logout",
        backchannel_logout_session_required=True,
        application_type="native",  # whose redirect URIs may be plain http on loopback
    )
    provider = OidcProvider(folder / "provider", [us], ttl={"AccessToken": LIFE})
    (folder / "secret").write_text(SECRET)
    (folder / "revoked.json").write_text("[]")
    where = {"issuer": provider.issuer, "caFile": str(provider.ca_file)}
    api = "https://api.example/us"
    whole = configuration(folder, port)
    whole |= {"issuers": [{"name": "certified", "oidc": where | {"audiences": [api]}}]}
    oauth = where | {"clientId": "gateway", "secretFile": str(folder / "secret")}
    whole |= {"identities": [{"name": "gateway", "oauth": oauth}]}
    login = {"identity": "gateway", "scopes": ["tasks.read"], "resource": api}
    whole["listeners"] |= {"login": login | {"parameters": {"prompt": "consent"}}}

    def sign_in(page: Any, who: str) -> None:
        page.fill("input[name=login]", who)
        page.fill("input[name=password]", "any")
        page.click("button")
        page.click("button")  # consent

    try:
        with opened(folder / "pod", whole, port) as pod:
            until(pod.ready, "the keys")
            yield Site(
                pod,
                url,
                "__Host-attache-gateway",
                sign_in,
                lambda: provider.counts().get("/token", 0),
                lambda page: page.click("button[name=logout]"),
            )
    finally:
        provider.stop()


def test_a_certified_provider_signs_people_in_renews_and_ends(
    certified: Site, context: Any
) -> None:
    page = certified.open(context, "/app/deep", "ann")
    assert page.title() == "board"
    other = context.new_page()
    other.goto(f"{certified.url}/app/y")
    ends = time.time() + LIFE
    until(lambda: time.time() > ends, "the end of the token")
    before = certified.refreshes()
    for tab in (page, other):
        tab.evaluate("window.asked = Promise.all(Array.from({length: 10}, () => ask('GET')))")
    assert [s for tab in (page, other) for s in tab.evaluate("window.asked")] == [200] * 20
    assert certified.refreshes() - before == 1
    kept = context.cookies(certified.url)
    page.click("text=out")
    certified.leave(page)
    page.wait_for_url(f"{certified.url}/")
    assert certified.cookies(context) == {}
    context.add_cookies(kept)
    assert page.evaluate("ask('GET')") == 401
    # The provider told us as well, by back-channel: the list names its session.
    file = certified.pod.folder.parent / "revoked.json"
    until(lambda: '"signed out there"' in file.read_text(), "the logout token's entry")
