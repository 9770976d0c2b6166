"""A page is told from a fetch, and our own page from another site's."""

from __future__ import annotations

import pytest

from agent.errors import Denial
from agent.flow.request import Direction, Request
from agent.login.browser import foreign, from_elsewhere, origin_of, same_origin, wants_page

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


def asks(method: str = "GET", host: str = "shop.example", **headers: str) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(Direction.INBOUND, method, "/app", host, sent)


PAGES = [
    ({"accept": HTML}, True),
    ({"accept": "TEXT/HTML"}, True),
    ({"accept": "*/*"}, False),
    ({}, False),
    ({"accept": "application/json"}, False),
    ({"accept": HTML, "x_requested_with": "XMLHttpRequest"}, False),
    ({"accept": "*/*", "sec_fetch_mode": "navigate"}, True),
    ({"accept": "*/*", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, True),
    ({"accept": HTML, "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}, False),
    ({"accept": HTML, "sec_fetch_mode": "navigate", "sec_fetch_dest": "embed"}, False),
    ({"accept": HTML, "sec_fetch_mode": "cors"}, False),
    ({"accept": HTML, "sec_fetch_mode": "no-cors"}, False),
    ({"accept": HTML, "upgrade": "websocket"}, False),
]


@pytest.mark.parametrize(("headers", "page"), PAGES)
def test_a_page_is_a_navigation_of_a_whole_tab(headers, page):
    assert wants_page(asks(**headers)) is page
    assert wants_page(asks("HEAD", **headers)) is page
    assert not wants_page(asks("POST", **headers))


ORIGINS = [
    ("shop.example", None, "https://shop.example"),
    ("Shop.Example:8443", None, "https://shop.example:8443"),
    ("localhost:8080", None, "http://localhost:8080"),
    ("127.0.0.1:8080", None, "http://127.0.0.1:8080"),
    ("[::1]:8080", None, "http://[::1]:8080"),
    ("shop.localhost:8080", None, "http://shop.localhost:8080"),
    ("localhost.evil.test", None, "https://localhost.evil.test"),
    ("pod-7:15006", "https://shop.example", "https://shop.example"),
]


@pytest.mark.parametrize(("host", "configured", "origin"), ORIGINS)
def test_the_origin_is_configured_or_the_hosts(host, configured, origin):
    assert origin_of(asks(host=host), configured) == origin


@pytest.mark.parametrize("host", ["a,b", "", "shop.example/x", "a b", "evil.test#"])
def test_a_host_that_is_none_has_no_origin(host):
    assert isinstance(origin_of(asks(host=host), None), Denial)


SAME = [
    ("https://a", "https://a:443", True),
    ("http://a:80", "http://A", True),
    ("http://a", "https://a", False),
    ("https://a.b", "https://b", False),
    ("https://a:8443", "https://a", False),
    ("null", "https://a", False),
    ("https://a:x", "https://a", False),
    ("https://a/path", "https://a", False),
    ("", "https://a", False),
]


@pytest.mark.parametrize(("said", "origin", "same"), SAME)
def test_an_origin_is_scheme_host_and_port(said, origin, same):
    assert same_origin(said, origin) is same


OWN, EVIL = "https://shop.example", "https://evil.test"
UNSAFE = [
    ({}, True),
    ({"origin": OWN}, False),
    ({"origin": EVIL}, True),
    ({"origin": "null"}, True),
    ({"sec_fetch_site": "same-origin"}, False),
    ({"sec_fetch_site": "same-site"}, True),
    ({"sec_fetch_site": "cross-site"}, True),
    ({"sec_fetch_site": "none"}, True),
    ({"sec_fetch_site": "none", "origin": OWN}, False),
    ({"sec_fetch_site": "same-origin", "origin": EVIL}, True),
    ({"sec_fetch_site": "cross-site", "origin": OWN}, True),
]


@pytest.mark.parametrize(("headers", "refused"), UNSAFE)
def test_what_changes_something_needs_a_proof(headers, refused):
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE"):
        for configured in (None, OWN):
            assert (foreign(asks(method, **headers), configured) is not None) is refused
    assert foreign(asks("GET", **headers), OWN) is None
    assert (foreign(asks("GET", upgrade="websocket", **headers), OWN) is not None) is refused


def test_the_configured_origin_is_exact_where_there_is_one():
    assert foreign(asks("POST", origin="http://shop.example"), None) is None
    assert foreign(asks("POST", origin="http://shop.example"), OWN) is not None
    assert foreign(asks("POST", host="pod-7:15006", origin=OWN), OWN) is None


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": "cross-site"}, True),
        ({"origin": EVIL}, True),
    ],
)
def test_a_link_of_another_site_is_known(headers, elsewhere):
    assert from_elsewhere(asks(**headers), OWN) is elsewhere
