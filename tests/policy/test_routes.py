"""Which rule is a request under? First match, fall-through, hosts, templates, case."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.routes import Route
from agent.errors import Denial, Reason
from agent.policy.path import CanonicalPath, canonical
from agent.policy.routes import KNOWN_METHODS, MATCH_ANYTHING, Routes, Rule, fold, host_name


def routes(*written: dict[str, Any]) -> Routes:
    return Routes(Route.model_validate(route) for route in written)


def ask(table: Routes, path: str, method: str = "GET", host: str = "shop.example") -> Rule | Denial:
    read = canonical(path)
    assert isinstance(read, CanonicalPath), path
    return table.match(method, host, read)


def pattern(answer: Rule | Denial) -> str:
    """The pattern of the rule that was found, or the reason of the denial."""
    return answer.pattern if isinstance(answer, Rule) else answer.reason.value


ASKED = [
    ("GET", "shop.example", "/a/7?all=1"),
    ("GET", "SHOP.example:8080", "/a/7"),
    ("GET", "other.example", "/a/7"),
    ("POST", "shop.example", "/a/7"),
    ("GET", "shop.example", "/A/7"),
    ("GET", "shop.example", "/b"),
    ("GET", "shop.example", "/b/../a/7"),
    ("GET", "shop.example", "/a/" + "7" * 600),
    ("GET", "a,b", "/a/7"),
]


@pytest.mark.must(20, 21)
def test_what_was_found_before_is_what_would_be_found_again() -> None:
    table = routes(
        {"path": "/a/{id}", "methods": ["GET"], "hosts": ["shop.example"]}, {"path": "/b"}
    )
    for _ in range(3):
        for method, host, target in ASKED:
            path = canonical(target)
            found = table.find(method, host, target)
            if isinstance(path, Denial):
                assert found == path
            else:
                assert found == (path, table.match(method, host, path))


def test_only_what_has_a_rule_is_remembered_and_no_more_than_so_much() -> None:
    table = routes({"path": "/a/{id}"})
    for n in range(5000):
        table.find("GET", "shop.example", f"/a/{n}?secret={n}")
        table.find("GET", "shop.example", f"/b/{n}")
        assert len(table._found) <= 2048
    assert {path for _, _, path in table._found} <= {f"/a/{n}" for n in range(5000)}


TEMPLATES = [
    ("/", "/", True),
    ("/", "/a", False),
    ("/a", "/a", True),
    ("/a", "/a/", True),
    ("/a/", "/a", True),
    ("/a", "/", False),
    ("/a", "/ab", False),
    ("/a", "/a/b", False),
    ("/ab", "/a", False),
    ("/a/b", "/a", False),
    ("/{id}", "/7", True),
    ("/{id}", "/7/", True),
    ("/{id}", "/", False),
    ("/{id}", "/7/8", False),
    ("/{id}", "/%7Bid%7D", True),
    ("/a/{id}/b", "/a/7/b", True),
    ("/a/{id}/b", "/a/b", False),
    ("/a/{id}/b", "/a/7/c", False),
    ("/{a}/{b}", "/7/8", True),
    ("/**", "/", True),
    ("/**", "/a", True),
    ("/**", "/a/b/c", True),
    ("/a/**", "/a", True),
    ("/a/**", "/a/", True),
    ("/a/**", "/a/b/c", True),
    ("/a/**", "/ab", False),
    ("/a/**", "/", False),
    ("/a/{id}/**", "/a", False),
    ("/a/{id}/**", "/a/7", True),
    ("/a/{id}/**", "/a/7/b/c", True),
    ("/café", "/caf%C3%A9", True),
    ("/a+b", "/a+b", True),
    # SECURITY.md 16: text is text, not a pattern
    ("/a.c", "/abc", False),
    ("/a.c", "/a.c", True),
    ("/a+", "/aa", False),
    ("/[ab]", "/a", False),
    ("/(a|b)", "/a", False),
    ("/a$", "/a", False),
]


@pytest.mark.must(16)
@pytest.mark.parametrize(("written", "path", "fits"), TEMPLATES)
def test_a_template_fits_whole_segments(written: str, path: str, fits: bool) -> None:
    assert pattern(ask(routes({"path": written}), path)) == (written if fits else "no_route")


@pytest.mark.must(21)
def test_nothing_matches_where_nothing_is_written() -> None:
    denial = ask(routes(), "/")
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.status) == (Reason.NO_ROUTE, 403)


def test_the_first_rule_that_fits_decides() -> None:
    table = routes(
        {"path": "/api/tasks", "anonymous": True}, {"path": "/api/**"}, {"path": "/api/{id}"}
    )
    assert pattern(ask(table, "/api/tasks")) == "/api/tasks"
    assert pattern(ask(table, "/api/7")) == "/api/**"


METHODS = [
    ("GET", "/x"),
    ("POST", "/x"),
    ("DELETE", "/{any}"),
    ("PATCH", "/{any}"),
    ("OPTIONS", "/{any}"),
    ("HEAD", "/{any}"),
    ("CONNECT", "no_route"),
    ("TRACE", "no_route"),
    ("PROPFIND", "/**"),
    ("PRI", "no_route"),
    ("get", "no_route"),
    ("Get", "no_route"),
    ("GET ", "no_route"),
    ("", "no_route"),
    ("GET\x00", "no_route"),
    ("G\u212aT", "no_route"),
]


@pytest.mark.must(21)
@pytest.mark.parametrize(("method", "rule"), METHODS)
def test_a_rule_for_other_methods_is_passed_over_and_an_unknown_method_must_be_listed(
    method: str, rule: str
) -> None:
    table = routes(
        {"path": "/x", "methods": ["GET", "POST"]},
        {"path": "/{any}"},
        {"path": "/**", "methods": ["PROPFIND"]},
    )
    assert pattern(ask(table, "/x", method)) == rule


@pytest.mark.must(17, 21)
@given(st.text(max_size=8).filter(lambda method: method not in KNOWN_METHODS))
def test_no_method_slips_through_a_rule_that_names_none(method: str) -> None:
    assert pattern(ask(routes({"path": "/**"}), "/a", method)) == "no_route"


ONE_HOST = [
    ("shop.example", "shop.example"),
    ("SHOP.example", "shop.example"),
    ("shop.example:8080", "shop.example"),
    ("shop.example.", "shop.example"),
    ("shop.example.:8080", "shop.example"),
    ("a", "a"),
    ("localhost:1", "localhost"),
    ("10.0.0.1", "10.0.0.1"),
    ("10.0.0.1:80", "10.0.0.1"),
    ("my_service.shop", "my_service.shop"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("[::1]", "[::1]"),
    ("[::1]:8080", "[::1]"),
    ("[2001:DB8::1]", "[2001:db8::1]"),
    ("[2001:db8:0:0:0:0:0:1]", "[2001:db8::1]"),
    ("[2001:0DB8::0001]:443", "[2001:db8::1]"),
    ("[0:0::1]", "[::1]"),
]


@pytest.mark.parametrize(("host", "name"), ONE_HOST)
def test_a_host_is_read_without_its_port(host: str, name: str) -> None:
    assert host_name(host) == name


NO_HOST = [
    "",
    ",",
    "a,b",
    "a, b",
    "shop.example,evil.example",
    "shop.example,shop.example",
    "shop.example evil.example",
    " shop.example",
    "shop.example\t",
    "shop.example\n",
    "shop.example\r\nx: y",
    "shop.example\x00",
    ".shop.example",
    "shop.example..",
    "shop.example:80.",
    "shop.example:",
    "shop.example:x",
    "shop.example:123456",
    "shop.example:80:80",
    "shop.example:\u0661",
    "user@shop.example",
    "shop.example/path",
    "shop.example?x",
    "shop.example#x",
    "http://shop.example",
    "-shop.example",
    "shop.example-",
    "[::1",
    "::1",
    "h" * 262,
    "[::1]x",
    "[::1::2]",
    "[12345::]",
    "[1.2.3.4]",
    "[]",
    "[shop.example]",
    "[::1%25eth0]",
    "bücher.example",
    "*",
    "*.example",
    "shop%2eexample",
]


@pytest.mark.must(21)
@pytest.mark.parametrize("host", NO_HOST)
def test_what_is_not_one_host_is_denied_whatever_the_rules_say(host: str) -> None:
    denial = ask(routes({"path": "/**", "anonymous": True}), "/", host=host)
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.status) == (Reason.NO_ROUTE, 400)


RULE_HOSTS = [
    ("shop.example", "shop.example", True),
    ("shop.example", "SHOP.EXAMPLE:8080", True),
    ("shop.example", "shop.example.", True),
    ("Shop.Example", "shop.example", True),
    ("shop.example:8080", "shop.example:9090", True),
    ("shop.example.", "shop.example", True),
    ("[::1]", "[::1]:80", True),
    ("[2001:db8:0::1]", "[2001:DB8::0:1]:443", True),
    ("[::ffff:10.0.0.1]", "[::FFFF:0a00:1]", True),
    ("[::1]:80", "[::1]", True),
    ("shop.example", "other.example", False),
    # SECURITY.md 16: neither suffix nor prefix
    ("shop.example", "evil-shop.example", False),
    ("shop.example", "a.shop.example", False),
    ("shop.example", "shop.example.evil", False),
    ("shop.example", "shopxexample", False),
    ("[::1]", "[::2]", False),
]


@pytest.mark.must(16, 21)
@pytest.mark.parametrize(("written", "host", "fits"), RULE_HOSTS)
def test_a_rule_with_hosts_is_for_those_alone(written: str, host: str, fits: bool) -> None:
    table = routes({"path": "/a", "hosts": [written]})
    assert pattern(ask(table, "/a", host=host)) == ("/a" if fits else "no_route")


def test_a_rule_for_other_hosts_is_passed_over() -> None:
    table = routes({"path": "/a", "hosts": ["one.example", "two.example"]}, {"path": "/**"})
    assert pattern(ask(table, "/a", host="two.example")) == "/a"
    assert pattern(ask(table, "/a", host="three.example")) == "/**"


@pytest.mark.must(21)
@pytest.mark.parametrize("host", ["*.example", "a,b", "::1", "http://a"])
def test_a_rule_whose_host_no_request_can_name_is_an_error_and_not_a_sleeping_rule(
    host: str,
) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        routes({"path": "/a", "hosts": [host]}, {"path": "/**", "anonymous": True})


CASE_VARIANTS = [
    "/ADMIN",
    "/Admin",
    "/admiN/",
    "/%41dmin",
    "/adm%C4%B1n",  # dotless i: its capital is I
    "/adm%C4%B0n",  # dotted capital I
    "/%EF%BD%81dmin",  # full-width a
    "/ADMIN/keys",
    "/admin/KEYS",
    "/admin/%E2%84%AAeys",  # the Kelvin sign: its small letter is k
    "/admin/key%C5%BF",  # long s
]


@pytest.mark.must(20)
@pytest.mark.parametrize("path", CASE_VARIANTS)
def test_a_path_that_differs_from_a_rule_only_in_case_is_refused_and_no_later_rule_asked(
    path: str,
) -> None:
    table = routes(
        {"path": "/admin", "require": {"roles": ["Admin"]}},
        {"path": "/admin/keys", "require": {"roles": ["Admin"]}},
        {"path": "/**", "anonymous": True},
    )
    denial = ask(table, path)
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.status) == (Reason.BAD_PATH, 400)


@pytest.mark.must(20)
@pytest.mark.parametrize(
    "path", ["/admin.", "/admin...", "/admin%20", "/%20admin", "/admin.%20/keys"]
)
def test_dots_and_spaces_around_a_segment_do_not_lead_to_a_later_rule(path: str) -> None:
    table = routes(
        {"path": "/admin", "require": {"roles": ["Admin"]}},
        {"path": "/admin/keys", "require": {"roles": ["Admin"]}},
        {"path": "/**", "anonymous": True},
    )
    assert pattern(ask(table, path)) == "bad_path"
    assert pattern(ask(table, "/files/report.v2.")) == "/**"


def test_the_case_of_what_a_template_leaves_open_is_free() -> None:
    table = routes({"path": "/users/{name}/**"})
    assert pattern(ask(table, "/users/ANNA/Files")) == "/users/{name}/**"


def test_a_rule_may_be_written_in_capitals() -> None:
    table = routes({"path": "/API/Tasks"})
    assert pattern(ask(table, "/API/Tasks")) == "/API/Tasks"
    assert pattern(ask(table, "/api/tasks")) == "bad_path"


def test_every_characters_cases_fold_alike() -> None:
    every = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    differing = [c for c in every if not fold(c) == fold(c.upper()) == fold(c.lower())]
    assert differing == []


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_every_change_of_case_folds_alike(segment: str) -> None:
    folded = fold(segment)
    assert fold(segment.upper()) == folded
    if segment.isascii():
        assert folded == segment.lower().strip(" ").rstrip(" .")


SEGMENT = st.sampled_from(["a", "A", "b", "B", "ab", "é", "17"])


@pytest.mark.must(21)
@given(
    st.lists(st.lists(SEGMENT | st.just("{x}"), max_size=3), max_size=4),
    st.lists(SEGMENT, max_size=4),
)
def test_a_rule_that_is_found_is_the_first_that_fits_by_the_letter(
    written: list[list[str]], asked: list[str]
) -> None:
    table = routes(*({"path": "/" + "/".join(parts)} for parts in written))
    answer = ask(table, "/" + "/".join(quote(part) for part in asked))

    def fits(parts: list[str], *, by_letter: bool) -> bool:
        same = (lambda a, b: a == b) if by_letter else (lambda a, b: a.lower() == b.lower())
        return len(parts) == len(asked) and all(
            want == "{x}" or same(want, got) for want, got in zip(parts, asked, strict=True)
        )

    first = next((parts for parts in written if fits(parts, by_letter=False)), None)
    if first is None:
        assert pattern(answer) == "no_route"
    elif fits(first, by_letter=True):
        assert pattern(answer) == "/" + "/".join(first)
    else:
        assert pattern(answer) == "bad_path"


def test_a_rule_carries_what_the_configuration_asks_for() -> None:
    table = routes({"path": "/a", "require": {"scopes": ["read"]}}, {"path": "/b"})
    with_scopes, bare = ask(table, "/a"), ask(table, "/b")
    assert isinstance(with_scopes, Rule)
    assert isinstance(bare, Rule)
    assert with_scopes.requirement.scopes == ("read",)
    assert bare.requirement is MATCH_ANYTHING
    assert not bare.anonymous
