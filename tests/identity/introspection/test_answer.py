"""What an introspection endpoint's answer means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.identity.connection import Reply
from agent.identity.introspection.answer import Active, Inactive, Trouble, read_answer
from agent.identity.unusable import Unusable

URL = "https://as.example/introspect"


def read(status: int = 200, body: Any = None, retry: float = 0.0) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(URL, "us", Reply(status, raw, retry))


def test_an_active_token_comes_with_its_claims() -> None:
    found = read(body={"active": True, "sub": "alice"})
    assert isinstance(found, Active)
    assert found.claims["sub"] == "alice"
    assert "alice" not in repr(found)


@pytest.mark.parametrize(
    "body", [{"active": False}, {"active": False, "sub": "alice", "exp": 9e9}], ids=str
)
def test_an_inactive_token_is_nobodys(body: Any) -> None:
    assert read(body=body) == Inactive()


@pytest.mark.parametrize("said", ["true", 1, 1.0, [True], {"a": True}, None, "absent"], ids=str)
def test_active_is_true_or_it_is_not(said: Any) -> None:
    body = {"sub": "alice"} | ({} if said == "absent" else {"active": said})
    found = read(body=body)
    assert isinstance(found, Inactive)
    assert URL in found.oddity


@pytest.mark.must(6)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>active: true</html>",
        b"[true]",
        b"true",
        b'{"active":false,"active":true}',
        b'{"active":true,"exp":NaN}',
        b'\xef\xbb\xbf{"active":true}',
        '{"active":true}'.encode("utf-16"),
        b'{"active":true} trailing',
        b'{"active":true',
    ],
    ids=repr,
)
def test_an_answer_that_can_be_read_two_ways_is_no_answer(body: bytes) -> None:
    found = read(body=body)
    assert isinstance(found, Trouble)
    assert not found.stop


@pytest.mark.parametrize(
    ("status", "retry", "stop", "seconds", "word"),
    [
        (401, 0, True, 0, "secret"),
        (403, 0, True, 0, "may introspect"),
        (429, 7, True, 7, "longer cache"),
        (429, 0, True, 5, "longer cache"),
        (500, 0, False, 0, "500"),
        (503, 9, False, 9, "503"),
        (400, 0, False, 0, "Check that url"),
        (404, 0, False, 0, "Check that url"),
        (204, 0, False, 0, "Check that url"),
    ],
)
def test_a_status_that_is_no_answer_is_trouble_for_the_operator_and_no_verdict(
    status: int, retry: float, stop: bool, seconds: float, word: str
) -> None:
    found = read(status, {"active": True}, retry)
    assert isinstance(found, Trouble)
    assert (found.stop, found.retry_after) == (stop, seconds)
    assert word in found.sentence
    assert URL in found.sentence


def test_what_never_arrived_is_trouble() -> None:
    assert read_answer(URL, "us", Unusable("it hung")) == Trouble("it hung")
