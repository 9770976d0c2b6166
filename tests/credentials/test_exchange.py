"""Which answers hold a token that may stand in a header."""

from __future__ import annotations

from typing import Any

import pytest

from agent.credentials.answers import Answer
from agent.credentials.exchange import token_of
from tests.credentials.conftest import NOW

GOOD = {"access_token": "a.b-c_d~e+f/g==", "token_type": "Bearer", "expires_in": 3600}


@pytest.mark.parametrize(
    ("changes", "life"),
    [
        ({}, 3600),
        ({"expires_in": "3599"}, 3599),  # v1 endpoints and IMDS write text
        ({"token_type": "bearer"}, 3600),
        ({"expires_in": None}, 300),
        ({"expires_in": "soon"}, 300),
        ({"expires_in": -5}, 300),
        ({"expires_in": True}, 300),
        ({"expires_in": 10**30}, 7 * 86400),
        ({"expires_in": float("inf")}, 7 * 86400),
        ({"expires_in": float("nan")}, 300),
    ],
)
def test_a_token_lives_as_long_as_its_answer_says(changes: dict[str, Any], life: float) -> None:
    token = token_of(Answer(200, GOOD | changes), NOW, 0.5)
    assert token
    assert token.expires_at == NOW + life
    assert NOW < token.refresh_at < token.expires_at


def test_refresh_in_is_followed_with_jitter() -> None:
    due = set()
    for random in (0.0, 0.3, 0.9):
        token = token_of(
            Answer(200, GOOD | {"expires_in": 86400, "refresh_in": 43200}), NOW, random
        )
        assert token
        due.add(token.refresh_at)
    assert len(due) == 3
    assert max(due) == NOW + 43200


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, GOOD | {"access_token": value})
        for value in ("", None, 7, "a b", "a\r\nx-evil: 1", "ü", "x" * 40_000, ["a"])
    ]
    + [
        Answer(200, GOOD | {"token_type": "DPoP"}),
        Answer(201, GOOD),
        Answer(400, GOOD),
        Answer(0, GOOD),
        Answer(200, None),
    ],
)
def test_nothing_else_becomes_a_header(answer: Answer) -> None:
    assert token_of(answer, NOW, 0.5) is None
