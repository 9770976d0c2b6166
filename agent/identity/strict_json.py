"""Does this text mean one JSON object, and the same one to every reader (SECURITY.md 6)?"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

MAX_DEPTH = 16

_SPACE = " \t\n\r"  # RFC 8259 §2, and no other
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotStrict(ValueError):
    """The text is no JSON object, or one that two readers could understand differently."""


def strict_object(raw: bytes) -> dict[str, Any]:
    """Return the object that *raw* holds; raise `NotStrict` with a sentence otherwise.

    Refused: anything but UTF-8, a byte order mark, duplicate members, NaN and infinities (1e999
    included), lone surrogates, nesting deeper than 16, and a top level that is no object.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrict("it is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise NotStrict("it starts with a byte order mark")
    if _deeper_than(text, MAX_DEPTH):
        raise NotStrict(f"it is nested deeper than {MAX_DEPTH}")
    text = text.strip(_SPACE)
    try:
        value, end = _DECODER.raw_decode(text)
    except NotStrict:
        raise
    except (ValueError, RecursionError):
        raise NotStrict("it is not JSON") from None
    if end != len(text):
        raise NotStrict("it is not JSON")
    if not isinstance(value, dict):
        raise NotStrict("it is not a JSON object")
    if "\\u" in text and _has_lone_surrogate(value):
        raise NotStrict("it holds a lone surrogate")
    return value


def _deeper_than(text: str, limit: int) -> bool:
    """Whether brackets outside strings nest deeper than *limit*, told before any recursion."""
    if text.count("{") + text.count("[") <= limit:
        return False
    depth = 0
    for match in _STRUCTURE.finditer(text):
        mark = match[0]
        if mark in "{[":
            depth += 1
            if depth > limit:
                return True
        elif mark in "}]":
            depth -= 1
    return False


def _has_lone_surrogate(value: object) -> bool:
    """Whether any string in *value*, names included, holds half of a surrogate pair."""
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_lone_surrogate(k) or _has_lone_surrogate(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_has_lone_surrogate, value))


def _unique(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise NotStrict("a member occurs twice")  # RFC 7519 §4: or the last one, as we choose
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotStrict("a number is out of range")
    return number


def _no_constant(text: str) -> NoReturn:
    raise NotStrict(f"{text} is no JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant, strict=True
)
