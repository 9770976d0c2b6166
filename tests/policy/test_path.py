"""Which path does a rule see? One table for each trick, and the properties of the survivors."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import Denial, Reason
from agent.policy.path import MAX_PATH, CanonicalPath, canonical

READ = [
    ("/", ()),
    ("/api", ("api",)),
    ("/api/", ("api",)),
    ("/api/tasks/17", ("api", "tasks", "17")),
    ("/api/t%61sks", ("api", "tasks")),
    ("/%41pi", ("Api",)),
    ("/a%20b", ("a b",)),
    ("/a+b", ("a+b",)),
    ("/100%25", ("100%",)),
    ("/100%25zz", ("100%zz",)),
    ("/caf%C3%A9", ("café",)),
    ("/caf%c3%a9/", ("café",)),
    ("/%E6%97%A5%E6%9C%AC", ("日本",)),
    ("/report%E2%80%A6.pdf", ("report….pdf",)),
    ("/user@example.com", ("user@example.com",)),
    ("/Items(1)", ("Items(1)",)),
    ("/Items('a')/$value", ("Items('a')", "$value")),
    ("/v1/projects/p:batchGet", ("v1", "projects", "p:batchGet")),
    ("/.well-known/jwks.json", (".well-known", "jwks.json")),
    ("/...", ("...",)),
    ("/a.", ("a.",)),
    ("/..a", ("..a",)),
    ("/a..", ("a..",)),
    ("/*", ("*",)),
    ("/a,b", ("a,b",)),
    ("/~user", ("~user",)),
    ("/" + "a" * (MAX_PATH - 1), ("a" * (MAX_PATH - 1),)),
]


@pytest.mark.parametrize(("target", "segments"), READ)
def test_a_path_with_one_reading_is_read(target: str, segments: tuple[str, ...]) -> None:
    assert canonical(target) == CanonicalPath("/" + "/".join(segments), segments)


NOT_A_PATH = [
    "",
    "*",
    "api",
    "?x=1",
    "#x",
    " /api",
    "http://shop.example/api",
    "HTTP://shop.example/api",
    "https://shop.example/api",
    "shop.example:443",
    "//shop.example/api",
    "\\api",
    "%2Fapi",
    "\ufeff/api",
]
DOTS = [
    "/.",
    "/..",
    "/./",
    "/../",
    "/./api",
    "/../api",
    "/api/.",
    "/api/..",
    "/api/./tasks",
    "/api/../admin",
    "/api/../../admin",
    "/%2e",
    "/%2E",
    "/%2e%2e",
    "/%2E%2E",
    "/%2e%2E/admin",
    "/.%2e/admin",
    "/%2e./admin",
    "/api/%2e%2e/admin",
    "/api/%2e",
    "/api/%2e%2e/",
]
EMPTY_SEGMENTS = ["//", "///", "//api", "/api//", "/api//tasks", "/a//%61", "/%61//b", "/a/b///"]
SEPARATORS = [
    "/api%2fadmin",
    "/api%2Fadmin",
    "/%2f",
    "/%2F%2F",
    "/api/..%2fadmin",
    "/api/%2e%2e%2fadmin",
    "/api%5cadmin",
    "/api%5Cadmin",
    "/api\\admin",
    "/api/..\\admin",
    "/..%5c..%5cadmin",
    "/api/%5c",
]
PARAMETERS = [
    "/api;a=b",
    "/api;",
    "/;/api",
    "/;a=b/admin",
    "/api/..;/admin",
    "/api/.;/admin",
    "/admin;jsessionid=1",
    "/api%3ba=b",
    "/api%3B",
    "/api/..%3b/admin",
]
DOUBLE = [
    "/%252e%252e/admin",
    "/api/%252e%252e%252fadmin",
    "/api%252fadmin",
    "/api%252Fadmin",
    "/api%255cadmin",
    "/%2561pi",
    "/%25%36%31pi",
    "/%25252e",
    "/%2%35%32e",
    "/api%2500",
    "/api%253ba",
    "/%25u002e%25u002e/admin",
    "/%25u002fadmin",
]
OVERLONG = [
    "/%C0%AE%C0%AE/admin",
    "/%c0%ae",
    "/%C0%AF",
    "/api%c0%afadmin",
    "/%E0%80%AE",
    "/%E0%80%AF",
    "/%F0%80%80%AF",
    "/%F8%80%80%80%AF",
    "/%C1%9C",
    "/%C1%81dmin",
    "/%C0%80",
    "/%ED%A0%80",
    "/%ED%A0%80%ED%B0%80",
    "/%F4%90%80%80",
    "/%FF",
    "/%FE%FF",
    "/%80",
    "/%C3",
    "/%C3/%A9",
    "/%E9",
]
CONTROLS = [
    "/api%00",
    "/%00",
    "/admin%00.png",
    "/api\x00",
    "/api%0a",
    "/api%0d%0aSet-Cookie:x",
    "/api%09",
    "/api\t",
    "/api\n",
    "/api\r\n",
    "/api%1f",
    "/api%7f",
    "/api\x7f",
    "/api%C2%85",
    "/api%C2%80",
    "/api%C2%9F",
]
BROKEN = ["/%", "/%a", "/%zz", "/%2", "/a%", "/a%/b", "/%u002e", "/%u0061pi", "/%-1", "/% 41"]
RAW = [
    "/café",
    "/a b",
    '/a"b',
    "/a<b>",
    "/a{b}",
    "/a|b",
    "/a^b",
    "/a`b",
    "/a#b",
    "/[a]",
    "/\uff0e\uff0e/admin",
    "/\u2215admin",
    "/\ud800",
]
LOOK_ALIKES = [
    "/%EF%BC%8E%EF%BC%8E/admin",  # full-width dots
    "/%EF%BC%8E",
    "/.%EF%BC%8E",
    "/%E2%80%A5",  # a two-dot leader
    "/%E2%80%A4%E2%80%A4",  # two one-dot leaders
    "/api%EF%BC%8Fadmin",  # a full-width slash
    "/api%EF%BC%BCadmin",  # a full-width backslash
    "/api%EF%BC%9Ba",  # a full-width semicolon
    "/%EF%BC%8561pi",  # a full-width percent sign
    "/%E2%84%80",  # the account-of sign, a/c
    "/%E2%84%85",  # the care-of sign, c/o
]
TOO_LONG = ["/" + "a" * MAX_PATH, "/" + "a" * 9216, "/" + "%61" * 3072, "/" + "a/" * 4608]

TRICKS = {
    "not_a_path": NOT_A_PATH,
    "dots": DOTS,
    "empty_segments": EMPTY_SEGMENTS,
    "separators": SEPARATORS,
    "parameters": PARAMETERS,
    "double_encoding": DOUBLE,
    "overlong_utf8": OVERLONG,
    "controls": CONTROLS,
    "broken_escapes": BROKEN,
    "raw_characters": RAW,
    "look_alikes": LOOK_ALIKES,
    "too_long": TOO_LONG,
}


@pytest.mark.must(20)
@pytest.mark.parametrize(
    "target",
    [
        pytest.param(target, id=f"{trick}-{ascii(target)[1:40]}")
        for trick, targets in TRICKS.items()
        for target in targets
    ],
)
@pytest.mark.parametrize("query", ["", "?x=1"], ids=["bare", "query"])
def test_a_path_with_more_than_one_reading_is_refused(target: str, query: str) -> None:
    denial = canonical(target + query)
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.status) == (Reason.BAD_PATH, 400)


@pytest.mark.must(18)
def test_a_refusal_does_not_repeat_the_path() -> None:
    for targets in TRICKS.values():
        for target in targets:
            denial = canonical(target)
            assert isinstance(denial, Denial)
            assert len(target) < 6 or target not in denial.detail


QUERIES = ["?", "?a=1", "?/../admin", "?a=%2f%00;..", "?a?b", "?#", "?\x00", "?" + "a" * 9216]


@pytest.mark.must(20)
@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
@pytest.mark.parametrize("path", ["/", "/api/tasks", "/api/tasks/", "/caf%C3%A9"])
def test_the_query_never_matters(path: str, query: str) -> None:
    assert canonical(path + query) == canonical(path)


@pytest.mark.must(20)
def test_an_encoded_question_mark_stays_in_the_path() -> None:
    read = canonical("/api%3F/tasks")
    assert isinstance(read, CanonicalPath)
    assert read.segments == ("api?", "tasks")


def test_case_is_kept_for_the_routes_to_judge() -> None:
    assert canonical("/API") != canonical("/api")


SYNTAX = st.sampled_from(
    [
        *("/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "%00", "%25", "%", "%c0%ae", ";", "?"),
        *("#", "%61", "a", "A", "é", "%C3%A9", "%C3", " ", "\\", "\x00", "\n", "\ud800"),
        *("%u002e", "%EF%BC%8E", "%E2%84%80"),
    ]
)
TARGETS = st.one_of(
    st.text(),
    st.lists(SYNTAX | st.text(max_size=3), max_size=12).map(lambda parts: "/" + "".join(parts)),
)


@pytest.mark.must(17, 20)
@given(TARGETS)
@example("/%E2%84%80")
def test_whatever_is_sent_is_read_or_refused_and_a_reading_stays_what_it_is(target: str) -> None:
    read = canonical(target)
    if isinstance(read, Denial):
        assert read.reason is Reason.BAD_PATH
        return
    again = canonical("/" + "/".join(quote(segment, safe="") for segment in read.segments))
    assert again == read
    assert read.text == "/" + "/".join(read.segments)
    for segment in read.segments:
        assert segment not in ("", ".", "..")
        assert not set(segment) & set("/\\;\x00\r\n")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), max_size=4))
def test_escaping_more_than_needed_changes_nothing(segments: list[str]) -> None:
    sparing = "/" + "/".join(quote(segment, safe="~!$&'()*+,=:@") for segment in segments)
    lavish = "/" + "/".join(
        "".join(f"%{byte:02x}" for byte in segment.encode()) for segment in segments
    )
    assert canonical(sparing) == canonical(lavish)


NAUGHTY = Path(__file__).parents[3] / "shared/corpora/naughty-strings/blns.json"


@pytest.mark.must(20)
def test_the_naughty_strings_are_read_or_refused() -> None:
    if not NAUGHTY.exists():
        pytest.skip("the corpora are not beside the project")
    naughty = json.loads(NAUGHTY.read_text("utf-8"))
    assert len(naughty) == 515
    for text in naughty:
        for target in (text, "/" + text, "/" + quote(text, safe="")):
            read = canonical(target)
            if isinstance(read, CanonicalPath):
                assert not set("".join(read.segments)) & set("/\\;\x00\r\n")
