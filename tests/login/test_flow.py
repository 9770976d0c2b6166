"""A sign-in under way: bound to its browser by state, nonce and verifier, and leading only home."""

from __future__ import annotations

import os
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.errors import Denial, Reason
from agent.login import flow
from agent.login.flow import Asked, Flow

NOTHING = Asked()


def begun(target: str = "/app?x=1", asked: Asked = NOTHING) -> Flow:
    return flow.begin(
        "gateway", target, "https://shop.example/cb", asked, asked.claims, 100.0, os.urandom
    )


def test_a_flow_comes_back_from_its_cookie():
    one = begun()
    assert flow.unpacked(one.packed()) == one


def test_an_answer_is_believed_with_the_state_and_in_time():
    one = begun()
    assert one.answers(one.state, 100.0)
    assert one.answers(one.state, 699.0)
    assert not one.answers(one.state, 700.0)
    assert not one.answers(one.state[:-1], 100.0)
    assert not one.answers(begun().state, 100.0)
    assert not one.answers("", 100.0)


def test_two_flows_share_nothing():
    one, other = begun(), begun()
    for name in ("id", "state", "nonce", "verifier"):
        assert getattr(one, name) != getattr(other, name)
    assert flow.flow_id(one.state) == one.id


@pytest.mark.parametrize(
    "state", ["", ".", "x.y", "0123456789ABCDEF.x", "0123456789abcde.x", "é" * 16]
)
def test_a_state_that_is_none_of_ours_names_no_flow(state):
    assert flow.flow_id(state) == ""


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/app?x=1", "/app?x=1"),
        ("/app?" + "x" * 3000, "/app"),
        ("/" + "x" * 3000, "/"),
        ("/app?é", "/app"),
        ("/app?a\nb", "/app"),
    ],
)
def test_a_target_is_kept_or_made_harmless(target, kept):
    assert begun(target).target == kept


def test_what_a_denial_asks_is_asked_of_the_provider():
    denial = Denial(
        Reason.STEP_UP_REQUIRED,
        "no",
        claims='{"access_token":{"acrs":{"essential":true,"value":"c1"}}}',
        challenge=(("error", "x"), ("acr_values", "gold"), ("max_age", "60")),
    )
    asked = flow.asked_of(denial)
    one = begun(asked=asked)
    url = flow.authorization_url(
        "https://idp.example/auth?p=1", "us", "openid", one, asked, {"prompt": "x", "state": "y"}
    )
    said = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (said["acr_values"], said["max_age"], said["p"]) == ("gold", "60", "1")
    assert said["claims"] == denial.claims
    assert (said["prompt"], said["state"]) == ("x", one.state)
    assert said["code_challenge"] == flow.challenge(one.verifier)
    assert one.verifier not in url
    assert one.asked == asked.text != Asked().text == ""
