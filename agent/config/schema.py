"""What may stand in attache.yaml, for editors and other programs? JSON Schema, draft 2020-12."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from agent.config.attache import Attache
from agent.config.destinations import CredentialChoice
from agent.config.fields import Address

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_WORDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def schema() -> dict[str, Any]:
    """Return the schema of attache.yaml: camelCase keys, unknown ones refused everywhere."""
    built = Attache.model_json_schema(by_alias=True, schema_generator=_Plain)
    tidy: dict[str, Any] = _tidy(built)
    _credentials(tidy["$defs"])
    return {"$schema": DIALECT, "title": "attache.yaml", **tidy}


class _Plain(GenerateJsonSchema):
    """Pydantic's generator without the titles, which repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Address) else super().encode_default(dft)


def _tidy(node: Any) -> Any:
    """Say bounds in JSON Schema's words, and defaults as they would be written."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        # Pydantic leaves its own words where it does not know the type (Duration).
        _WORDS.get(key, key): _tidy(value)
        for key, value in node.items()
        # A null default only says that the key may be left out; a model's title is its class.
        if not (key == "default" and value is None) and not (key == "title" and "type" in node)
    }


def _credentials(definitions: dict[str, Any]) -> None:
    """What the model accepts before it looks: a kind by its name alone, `subject` beside it."""
    choice = definitions[CredentialChoice.__name__]
    kinds = sorted(choice["properties"])
    choice["properties"]["subject"] = {
        "enum": ["user", "app", "either"],
        "description": "For whom the call is made; the same as subject inside the kind.",
    }
    choice["minProperties"] = 1
    choice["maxProperties"] = 2
    credential = definitions["Destination"]["properties"]["credential"]
    reference = {"$ref": credential.pop("$ref")} if "$ref" in credential else credential
    definitions["Destination"]["properties"]["credential"] = {
        "description": "The one credential that this destination gets.",
        "default": "none",
        "anyOf": [reference, {"enum": kinds}],
    }
