"""What stands in the file, and on which line? One bounded document of YAML 1.2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from agent.config.finding import Finding, Location, dotted

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 50_000  # aliases counted as often as they are used: no billion laughs

# YAML 1.2.2 §10.3.2, the core schema. Whatever matches nothing is text; so is a number that
# nobody writes by hand.
_CORE: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,18}"), int),
    (re.compile(r"0o[0-7]{1,18}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,16}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda _: float("nan")),
)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values, and the line of each key and item by its location."""

    content: Any
    lines: dict[Location, int]
    duplicates: tuple[Finding, ...]

    def line(self, location: Location) -> int:
        """Return the line of *location*, or of what is nearest above it."""
        while location not in self.lines and location:
            location = location[:-1]
        return self.lines.get(location, 1)


class Unreadable(Exception):
    """There is no document; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def read(content: bytes, file: str) -> Document:
    """Return the one document in *content*; raise `Unreadable` where there is none.

    Keys are text, whatever they look like. *file* is the name that findings carry.
    """
    return _Reader(file).read(content)


@dataclass(slots=True)
class _Reader:
    file: str
    lines: dict[Location, int] = field(default_factory=dict)
    duplicates: list[Finding] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    values: int = 0

    def read(self, content: bytes) -> Document:
        text = self._text(content)
        if not text.strip():
            raise self._refused(1, "the file is empty", "write workload and listeners first")
        yaml = YAML(typ="safe", pure=True)
        try:
            events: Iterator[Event] = iter(yaml.parse(text))
            root = self._document(events)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = " ".join(part for part in (error.context, error.problem) if part)
            raise self._refused(
                mark.line + 1 if mark else 1, f"this is not YAML: {said}", _FIX_YAML
            ) from None
        except YAMLError as error:  # a character that YAML does not know (ReaderError)
            position = getattr(error, "position", 0)
            line = text.count("\n", 0, position) + 1
            raise self._refused(line, "this is not YAML: a control character", _FIX_YAML) from None
        except (ValueError, OverflowError):  # "\U00110000" is no character, and chr() says so
            raise self._refused(1, "this is not YAML: an impossible escape", _FIX_YAML) from None
        return Document(root, self.lines, tuple(self.duplicates))

    def _text(self, content: bytes) -> str:
        if len(content) > MAX_BYTES:
            raise self._refused(1, "the file is larger than 1 MiB", "remove what does not belong")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise self._refused(line, "this is not UTF-8", "save the file as UTF-8") from None

    def _document(self, events: Iterator[Event]) -> Any:
        root: Any = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                line = event.start_mark.line + 1
                if documents > 1:
                    raise self._refused(line, "a second document begins here", "write one only")
                if event.version not in (None, (1, 2)):
                    raise self._refused(line, "this is not YAML 1.2", "remove the %YAML line")
                root = self._value(next(events), events, ())
        if documents == 0:
            raise self._refused(1, "the file holds no value", "write workload and listeners first")
        return root

    def _value(self, event: Event, events: Iterator[Event], at: Location) -> Any:
        """Build the value that *event* begins; recursion is bounded by `MAX_DEPTH`."""
        line = event.start_mark.line + 1
        self.lines.setdefault(at, line)
        self._count(1, line)
        if len(at) > MAX_DEPTH:
            raise self._refused(line, f"more than {MAX_DEPTH} levels", "write it flatter")
        if isinstance(event, AliasEvent):
            return self._alias(event, line)
        if not isinstance(event, (MappingStartEvent, SequenceStartEvent, ScalarEvent)):
            raise self._refused(line, "a value is missing here", _FIX_YAML, at)
        if event.tag is not None:
            raise self._refused(line, f"tag {event.tag} is not accepted", "remove the tag", at)
        before = self.values
        value: Any
        if isinstance(event, MappingStartEvent):
            value = self._mapping(events, at)
        elif isinstance(event, SequenceStartEvent):
            value = []
            while not isinstance(item := next(events), SequenceEndEvent):
                value.append(self._value(item, events, (*at, len(value))))
        else:
            self._characters(event)
            value = _scalar(event)
        if event.anchor:
            self.anchors[event.anchor] = (value, self.values - before + 1)
        return value

    def _mapping(self, events: Iterator[Event], at: Location) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, ScalarEvent) or event.anchor or event.tag:
                raise self._refused(line, "a key here is not plain text", "write key: value", at)
            key = self._characters(event)
            if key in mapping:
                first = self.lines[*at, key]
                reason = f"'{key}' is written twice, first on line {first}"
                self.duplicates.append(
                    Finding(line, dotted((*at, key)), reason, "remove one of the two", self.file)
                )
            self.lines.setdefault((*at, key), line)
            mapping[key] = self._value(next(events), events, (*at, key))
        return mapping

    def _characters(self, event: ScalarEvent) -> str:
        """Refuse half a surrogate pair: pydantic and every encoder break on it."""
        text: str = event.value
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            line = event.start_mark.line + 1
            raise self._refused(line, "half a surrogate pair is no character", "write all of it")
        return text

    def _alias(self, event: AliasEvent, line: int) -> Any:
        if event.anchor not in self.anchors:
            raise self._refused(
                line, f"alias *{event.anchor} has no anchor above it", "write the value itself"
            )
        value, size = self.anchors[event.anchor]
        self._count(size, line)
        return value

    def _count(self, size: int, line: int) -> None:
        self.values += size
        if self.values > MAX_VALUES:
            raise self._refused(line, f"more than {MAX_VALUES} values", "use fewer aliases")

    def _refused(self, line: int, reason: str, remedy: str, at: Location = ()) -> Unreadable:
        return Unreadable(Finding(line, dotted(at), reason, remedy, self.file))


_FIX_YAML = "check indentation, quotes and brackets from this line upwards"


def _scalar(event: ScalarEvent) -> Any:
    if event.implicit[0]:  # written plainly, not in quotes
        for pattern, convert in _CORE:
            if pattern.fullmatch(event.value):
                return convert(event.value)
    return event.value
