"""The rules of registered claims (SECURITY.md 7, 8, 16)."""

from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.claims import (
    LATEST,
    TEXT,
    TEXTS,
    WORDS,
    Window,
    at,
    expired,
    misshapen,
    other_audience,
    premature,
    text,
    window,
    words,
)

BAD_TIMES: list[Any] = [
    "1700000000",
    True,
    False,
    None,
    -1,
    -0.5,
    10**30,
    10**400,
    1e30,
    LATEST + 1,
    float("inf"),
    float("nan"),
    [1],
    {},
]


@pytest.mark.must(7)
@pytest.mark.parametrize("value", BAD_TIMES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_time_is_a_finite_bounded_number(name: str, value: Any) -> None:
    denied = window({"exp": 1} | {name: value})
    assert isinstance(denied, Denial)
    assert denied.reason is Reason.INVALID_TOKEN


@pytest.mark.must(7)
def test_a_token_without_expiry_is_refused() -> None:
    denied = window({"iat": 1, "nbf": 1})
    assert isinstance(denied, Denial)
    assert denied.reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": 10}, Window(0, 10)),
        ({"exp": 10.5, "nbf": 2}, Window(2, 10.5)),
        ({"exp": 10, "iat": 3}, Window(3, 10)),
        ({"exp": 10, "nbf": 5, "iat": 3}, Window(5, 10)),
        ({"exp": 10, "nbf": 3, "iat": 5}, Window(5, 10)),
        ({"exp": 0}, Window(0, 0)),
        ({"exp": LATEST}, Window(0, LATEST)),
    ],
)
def test_the_window_spans_from_the_later_beginning_to_expiry(
    claims: dict[str, Any], expected: Window
) -> None:
    assert window(claims) == expected


@pytest.mark.must(7)
@pytest.mark.parametrize(
    ("now", "skew", "over"),
    [(99.9, 0, False), (100, 0, True), (159.9, 60, False), (160, 60, True), (161, 60, True)],
)
def test_the_second_of_expiry_is_too_late(now: float, skew: float, over: bool) -> None:
    denied = expired(Window(0, 100), now, skew)
    assert (denied is not None) is over
    assert denied is None or denied.reason is Reason.EXPIRED_TOKEN


@pytest.mark.must(7)
@pytest.mark.parametrize(
    ("now", "skew", "early"), [(100, 0, False), (99.9, 0, True), (40, 60, False), (39.9, 60, True)]
)
def test_a_token_of_the_future_is_invalid(now: float, skew: float, early: bool) -> None:
    denied = premature(Window(100, 200), now, skew)
    assert (denied is not None) is early
    assert denied is None or denied.reason is Reason.INVALID_TOKEN


OTHER, INVALID = Reason.WRONG_AUDIENCE, Reason.INVALID_TOKEN


@pytest.mark.must(8, 16)
@pytest.mark.parametrize(
    ("aud", "reason"),
    [
        ("api://a", None),
        (["api://a"], None),
        (["x", "api://a"], None),
        ("api://b", OTHER),
        ("api://A", OTHER),
        ("api://a/", OTHER),
        ("api://", OTHER),
        ("xapi://a", OTHER),
        ("api://a api://b", OTHER),
        (".*", OTHER),
        (["x"], OTHER),
        ("", OTHER),
        ([], INVALID),
        ({}, INVALID),
        (None, INVALID),
        (1, INVALID),
        (True, INVALID),
        (["api://a", 1], INVALID),
        ([["api://a"]], INVALID),
        ({"api://a": 1}, INVALID),
    ],
)
def test_an_audience_is_matched_to_the_letter(aud: Any, reason: Reason | None) -> None:
    denied = other_audience({"aud": aud}, {"api://a", "guid"})
    assert (denied.reason if denied else None) is reason


@pytest.mark.must(8)
def test_a_token_for_nobody_is_for_another() -> None:
    denied = other_audience({}, {"api://a"})
    assert denied is not None
    assert denied.reason is OTHER


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (TEXT, ["", "a"], [None, 1, True, ["a"], {}]),
        (TEXTS, [[], ["a", "b"]], [None, "a", ["a", 1], {"a": "b"}, 1]),
        (WORDS, ["", "a b", [], ["a"]], [None, 1, [1], {}]),
    ],
)
def test_a_claim_of_the_wrong_form_is_named(form: Any, good: list[Any], bad: list[Any]) -> None:
    assert misshapen({}, {"c": form}) is None
    for value in good:
        assert misshapen({"c": value}, {"c": form}) is None
    for value in bad:
        denied = misshapen({"c": value}, {"c": form})
        assert denied is not None
        assert "'c'" in denied.detail


def test_values_are_read_exactly() -> None:
    assert text({"a": "", "b": "x"}, "a", "b") == "x"
    assert text({"a": 1}, "a") == ""
    assert words({"s": "a  b a"}, "s") == {"a", "b"}
    assert words({"s": "a\tb"}, "s") == {"a\tb"}
    assert words({"s": ["a b", "c"]}, "s") == {"a b", "c"}
    assert words({"s": ""}, "s") == words({}, "s") == words({"s": 1}, "s") == frozenset()
    assert words({"s": []}, "s") == words({"s": ["a", 1]}, "s") == words({"s": None}, "s") == set()
    assert words({"s": [""]}, "s") == {""}


def test_what_many_tokens_say_is_held_once() -> None:
    assert words({"s": "a b"}, "s") is words({"s": "a b"}, "s")
    assert words({"s": ["b", "a"]}, "s") is words({"s": ["b", "a"]}, "s")
    assert words({"s": ["a b"]}, "s") == {"a b"}  # and not what the text "a b" says


NESTED: dict[str, Any] = {
    "department": "finance",
    "https://shop.example/team": "red",
    "realm_access": {"roles": ["a"], "x.y": 1, "none": None},
    "a.b": "exact",
    "a": {"b": "nested", "": 0},
    "text": "a.b",
    "list": [{"0": 1}],
    "": {"x": 2},
}
PATHS = [
    ("department", "finance"),
    ("https://shop.example/team", "red"),
    ("realm_access.roles", ["a"]),
    ("realm_access.x.y", 1),
    ("realm_access.none", None),
    ("a.b", "exact"),
    ("a.c", None),
    ("a.", 0),
    (".x", 2),
    ("Department", None),
    ("department.x", None),
    ("text.a", None),
    ("list.0", None),
    ("nowhere", None),
    ("", {"x": 2}),
    (".", None),
]


@pytest.mark.must(16)
@pytest.mark.parametrize(("path", "value"), PATHS)
def test_a_claim_is_found_by_its_exact_name_first_and_then_by_its_dots(
    path: str, value: Any
) -> None:
    assert at(NESTED, path) == value
