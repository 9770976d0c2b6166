"""Ours and theirs are told apart, and long ones are cut and joined."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.login import cookies
from agent.login.cookies import MOST_PARTS, PREFIX, gathered, leftovers, parts, read

NAME = f"{PREFIX}gateway"

HEADERS = [
    ("", {}, ""),
    ("a=1; b=2", {}, "a=1; b=2"),
    (f"a=1; {NAME}=x; b=2", {NAME: "x"}, "a=1; b=2"),
    (f"{NAME}=x;a=1", {NAME: "x"}, "a=1"),
    (f" {NAME}=x ;  a=1 ;", {NAME: "x"}, "a=1"),
    (f"{NAME}=x; {NAME}=y", {NAME: ""}, ""),
    (f"{NAME}", {NAME: ""}, ""),
    (f"{PREFIX}other=1; x{NAME}=2", {f"{PREFIX}other": "1"}, f"x{NAME}=2"),
    (f"a=1,{NAME}=x", {NAME: "x"}, "a=1"),
    (f"{NAME}=x,a=1; b=2", {NAME: "x"}, "a=1; b=2"),
    (f"a=1; {NAME}.1=y,{NAME}=x", {f"{NAME}.1": "y", NAME: "x"}, "a=1"),
    (f"a=1;{NAME} = x ; b=2", {NAME: "x"}, "a=1; b=2"),
    ('a="q; r"; ' + NAME + "=x", {NAME: "x"}, 'a="q; r"'),
]


@pytest.mark.parametrize(("header", "ours", "others"), HEADERS)
def test_a_header_is_taken_apart(header, ours, others):
    jar = read(header)
    assert (dict(jar.ours), jar.others) == (ours, others)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_what_is_ours_never_stays_among_the_others(text):
    assert PREFIX not in [
        c.strip()[: len(PREFIX)] for c in read(f"{text};{NAME}=x").others.split(";")
    ]


@pytest.mark.parametrize("size", [1, 3800, 3801, 7600, 7601, 3800 * MOST_PARTS])
def test_a_long_value_is_cut_and_joined_and_no_part_is_too_large(size):
    value = "v" * size
    made = parts(NAME, value)
    assert made is not None
    assert all(len(written.partition(";")[0]) < 4096 for _, written in made)
    sent = "; ".join(written.partition(";")[0] for _, written in made)
    assert gathered(read(sent), NAME) == value
    if len(made) > 1:
        assert gathered(read(sent.rpartition(";")[0]), NAME) is None


def test_too_long_a_value_is_no_cookie():
    assert parts(NAME, "v" * (3800 * MOST_PARTS + 1)) is None
    assert parts(NAME, "") is None


def test_parts_of_a_longer_one_before_are_taken_away():
    jar = read(f"{NAME}=3.a; {NAME}.1=b; {NAME}.2=c")
    gone = [written.partition("=")[0] for _, written in leftovers(jar, NAME, kept=2)]
    assert gone == [f"{NAME}.2"]
    assert len(list(leftovers(jar, NAME))) == 3
    assert all("Max-Age=0" in written for _, written in leftovers(jar, NAME))


def test_every_cookie_says_what_a_host_cookie_must():
    for _, written in (*(parts(NAME, "x" * 5000) or ()), cookies.removed(NAME)):
        attributes = written.split("; ")[1:]
        assert attributes[:4] == ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"]
        assert "Domain" not in written
