"""How does a person read what the model refused?"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.config.attache import Attache, Inconsistent
from agent.config.document import Document
from agent.config.finding import Finding, Location, dotted

Sentence = tuple[str, str]
"""A reason and its remedy."""

_SEE = "see `attache schema` for what is accepted here"
_SECRETS = frozenset(
    {"secret", "clientsecret", "password", "apikey", "token", "privatekey", "certificate", "key"}
)


def explain(
    error: ValidationError, document: Document, file: str, model: type[BaseModel] = Attache
) -> list[Finding]:
    """Return a finding for every problem that *model* found in *document*."""
    details = error.errors(include_url=False, include_input=False)
    broken = {detail["loc"][:-1] for detail in details}
    findings = []
    for detail in details:
        if detail["type"] == "too_short" and detail["loc"] in broken:
            continue  # pydantic counts the good items only; the bad ones speak for themselves
        for location, (reason, remedy) in _problems(detail, model):
            line = document.line(location)
            findings.append(Finding(line, dotted(location), reason, remedy, file))
    return findings


def _problems(detail: ErrorDetails, model: type[BaseModel]) -> Iterator[tuple[Location, Sentence]]:
    # A dict's bad key is reported at (…, key, "[key]").
    location = tuple(part for part in detail["loc"] if part != "[key]")
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Inconsistent):
        for place, text in cause.problems:
            yield place, _split(text)
    elif detail["type"] == "value_error":
        yield location, _split(str(cause))
    elif detail["type"] == "extra_forbidden":
        yield location, _unknown(location, model)
    else:
        explanation = _SENTENCES.get(detail["type"], _other)
        yield location, explanation(location, detail)


def _split(text: str) -> Sentence:
    """The model's own sentences read "reason; remedy"."""
    reason, _, remedy = text.rpartition("; ")
    return (reason, remedy) if reason else (text, _SEE)


def _unknown(location: Location, model: type[BaseModel]) -> Sentence:
    key = str(location[-1])
    known = keys_at(location[:-1], model)
    plain = key.replace("_", "").replace("-", "").lower()
    files = [name for name in known if name.endswith("File") or name == "file"] or ["secretFile"]
    if plain in _SECRETS and (plain != "key" or {"keyFile", "file"} & set(known)):
        near = difflib.get_close_matches(f"{key}File", files, n=1) or files[:1]
        return f"unknown key '{key}'", (
            f"secrets are only ever references to files; write {near[0]}: /path/to/it"
        )
    if key == "<<":
        return "merge keys are not part of YAML 1.2", "write the keys themselves"
    spellings = {name.lower(): name for name in known}
    near = difflib.get_close_matches(plain, spellings, n=1, cutoff=0.7)
    if near:
        return f"unknown key '{key}'", f"did you mean '{spellings[near[0]]}'? Rename it"
    return f"unknown key '{key}'", (
        f"remove it, or write one of {', '.join(known)}" if known else "remove it"
    )


def keys_at(location: Location, root: type[BaseModel] = Attache) -> tuple[str, ...]:
    """Return the keys that the model *root* knows at *location*, as they are written."""
    model: Any = root
    for part in location:
        inner = _model(model)
        if isinstance(part, int) or inner is None:
            continue  # an item of a list: the list's type leads to its items' model
        fields = {info.alias: info.annotation for info in inner.model_fields.values()}
        model = fields.get(part)
    found = _model(model)
    return tuple(str(info.alias) for info in found.model_fields.values()) if found else ()


def _model(annotation: Any) -> type[BaseModel] | None:
    """The configuration object inside `X`, `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) is dict:
        return None
    found = (_model(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _missing(location: Location, detail: ErrorDetails) -> Sentence:
    key = location[-1]
    return f"'{key}' is missing", f"write {key}: …"


def _text(location: Location, detail: ErrorDetails) -> Sentence:
    return "this must be text", "write a text; put a number or a date in quotes"


def _number(location: Location, detail: ErrorDetails) -> Sentence:
    return "this must be a whole number", "write digits without quotes"


def _truth(location: Location, detail: ErrorDetails) -> Sentence:
    return "this must be true or false", "write true or false without quotes"


def _list(location: Location, detail: ErrorDetails) -> Sentence:
    return "this must be a list", f"write {location[-1]}: [first, second], or one '- ' line an item"


def _mapping(location: Location, detail: ErrorDetails) -> Sentence:
    keys = keys_at(location)
    known = f"; keys here are {', '.join(keys)}" if keys else ""
    return "this must be a mapping", f"write 'key: value' lines below it{known}"


def _path(location: Location, detail: ErrorDetails) -> Sentence:
    return "this must be a file's path", "write the path as text"


def _choice(location: Location, detail: ErrorDetails) -> Sentence:
    return "this is not one of the choices", f"write {detail['ctx']['expected']}"


def _pattern(location: Location, detail: ErrorDetails) -> Sentence:
    return (
        "this is not a usable name",
        f"write letters, digits, '.', '_' and '-' only ({detail['ctx']['pattern']})",
    )


def _empty(location: Location, detail: ErrorDetails) -> Sentence:
    return "this is empty", "write at least one"


def _long(location: Location, detail: ErrorDetails) -> Sentence:
    return "this is too long", f"write at most {detail['ctx']['max_length']} characters"


def _bound(words: str, name: str) -> Callable[[Location, ErrorDetails], Sentence]:
    def explanation(location: Location, detail: ErrorDetails) -> Sentence:
        limit = f"{words} {detail['ctx'][name]:g}"
        return "this number is out of bounds", f"write {limit}"

    return explanation


def _other(location: Location, detail: ErrorDetails) -> Sentence:
    return detail["msg"][:1].lower() + detail["msg"][1:], _SEE


_SENTENCES: dict[str, Callable[[Location, ErrorDetails], Sentence]] = {
    "missing": _missing,
    "string_type": _text,
    "string_unicode": _text,
    "int_type": _number,
    "int_from_float": _number,
    "int_parsing_size": _number,
    "bool_type": _truth,
    "tuple_type": _list,
    "dict_type": _mapping,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "is_instance_of": _path,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "string_too_short": _empty,
    "too_short": _empty,
    "string_too_long": _long,
    "greater_than": _bound("a number greater than", "gt"),
    "greater_than_equal": _bound("a number of at least", "ge"),
    "less_than": _bound("a number less than", "lt"),
    "less_than_equal": _bound("a number of at most", "le"),
}
