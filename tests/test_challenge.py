"""A claims challenge in all the forms that it travels in."""

from __future__ import annotations

import base64
import json

import pytest

from agent.challenge import MAX, merged, minified, relayed

C1 = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
WIDE = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c1"}}}, indent=2)


@pytest.mark.parametrize(
    "written",
    [
        C1,
        WIDE,
        f"  {C1} ",
        base64.b64encode(C1.encode()).decode(),
        base64.b64encode(WIDE.encode()).decode(),
        base64.urlsafe_b64encode(WIDE.encode()).decode().rstrip("="),
    ],
)
def test_every_form_of_one_challenge_is_one_challenge(written: str) -> None:
    assert relayed(written) == C1


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "x", "{", "{}", "[1]", "null", "e30=", "W10=", "/w==", "a b", "é", "{" * 3000),
        '{"access_token":"' + "x" * MAX + '"}',
        base64.b64encode(b'{"a":"' + b"x" * MAX + b'"}').decode(),
    ],
)
def test_what_is_no_challenge_is_none(written: str) -> None:
    assert relayed(written) == ""
    assert minified(written) == ""


@pytest.mark.parametrize(
    ("standing", "further", "both"),
    [
        ("", "", ""),
        (C1, "", C1),
        ("", C1, C1),
        (C1, C1, C1),
        ('{"access_token":{"a":1}}', '{"access_token":{"b":2}}', '{"access_token":{"a":1,"b":2}}'),
        ('{"access_token":null}', C1, C1),
    ],
)
def test_a_standing_demand_and_a_challenge_are_asked_for_together(
    standing: str, further: str, both: str
) -> None:
    assert merged(standing, further) == both


def test_control_characters_cannot_leave_a_header_through_it() -> None:
    assert relayed('{"access_token":{"a":"\\u000d\\u000aX: y"}}').isprintable()
