"""What does an answer mean for the token that was sent?"""

from __future__ import annotations

from typing import Any

import pytest

from agent.credentials.answers import Answer
from agent.credentials.stored.record import Access
from agent.credentials.stored.reply import Granted, reply_of

NOW = 1000.0
GOOD: dict[str, Any] = {"access_token": "a", "refresh_token": "r", "expires_in": 60}
BEYOND = "x" * 40_000


@pytest.mark.must(31)
@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (Answer(200, GOOD), "Granted"),
        (Answer(400, {"error": "invalid_grant"}), "Refused"),
        (Answer(401, {"error": "invalid_grant"}), "Refused"),
        (Answer(200, {"error": "bad_refresh_token"}), "Refused"),
        (Answer(400, {"error": "interaction_required"}), "Refused"),
        (Answer(500, {"error": "invalid_grant"}), "Declined"),
        (Answer(400, {"error": "invalid_client"}), "Declined"),
        (Answer(401, {"error": "invalid_client"}), "Declined"),
        (Answer(400, {"error": "invalid_request"}), "Declined"),
        (Answer(429, None), "Declined"),
        (Answer(429, {}), "Declined"),
        (Answer(503, None), "Declined"),
        (Answer(502, GOOD), "Declined"),
        (Answer(302, None), "Declined"),
        (Answer(404, None), "Declined"),
        (Answer(200, {"error": "slow_down"}), "Declined"),
        (Answer(200, {}), "Declined"),
        (Answer(400, {"error": ["invalid_grant"]}), "Declined"),
        (Answer(200, None), "Unanswered"),  # cut off in the middle, or no JSON
        (Answer(0, failure="does not answer in time"), "Unanswered"),
        (Answer(0, sent=False), "Unsent"),
        (Answer(0, ours=True), "Unsent"),
        (Answer(500, None, sent=False), "Unsent"),  # the discovery document's
    ],
)
def test_the_table_of_answers(answer: Answer, meaning: str) -> None:
    assert type(reply_of(answer, NOW)).__name__ == meaning


@pytest.mark.parametrize(
    ("changes", "token", "access", "idle"),
    [
        ({}, "r", Access("a", NOW, NOW + 60), None),
        ({"expires_in": "60"}, "r", Access("a", NOW, NOW + 60), None),
        ({"expires_in": None}, "r", Access("a", NOW, NOW + 300), None),
        ({"expires_in": 10**30}, "r", Access("a", NOW, NOW + 7 * 86400), None),
        ({"refresh_token": None}, None, Access("a", NOW, NOW + 60), None),
        ({"refresh_token": "with space"}, None, Access("a", NOW, NOW + 60), None),
        ({"refresh_token": BEYOND}, None, Access("a", NOW, NOW + 60), None),
        ({"access_token": "a\nb"}, "r", None, None),
        ({"access_token": None}, "r", None, None),
        ({"token_type": "DPoP"}, "r", None, None),
        ({"refresh_token_expires_in": 7776000}, "r", Access("a", NOW, NOW + 60), 7776000.0),
        ({"refresh_expires_in": 1800}, "r", Access("a", NOW, NOW + 60), 1800.0),
        ({"refresh_expires_in": 0}, "r", Access("a", NOW, NOW + 60), None),
    ],
)
def test_what_is_kept_of_a_grant(
    changes: dict[str, Any], token: str | None, access: Access | None, idle: float | None
) -> None:
    reply = reply_of(Answer(200, GOOD | changes), NOW)
    assert isinstance(reply, Granted)
    assert (reply.token, reply.access, reply.idle_lifetime) == (token, access, idle)
