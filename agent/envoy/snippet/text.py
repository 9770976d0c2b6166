"""How is a snippet written, so that a person can paste it and a parser can read it?"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

_WIDTH = 4096  # no line is folded: it is copied elsewhere


@dataclass(frozen=True, slots=True)
class Part:
    """Some YAML, and what a person should know before it."""

    comment: str
    content: Mapping[str, Any]


def one_document(parts: Iterable[Part]) -> str:
    """Write *parts* as one mapping; their keys differ."""
    return "\n".join(_written(part) for part in parts)


def documents(parts: Iterable[Part]) -> str:
    """Write *parts* as documents of a stream, which kubectl applies in order."""
    return "---\n".join(_written(part) for part in parts)


def _written(part: Part) -> str:
    lines = [f"# {line}".rstrip() for line in part.comment.strip().splitlines()]
    yaml = YAML()  # block style, in the order of the mapping
    yaml.width = _WIDTH
    buffer = io.StringIO()
    if part.content:
        yaml.dump(_plain(part.content), buffer)
    return "\n".join([*lines, buffer.getvalue()])


def _plain(value: Any) -> Any:
    """Protobuf's JSON has ordered mappings in it, which YAML would tag."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
