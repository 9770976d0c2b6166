"""A query or a form has one meaning, or none."""

from __future__ import annotations

import base64

import pytest

from agent.login.flow import Asked
from agent.login.parameters import asked, pairs

PAIRS = [
    ("", {}),
    ("a=1&b=2", {"a": "1", "b": "2"}),
    ("a=%2F&b=", {"a": "/", "b": ""}),
    ("a=1&a=1", None),
    ("a=%ff", None),
    ("&".join(f"p{n}=1" for n in range(40)), None),
    ("a=" + "x" * 60_000, None),
]


@pytest.mark.parametrize(("encoded", "said"), PAIRS)
def test_a_form_says_each_thing_once(encoded, said):
    assert pairs(encoded) == said


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
ASKED = [
    ({}, Asked()),
    ({"acr_values": "gold silver", "max_age": "60"}, Asked("", "gold silver", "60")),
    ({"claims": b64(CLAIMS)}, Asked(CLAIMS)),
    ({"claims": b64("[1]")}, Asked()),
    ({"claims": CLAIMS}, None),
    ({"claims": b64("{")}, None),
    ({"claims": b64('{"a":' * 5000)}, None),
    ({"max_age": "-1"}, None),
    ({"acr_values": "a\nb"}, None),
    ({"acr_values": "x" * 2000}, None),
]


@pytest.mark.parametrize(("said", "found"), ASKED)
def test_a_page_may_ask_for_what_a_challenge_says(said, found):
    assert asked(said) == found
