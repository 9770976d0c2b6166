"""Tokens that are given and will be refused: what the operator reads."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from agent.credentials.answers import Answer, Asked
from agent.credentials.cache import TokenCache
from agent.credentials.exchange import Exchange
from agent.credentials.ledger import Ledger
from agent.credentials.pitfalls import without_role
from agent.credentials.token import CacheKey, Token
from agent.moment import Moment
from tests.credentials.conftest import NOW, FakeClock

ASKED = Asked("audit", "task-api", "client-1", "tenant-1", ("api://audit/.default",), False)


def jwt(**claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps({"iss": "entra"} | claims).encode()).decode()
    return f"e30.{part.rstrip('=')}.c2ln"


@pytest.mark.parametrize("token", [jwt(), jwt(roles=[])])
def test_our_own_token_without_an_app_role_is_told_with_its_remedy(token: str) -> None:
    said = without_role(token, ASKED)
    assert said.startswith("destination 'audit': Entra's token for 'api://audit/.default'")
    assert "application permission" in said
    assert "client-1" in said
    assert token not in said


@pytest.mark.parametrize(
    ("token", "asked"),
    [
        (jwt(roles=["Log.Write"]), ASKED),
        (jwt(), replace(ASKED, for_user=True)),
        (jwt(), replace(ASKED, server="'https://sso.example'")),
        ("opaque", ASKED),
        ("a.b.c", ASKED),
        ("e30.W10.x", ASKED),
        ("e30.e30.x", ASKED),
        ("e30." + "W" * 40_000 + ".x", ASKED),
    ],
)
def test_other_tokens_are_nobodys_business(token: str, asked: Asked) -> None:
    assert without_role(token, asked) == ""


def test_it_is_said_once_and_the_token_is_used(
    caplog: pytest.LogCaptureFixture, cache: TokenCache, clock: FakeClock
) -> None:
    exchange = Exchange(cache, Ledger(clock), clock, lambda: 0.5)
    answer = Answer(200, {"access_token": jwt(), "token_type": "Bearer", "expires_in": 3600})
    for audience in ("a", "b"):
        key = CacheKey("clientCredentials", "", "", "client-1", (), audience)
        got = exchange.obtain(key, ("", ""), ASKED, lambda _: answer, Moment(NOW, 5.0))
        assert isinstance(got, Token)
    said = [r for r in caplog.records if "no app role" in r.message]
    assert [r.levelno for r in said] == [logging.WARNING]
