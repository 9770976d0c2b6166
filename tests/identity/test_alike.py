"""What tokens have in common is held once, and nothing about it changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.identity import alike as module
from agent.identity.alike import alike, one_set

SAID = {
    "iss": "https://login.example/11111111-1111-4111-8111-111111111111/v2.0",
    "aud": ["api://a", "api://b"],
    "scp": "read write",
    "exp": 1,
    "nbf": 1.0,
    "admin": True,
    "none": None,
    "name": "Zoë",
    "nested": {"scp": "read write"},
}


def parsed(said: Any) -> Any:
    """As another token says it: nothing is the same object."""
    return json.loads(json.dumps(said))


def test_claims_are_what_they_were_each_of_its_own_type() -> None:
    for _ in range(2):
        found = alike(parsed(SAID))
        assert found == SAID
        assert list(found) == list(SAID)
        assert {name: type(value) for name, value in found.items()} == {
            name: type(value) for name, value in SAID.items()
        }


def test_nobody_can_write_to_them() -> None:
    with pytest.raises(TypeError):
        alike(parsed(SAID))["iss"] = "another"  # type: ignore[index]


def test_names_and_short_texts_of_two_tokens_are_the_same_objects() -> None:
    one, other = alike(parsed(SAID)), alike(parsed(SAID))
    assert all(mine is theirs for mine, theirs in zip(one, other, strict=True))
    assert all(one[name] is other[name] for name in ("iss", "scp", "name"))


def test_a_long_text_is_its_tokens_own() -> None:
    long = {"photo": "x" * (module._LONG + 1)}
    assert alike(parsed(long))["photo"] is not alike(parsed(long))["photo"]


def test_equal_sets_are_one() -> None:
    assert one_set(frozenset("ab")) is one_set(frozenset(["b", "a"]))


@pytest.mark.must(42)
def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELD", 20)
    monkeypatch.setattr(module, "_SETS", 10)
    for number in range(100):
        alike({"sub": f"user {number}", "jti": str(number)})
        one_set(frozenset({f"scope {number}"}))
        assert len(module._texts) <= 20 + 1
        assert len(module._sets) <= 10


@pytest.mark.must(42)
@pytest.mark.parametrize("scopes", [{"x" * (module._LONG + 1)}, set(map(str, range(99)))])
def test_a_large_set_is_its_tokens_own(scopes: set[str]) -> None:
    one, other = (one_set(frozenset(scopes)) for _ in range(2))
    assert one == other == scopes
    assert one is not other
