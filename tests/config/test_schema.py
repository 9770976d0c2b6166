"""The schema says what the model says."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.config.attache import Attache
from agent.config.document import read
from agent.config.schema import DIALECT, schema

EXAMPLE = read(Path(__file__).with_name("example.yaml").read_bytes(), "example.yaml").content
SCHEMA = schema()

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
UNDERSTOOD = {
    "$schema", "$defs", "$ref", "title", "description", "default", "type", "anyOf", "enum",
    "const", "properties", "required", "additionalProperties", "minProperties", "maxProperties",
    "items", "minItems", "minLength", "maxLength", "pattern",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
}  # fmt: skip


def errors(value: Any, node: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Where *value* breaks *node*: the part of draft 2020-12 that our schema speaks."""
    assert set(node) <= UNDERSTOOD, set(node) - UNDERSTOOD
    if "$ref" in node:
        yield from errors(value, SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")], at)
    if "anyOf" in node and all(any(errors(value, choice, at)) for choice in node["anyOf"]):
        yield f"{at}: none of anyOf"
    if "type" in node:
        fits = isinstance(value, TYPES[node["type"]])
        if not fits or (isinstance(value, bool) and node["type"] != "boolean"):
            yield f"{at}: not {node['type']}"
            return
    if value not in node.get("enum", [value]) or value != node.get("const", value):
        yield f"{at}: not one of the choices"
    if isinstance(value, dict):
        yield from object_errors(value, node, at)
    if isinstance(value, list):
        if len(value) < node.get("minItems", 0):
            yield f"{at}: too few"
        for index, item in enumerate(value):
            yield from errors(item, node.get("items", {}), f"{at}[{index}]")
    if isinstance(value, (str, int, float)):
        yield from scalar_errors(value, node, at)


def scalar_errors(value: Any, node: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, str):
        if not node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)):
            yield f"{at}: length"
        if not re.search(node.get("pattern", ""), value):
            yield f"{at}: pattern"
    else:
        if not node.get("minimum", value) <= value <= node.get("maximum", value):
            yield f"{at}: bounds"
        if value <= node.get("exclusiveMinimum", value - 1):
            yield f"{at}: bounds"


def object_errors(value: dict[str, Any], node: dict[str, Any], at: str) -> Iterator[str]:
    for key in node.get("required", ()):
        if key not in value:
            yield f"{at}: no {key}"
    if not node.get("minProperties", 0) <= len(value) <= node.get("maxProperties", len(value)):
        yield f"{at}: number of keys"
    for key, item in value.items():
        known = node.get("properties", {})
        if key in known:
            yield from errors(item, known[key], f"{at}.{key}")
        elif node.get("additionalProperties") is False:
            yield f"{at}: unknown {key}"
        elif isinstance(node.get("additionalProperties"), dict):
            yield from errors(item, node["additionalProperties"], f"{at}.{key}")


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in *value*, except the one whose keys are the operator's own (headers)."""
    if isinstance(value, dict):
        yield value
        for key, item in value.items():
            if key != "headers":
                yield from objects(item)
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from nodes(item)
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)


def test_the_documented_example_meets_the_schema_and_the_model() -> None:
    assert list(errors(EXAMPLE, SCHEMA)) == []
    Attache.model_validate(EXAMPLE)


@pytest.mark.must(49)
def test_an_unknown_key_anywhere_in_the_example_is_refused_by_schema_and_model() -> None:
    count = sum(1 for _ in objects(EXAMPLE))
    assert count > 30
    for position in range(count):
        changed = copy.deepcopy(EXAMPLE)
        list(objects(changed))[position]["unknownKey"] = 1
        assert list(errors(changed, SCHEMA)), list(objects(changed))[position]
        with pytest.raises(ValidationError):
            Attache.model_validate(changed)


def test_every_object_of_the_schema_is_closed() -> None:
    for node in nodes(SCHEMA):
        if node.get("type") == "object" and "properties" in node:
            assert node["additionalProperties"] is False


def test_every_key_is_in_camel_case_and_described() -> None:
    def described(node: dict[str, Any]) -> bool:
        inner = [*node.get("anyOf", ()), *filter(None, [node.get("items")])]
        return bool({"description", "$ref"} & set(node)) or any(map(described, inner))

    for owner in (SCHEMA, *SCHEMA["$defs"].values()):
        for key, node in owner.get("properties", {}).items():
            assert re.fullmatch(r"[a-z][a-zA-Z0-9]*", key)
            assert described(node), key


def test_the_schema_speaks_draft_2020_12_and_only_words_that_it_has() -> None:
    assert SCHEMA["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    list(errors(EXAMPLE, SCHEMA))
    for definition in SCHEMA["$defs"].values():
        for node in (definition, *definition.get("properties", {}).values()):
            assert set(node) <= UNDERSTOOD


SHORT = [
    ("none", True),
    ("forward", True),
    ("magic", False),
    ({"forward": None}, True),
    ({"internal": {"audience": "a"}, "subject": "app"}, True),
    ({"obo": {"identity": "task-api", "scopes": []}}, False),
    ({}, False),
]


@pytest.mark.parametrize(("credential", "good"), SHORT)
def test_schema_and_model_agree_on_short_credentials(credential: Any, good: bool) -> None:
    changed = copy.deepcopy(EXAMPLE)
    changed["destinations"][2]["credential"] = credential
    assert (not list(errors(changed, SCHEMA))) is good
    if good:
        Attache.model_validate(changed)
    else:
        with pytest.raises(ValidationError):
            Attache.model_validate(changed)


DEFAULTS = [("Agent", "admin", "127.0.0.1:15020"), ("Agent", "socket", "/run/attache/agent.sock")]


@pytest.mark.parametrize(("owner", "key", "value"), DEFAULTS)
def test_defaults_are_shown_as_they_are_written(owner: str, key: str, value: str) -> None:
    assert SCHEMA["$defs"][owner]["properties"][key]["default"] == value


@pytest.mark.parametrize(("bound", "value"), [("maximum", 300), ("exclusiveMinimum", 0)])
def test_bounds_of_durations_are_in_the_words_of_json_schema(bound: str, value: int) -> None:
    assert SCHEMA["$defs"]["Agent"]["properties"]["clockSkew"][bound] == value
