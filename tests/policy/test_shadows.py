"""Routes that can never decide, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.routes import Route, contradictions
from agent.policy.path import CanonicalPath, canonical
from agent.policy.routes import KNOWN_METHODS, Routes, Rule
from agent.policy.shadows import shadowed, warnings


def made(*written: dict[str, Any]) -> list[Route]:
    return [Route.model_validate(route) for route in written]


#         the first            a later one             in its shadow
PATHS = [
    ("/api/**", "/api/tasks", True),
    ("/api/**", "/api", True),
    ("/api/**", "/api/", True),
    ("/api/**", "/api/x/**", True),
    ("/**", "/", True),
    ("/api/{id}", "/api/tasks", True),
    ("/api/{id}", "/api/{name}", True),
    ("/api/{id}/**", "/api/x/y", True),
    ("/api/{id}/**", "/api/**", False),
    ("/API", "/api", True),  # refused for its case, whichever is asked for
    ("/api", "/api/", True),
    ("/api/tasks", "/api/**", False),
    ("/api/tasks", "/api/{id}", False),
    ("/api/{id}", "/api/**", False),
    ("/api/{id}", "/api/{id}/x", False),
    ("/api/x/**", "/api/**", False),
    ("/api/x/**", "/api/y/z", False),
    ("/api", "/api/**", False),
    ("/a", "/b", False),
]


@pytest.mark.parametrize(("first", "later", "dead"), PATHS)
def test_a_path_shadows_those_that_it_takes_entirely(first: str, later: str, dead: bool) -> None:
    routes = made({"path": first}, {"path": later})
    assert list(shadowed(routes)) == ([(1, 0)] if dead else [])
    assert bool(warnings(routes)) is dead


METHODS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {"methods": ["GET"]}, True),
    ({"methods": ["GET", "POST"]}, {"methods": ["GET"]}, True),
    ({"methods": sorted(KNOWN_METHODS)}, {}, True),
    ({"methods": ["GET"]}, {}, False),
    ({"methods": ["GET"]}, {"methods": ["GET", "POST"]}, False),
    ({}, {"methods": ["PURGE"]}, False),  # a rule without methods takes none that is unusual
    ({}, {"hosts": ["a.example"]}, True),
    ({"hosts": ["a.example", "b.example"]}, {"hosts": ["A.example:8080"]}, True),
    ({"hosts": ["a.example"]}, {}, False),
    ({"hosts": ["a.example"]}, {"hosts": ["a.example", "b.example"]}, False),
    ({"hosts": ["[::1]"]}, {"hosts": ["[0::1]:80"]}, True),
]


@pytest.mark.parametrize(("first", "later", "dead"), METHODS)
def test_methods_and_hosts_must_be_taken_too(
    first: dict[str, Any], later: dict[str, Any], dead: bool
) -> None:
    assert bool(list(shadowed(made({"path": "/a"} | first, {"path": "/a"} | later)))) is dead


SPECIMENS = [
    ("/", "/a/**"), ("/{x}", "/b"), ("/a/{x}", "/a/b/**"), ("/a/**", "/A/b"), ("/a/b", "/a/{x}/c"),
]  # fmt: skip


@pytest.mark.parametrize("pair", SPECIMENS + [(b, a) for a, b in SPECIMENS])
def test_what_is_called_dead_never_decides_and_what_is_not_does(pair: tuple[str, str]) -> None:
    """The linter against the matcher, on every short path."""
    routes = made(*({"path": path} for path in pair))
    table = Routes(routes)
    words = ("", "a", "b", "c", "A")
    paths = {f"/{x}/{y}/{z}".rstrip("/") or "/" for x in words for y in words for z in words}
    reached = False
    for text in paths:
        read = canonical(text)
        if isinstance(read, CanonicalPath):
            rule = table.match("GET", "a.example", read)
            reached |= isinstance(rule, Rule) and rule.pattern == pair[1]
    assert reached is not bool(list(shadowed(routes)))


def test_a_warning_names_both_and_says_what_to_do() -> None:
    (warning,) = warnings(made({"path": "/api/**"}, {"path": "/b"}, {"path": "/api/tasks"}))
    assert warning == (
        "routes[2] ('/api/tasks') never decides: routes[0] ('/api/**') takes its requests "
        "first; move it up, or remove it"
    )


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_are_hardly_meant_are_warned_of(method: str) -> None:
    assert method in warnings(made({"path": "/", "methods": [method]}))[0]


ADMIN, ANYONE = {"require": {"roles": ["Admin"]}}, {"anonymous": True}
PAIRS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"path": "/a"} | ADMIN, {"path": "/a"} | ANYONE, True),
    ({"path": "/a/{id}"} | ADMIN, {"path": "/a/{name}/"} | ANYONE, True),
    (
        {"path": "/a", "methods": ["GET", "PUT"]} | ADMIN,
        {"path": "/a", "methods": ["PUT", "GET"]},
        True,
    ),
    ({"path": "/a"} | ADMIN, {"path": "/a"} | ADMIN, False),  # a copy: warned of, no more
    ({"path": "/a", "methods": ["GET"]} | ADMIN, {"path": "/a"} | ANYONE, False),
    ({"path": "/a", "hosts": ["a.example"]} | ADMIN, {"path": "/a"} | ANYONE, False),
    ({"path": "/a/**"} | ADMIN, {"path": "/a/b"} | ANYONE, False),
]


@pytest.mark.parametrize(("first", "later", "contradict"), PAIRS)
def test_two_routes_for_the_same_requests_must_ask_for_the_same(
    first: dict[str, Any], later: dict[str, Any], contradict: bool
) -> None:
    assert list(contradictions(made(first, later))) == ([(1, 0)] if contradict else [])
