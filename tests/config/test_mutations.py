"""Whatever stands in the file, the answer is a configuration or `ConfigInvalid`."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.config.attache import Attache
from agent.config.document import Document, read
from agent.config.explanation import explain
from agent.config.loading import ConfigInvalid, missing_files, parse

EXAMPLE = Path(__file__).with_name("example.yaml").read_bytes()
TREE = read(EXAMPLE, "example.yaml")
PLACES = sorted((place for place in TREE.lines if place), key=str)

QUICK = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["none", "obo", "http://x", "[::1", "a:99999", "/", "{", "5m", "9" * 500])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["identity", "subject", "none", "obo", "name"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@QUICK
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), values, st.sampled_from(["put", "cut", "add"])),
        min_size=1,
        max_size=3,
    )
)
def test_any_value_in_any_place_is_accepted_or_explained(
    changes: list[tuple[tuple[str | int, ...], Any, str]],
) -> None:
    content = copy.deepcopy(TREE.content)
    for place, value, action in changes:
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
            *above, last = place
            owner: Any = content
            for part in above:
                owner = owner[part]
            if action == "put":
                owner[last] = value
            elif action == "cut":
                del owner[last]
            elif isinstance(owner, list):
                owner.append(value)
            else:
                owner[str(value)[:20]] = value
    try:
        config = Attache.model_validate(content)
    except ValidationError as error:
        found = explain(error, Document(content, TREE.lines, ()), "example.yaml")
        assert found
        for finding in found:
            assert finding.line >= 1
            assert finding.reason
            assert finding.remedy
            assert str(finding).isprintable()
    else:
        missing_files(config)


@QUICK
@given(
    st.lists(
        st.tuples(st.integers(0, len(EXAMPLE)), st.integers(0, 12), st.binary(max_size=6)),
        min_size=1,
        max_size=4,
    )
)
def test_any_damage_to_the_bytes_is_accepted_or_explained(
    edits: list[tuple[int, int, bytes]],
) -> None:
    content = EXAMPLE
    for start, length, insert in edits:
        content = content[:start] + insert + content[start + length :]
    check(content)


@QUICK
@given(
    st.integers(0, len(EXAMPLE)),
    st.sampled_from([*"-?:,[]{}#&*!|>'\"%@`<\\\t\n\r~", "\\U00110000", "\\ud800", "<<: *a"]),
)
def test_any_indicator_of_yaml_anywhere_is_accepted_or_explained(place: int, token: str) -> None:
    check(EXAMPLE[:place] + token.encode() + EXAMPLE[place:])


@QUICK
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_accepted_or_explained(content: bytes) -> None:
    check(content)


@pytest.mark.parametrize("length", range(0, len(EXAMPLE), 97))
def test_any_beginning_of_the_file_is_accepted_or_explained(length: int) -> None:
    check(EXAMPLE[:length])


def check(content: bytes) -> None:
    with contextlib.suppress(ConfigInvalid):
        parse(content, "example.yaml")
