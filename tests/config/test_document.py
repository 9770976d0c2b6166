"""YAML 1.2's core schema, read strictly."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agent.config.document import read

# YAML 1.2.2 §10.3.2, with the words that YAML 1.1 read otherwise.
SCALARS: dict[str, Any] = {
    "": None, "~": None, "null": None, "true": True, "False": False,
    "yes": "yes", "on": "on", "n": "n",
    "12": 12, "-3": -3, "+4": 4, "012": 12, "0o14": 12, "0xC": 12,
    "1_000": "1_000", "8:30": "8:30", "0b1": "0b1",
    "1.5": 1.5, ".5": 0.5, "1e3": 1000.0, "-.inf": -math.inf, "1.2.3": "1.2.3",
    "2024-01-31": "2024-01-31", "'12'": "12", '"true"': "true", '"\\u00e9"': "é",
    "9" * 400: "9" * 400, "1e999": math.inf,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=lambda item: str(item)[:12])
def test_a_scalar_is_read_by_the_core_schema(text: str, value: Any) -> None:
    read_value = read(f"a: {text}\n".encode(), "f").content["a"]
    assert read_value == value
    assert type(read_value) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read(b"1: a\ntrue: b\nnull: c\n", "f").content == {"1": "a", "true": "b", "null": "c"}


def test_every_key_and_item_has_its_line_and_what_is_absent_that_of_its_nearest_owner() -> None:
    document = read(b"a:\n  b:\n  - 1\n  - c: 2\n\n    d: 3\n", "f")
    assert {location: document.line(location) for location in document.lines} == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
        ("a", "b", 1, "c"): 4,
        ("a", "b", 1, "d"): 6,
    }
    assert document.line(("a", "b", 1, "gone", "x")) == 4
    assert document.line(("gone",)) == 1
