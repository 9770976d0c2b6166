"""What stands where in a YAML or JSON file? Typed reading with line-precise errors."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

T = TypeVar("T")


class DocumentError(ValueError):
    """A file says something it may not say: where, what, and what to do."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a document, and the way there."""

    source: str
    path: str
    node: Node

    def fail(self, reason: str) -> DocumentError:
        """Return the error *reason* at this value's line."""
        line = self.node.start_mark.line + 1
        where = f"{self.path}: " if self.path else ""
        return DocumentError(f"{self.source}:{line}: {where}{reason}")

    def members(self, allowed: Iterable[str], required: Iterable[str] = ()) -> "Members":
        """Return the members of a mapping that has no others than *allowed*."""
        found: dict[str, Value] = {}
        for key, value in self.pairs():
            if key in found:
                raise value.fail("is given twice")
            found[key] = value
        names = (*required, *allowed)
        for key, value in found.items():
            if key not in names:
                raise value.fail(f"unknown key; known here: {', '.join(sorted(names))}")
        for name in required:
            if name not in found:
                raise self.fail(f"'{name}' is missing")
        return Members(found)

    def pairs(self) -> Iterator[tuple[str, "Value"]]:
        """Yield the members of a mapping, whatever their names."""
        if not isinstance(self.node, MappingNode):
            raise self.fail("must be a mapping")
        for key, value in self.node.value:
            name = str(key.value)
            yield name, Value(self.source, f"{self.path}.{name}".lstrip("."), value)

    def items(self) -> Iterator["Value"]:
        """Yield the items of a list."""
        if not isinstance(self.node, SequenceNode):
            raise self.fail("must be a list")
        for index, item in enumerate(self.node.value):
            yield Value(self.source, f"{self.path}[{index}]", item)

    def text(self) -> str:
        """Return a string that is not empty."""
        scalar = self._scalar("str", "a string")
        if not scalar:
            raise self.fail("must not be empty")
        return scalar

    def flag(self) -> bool:
        """Return true or false."""
        return self._scalar("bool", "true or false").lower() == "true"

    def integer(self) -> int:
        """Return a whole number."""
        return int(self._scalar("int", "a whole number"))

    def moment(self) -> int:
        """Return an RFC 3339 time as UTC seconds since the epoch."""
        text = self.node.value if isinstance(self.node, ScalarNode) else ""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self.fail("must be a time such as 2030-01-31T00:00:00Z") from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())

    def texts(self) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(item.text() for item in self.items())

    def _scalar(self, tag: str, wanted: str) -> str:
        if not isinstance(self.node, ScalarNode) or not str(self.node.tag).endswith(f":{tag}"):
            raise self.fail(f"must be {wanted}")
        return str(self.node.value)


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a mapping by name."""

    found: dict[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.found[name]

    def get(self, name: str, read: Callable[[Value], T], default: T) -> T:
        """Return what *read* makes of a member, or *default* if it is not there."""
        value = self.found.get(name)
        return default if value is None else read(value)

    def each(self, name: str, read: Callable[[Value], T]) -> tuple[T, ...]:
        """Return what *read* makes of each item of a list that may be missing."""
        value = self.found.get(name)
        return () if value is None else tuple(read(item) for item in value.items())


def read(text: str, source: str) -> Value:
    """Read YAML or JSON. *source* names it in errors. Raises DocumentError."""
    yaml = YAML(typ="safe", pure=True)
    try:
        node: Any = yaml.compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError(f"{source}:{line}: {error.problem}") from None
    if node is None:
        raise DocumentError(f"{source}:1: the file is empty")
    return Value(source, "", node)
