"""How do values.yaml, values.schema.json and the README's table stay what the model says?

`make charts` writes them; a test fails where they are not current.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.config.schema import schema as attache_yaml
from charts.injector_values import InjectorValues
from charts.values import Values

CHART = Path(__file__).parent / "attache"
INJECTOR = Path(__file__).parent / "attache-injector"
BEGIN, END = "<!-- values: made by `make charts` -->\n", "<!-- end of values -->\n"
# What Helm 3 reads as well as Helm 4.
DIALECT = "http://json-schema.org/draft-07/schema#"


def values_yaml(model: BaseModel) -> str:
    """Return values.yaml: every value with its default, and above it what it means."""
    source = type(model).__module__.rpartition(".")[2]
    head = (
        f"# Made by `make charts` from charts/{source}.py. A table of all values is in README.md.\n"
    )
    return head + "".join(_lines(model, 0))


def table(model: BaseModel) -> str:
    """Return the README's table of all values."""
    rows = [
        f"| `{key}` | {kind} | `{default}` | {text} |\n"
        for key, kind, default, text in _rows(model)
    ]
    return "| key | type | default | description |\n|---|---|---|---|\n" + "".join(rows)


def values_schema() -> dict[str, Any]:
    """Return values.schema.json: the chart's own values, and attache.yaml under `config`."""
    own = Values.model_json_schema(by_alias=True)
    config = attache_yaml()
    definitions = {
        **{f"Chart{name}": part for name, part in own.pop("$defs").items()},
        **config.pop("$defs"),
    }
    config.pop("$schema")
    own = _renamed(own)
    # Empty where existingConfigMap stands in its place; the templates ask for one of the two.
    own["properties"]["config"] |= {"if": {"minProperties": 1}, "then": config}
    own["properties"]["global"] = {"type": "object"}  # Helm adds it to every subchart's values
    own["properties"]["enabled"] = {"type": "boolean"}  # a parent's `condition`
    definitions = {
        name: _renamed(part) if name.startswith("Chart") else part
        for name, part in definitions.items()
    }
    whole = {"$schema": DIALECT, **own, "definitions": definitions}
    result: dict[str, Any] = json.loads(json.dumps(whole).replace('"#/$defs/', '"#/definitions/'))
    return result


def injector_schema() -> dict[str, Any]:
    """Return values.schema.json of charts/attache-injector; `injector` is injector.yaml."""
    own = _renamed(InjectorValues.model_json_schema(by_alias=True))
    definitions = {f"Chart{name}": part for name, part in own.pop("$defs").items()}
    own["properties"]["global"] = {"type": "object"}  # Helm adds it to every subchart's values
    whole = {"$schema": DIALECT, **own, "definitions": definitions}
    result: dict[str, Any] = json.loads(json.dumps(whole).replace('"#/$defs/', '"#/definitions/'))
    return result


def readme(before: str, model: BaseModel) -> str:
    """Return README.md with the table in its place."""
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{table(model)}{END}{tail}"


def files() -> dict[Path, str]:
    """Return every generated file with its content."""
    made = {}
    for chart, model, schema in (
        (CHART, Values(), values_schema()),
        (INJECTOR, InjectorValues(), injector_schema()),
    ):
        page = chart / "README.md"
        made[chart / "values.yaml"] = values_yaml(model)
        made[chart / "values.schema.json"] = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        made[page] = readme(page.read_text(), model)
    return made


def _lines(model: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        text = field.description or (value.__doc__ if isinstance(value, BaseModel) else "")
        yield f"{indent}# -- {text}\n"
        if isinstance(value, BaseModel):
            yield f"{indent}{field.alias}:\n"
            yield from _lines(value, depth + 1)
        else:
            yield f"{indent}{field.alias}: {_default(value)}\n"


def _rows(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), f"{prefix}{field.alias}"
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{key}.")
            continue
        yield key, _kind(value, field), _default(value), str(field.description)
        for item in _items(field):
            for inner, part in item.model_fields.items():
                default = "" if part.is_required() else _default(part.default)
                if not isinstance(part.default, BaseModel):
                    yield (
                        f"{key}[].{part.alias}",
                        _kind(part.default, part),
                        default,
                        str(part.description),
                    )
                assert inner


def _items(field: FieldInfo) -> Iterator[type[BaseModel]]:
    for argument in getattr(field.annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            yield argument


def _kind(value: Any, field: FieldInfo) -> str:
    kinds = {bool: "bool", int: "int", str: "string", list: "list", dict: "object"}
    return kinds.get(type(value), "string" if "str" in str(field.annotation) else "object")


def _default(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _renamed(node: Any) -> Any:
    """Keep the chart's definitions apart from attache.yaml's, and leave titles out."""
    if isinstance(node, list):
        return [_renamed(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.replace("#/$defs/", "#/$defs/Chart") if key == "$ref" else _renamed(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }


def main() -> None:
    """Write them."""
    for path, content in files().items():
        path.write_text(content)


if __name__ == "__main__":
    main()
