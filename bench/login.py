"""What does a session at the edge cost? `python -m bench.login`.

CPU of agent and Envoy for a page's request with the session's cookie, beside the same request with
the same token as a bearer, in interleaved rounds; the size of the cookie, how many round trips a
sign-in takes, and how often 200 tabs renew a session that they find expired at once.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import requests

from bench import provider
from bench.agent import Pair
from bench.load import run
from bench.rows import Stand, request
from demo.idp.directory import Directory, User
from demo.idp.server import IdentityProvider
from demo.journeys.browser import PlainBrowser
from demo.waiting import until

PATH = "/api/page"
LOGIN = {"identity": "api", "scopes": ["api://api/access"]}
TABS = 200
SHORT = 8  # seconds of a token's life while tabs wait for its end


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.login", description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="per round, 16 connections")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stand = Stand(stack, folder)
        (folder / "keys").write_text("k" * 40)
        changes = {
            "routes": [{"path": "/api/**", "login": LOGIN, "require": {"scopes": ["access"]}}],
            "sessions": {"keyFile": str(folder / "keys")},
        }
        pair = stand.a_pair("login", changes=changes)
        home = f"http://127.0.0.1:{pair.inbound}"
        register(stand.idp, home)
        browser = signed_in(stand.idp, home)
        costs(pair, browser, stand.idp, options.rounds, options.requests)
        tabs(stand.idp, home)


def register(idp: IdentityProvider, home: str) -> None:
    """Let the provider send people back to *home*."""
    uris = (f"{home}/.attache/callback",)

    def known(directory: Directory) -> Directory:
        app = directory.app(provider.API)
        assert app
        return directory.with_app(replace(app, redirect_uris=uris))

    idp.world.change(known)


def signed_in(idp: IdentityProvider, home: str) -> PlainBrowser:
    """A browser with a session; says what that took."""
    browser = PlainBrowser(home, str(idp.ca_file))
    before = idp.counters.total()
    user = User(provider.USER, provider.TENANT, "u@bench.example", "bench-password", "U")
    answer, hops = browser.visit(PATH, user)
    if answer.status_code != 200:
        raise SystemExit(f"signing in ended with {answer.status_code}: {answer.text[:300]}")
    size = sum(len(name) + len(value) + 1 for name, value in browser.cookies.items())
    there = idp.counters.total() - before
    print(f"sign-in: {len(hops) + 1} requests of the browser, {there} at the provider")
    print(f"cookie: {size} bytes in {len(browser.cookies)} part(s)")
    return browser


def costs(
    pair: Pair, browser: PlainBrowser, idp: IdentityProvider, rounds: int, count: int
) -> None:
    """CPU µs per request, by cookie and by bearer."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    host = browser.home.removeprefix("http://")
    page = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    ways = {
        "cookie": request(PATH, page | {"cookie": cookie}, host),
        "bearer": request(PATH, {"authorization": f"Bearer {provider.user_token(idp)}"}, host),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for name in ways:
        run(pair.inbound, repeated(ways[name]), 16, 300)
    for _ in range(rounds):
        for name, message in ways.items():
            before = (pair.agent.cpu_seconds(), pair.envoy.cpu_seconds())
            load = run(pair.inbound, repeated(message), 16, count)
            if load.failed:
                raise SystemExit(f"{load.failed} requests by {name} were refused")
            after = (pair.agent.cpu_seconds(), pair.envoy.cpu_seconds())
            found[name].append(
                ((after[0] - before[0]) * 1e6 / count, (after[1] - before[1]) * 1e6 / count)
            )
    for name, pairs in found.items():
        agent, envoy = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name}: agent {agent:.0f} µs, Envoy {envoy:.0f} µs of CPU per request (medians)")


def tabs(idp: IdentityProvider, home: str) -> None:
    """Renewals that 200 tabs cause which find the token expired at once."""
    names = idp.world.names
    short = replace(names.settings, access_token_lifetime=SHORT, refresh_reuse="revokes")
    idp.world.names = replace(names, settings=short)
    browser = signed_in(idp, home)
    ends = time.time() + SHORT
    idp.world.names = names
    until(lambda: time.time() > ends, "the end of the token", bound=2.0 * SHORT)
    before = idp.counters.total("token", grant="refresh_token")
    headers = {"cookie": "; ".join(f"{n}={v}" for n, v in browser.cookies.items())}

    def tab(_: int) -> int:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(home + PATH, headers=headers, timeout=30).status_code

    began = time.monotonic()
    with ThreadPoolExecutor(TABS) as pool:
        answers = list(pool.map(tab, range(TABS)))
    took = time.monotonic() - began
    renewals = idp.counters.total("token", grant="refresh_token") - before
    good = answers.count(200)
    print(f"{TABS} tabs at expiry: {renewals} renewal(s), {good} answered 200, {took:.1f} s in all")


def repeated(message: bytes) -> Iterator[bytes]:
    """The same request, for ever."""
    return itertools.repeat(message)


if __name__ == "__main__":
    main()
