"""What becomes of a file of manifests? Pods in it get their agent; all else keeps every byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from agent.config.finding import Location, dotted, printable
from agent.inject import text
from agent.inject.jsonpatch import Operation, diff, equal
from agent.inject.levels import Level
from agent.inject.pod import Injected, Untouched, inject
from agent.inject.probes import refused
from agent.inject.refusal import Refusal
from agent.inject.settings import Settings
from agent.inject.wish import mode_of
from agent.inject.workloads import called, found, may_have_pods, pods
from agent.policy.routes import Routes

MAX_VALUES = 500_000  # of one document, aliases counted as often as they are used

# YAML 1.2 §9.2: these begin a line and stand in no scalar
_MARKER = re.compile(r"^(?:---|\.\.\.)(?=[ \t\r\n]|$)", re.MULTILINE)
_NOTHING = re.compile(r"(?:[ \t]*(?:#.*)?(?:\r?\n|$)|%.*(?:\r?\n|$))*")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Manifests:
    """What to apply. With `errors` there is nothing to apply: half of a file is worse than none."""

    content: bytes
    injected: int = 0
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Wrong(Exception):
    """A document that cannot be read; the text is "reason; remedy", `line` counts in it from 0."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(sentence)
        self.line = line


class _Plain(SafeConstructor):
    """Values as JSON has them: the API knows no dates."""


_Plain.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def injected(
    content: bytes, settings: Settings, level: Level, routes: Routes | None = None
) -> Manifests:
    """Return *content* (YAML documents, or JSON) with an agent in every pod that allows it.

    Pods that say `attache.dev/inject: "false"`, and those that have their agent, stay as they are.
    *level* is the Pod Security level of the namespace that they will be applied to. With the
    *routes* of their attache.yaml, a probe that no route lets in is warned of.
    """
    try:
        whole = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Manifests(b"", errors=(f"line {line}: this is not UTF-8; save the file as UTF-8",))
    bom = _BOM if whole.startswith(_BOM) else ""
    written, warnings, errors, count = [bom], list[str](), list[str](), 0
    for number, line, head, body in _documents(whole.removeprefix(_BOM)):
        where = f"document {number} (line {line})"
        try:
            document = _Document(body).inject(settings, level, routes)
        except Wrong as wrong:
            where = f"document {number} (line {line + wrong.line})"
            errors.append(printable(f"{where}: {wrong}"))
            continue
        written += [head, document.body]
        warnings += [printable(f"{where}, {said}") for said in document.warnings]
        errors += [printable(f"{where}, {said}") for said in document.errors]
        count += document.injected
    if errors:
        return Manifests(b"", warnings=tuple(warnings), errors=tuple(errors))
    return Manifests("".join(written).encode(), count, tuple(warnings))


def _documents(whole: str) -> Iterator[tuple[int, int, str, str]]:
    """Number and line of each document, the marker before it, and its text; all bytes, once."""
    starts = [match.span() for match in _MARKER.finditer(whole)]
    edges = [(0, 0), *starts, (len(whole), len(whole))]
    number = 0
    for (begin, after), (end, _) in pairwise(edges):
        head, body = whole[begin:after], whole[after:end]
        number += not _NOTHING.fullmatch(body)
        yield number, whole.count("\n", 0, begin) + 1, head, body


@dataclass(slots=True)
class _Document:
    """One document, and what is to be said about it."""

    body: str
    injected: int = 0
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def inject(self, settings: Settings, level: Level, routes: Routes | None) -> _Document:
        if _NOTHING.fullmatch(self.body):
            return self
        root = _composed(self.body)
        if not may_have_pods(_word(root, "apiVersion"), _word(root, "kind")):
            return self
        old = _loaded(self.body)
        operations: list[Operation] = []
        new: Any = old
        for owner, place in pods(old):
            name = called(found(old, owner))
            pod = found(old, place)
            outcome = (
                inject(pod, settings, level, unasked=True)
                if isinstance(pod, dict)
                else Refusal("", "there is no pod template", "write one")
            )
            if isinstance(outcome, Refusal):
                self.errors += (f"{name}: {outcome.under(dotted(place))}",)
            elif not isinstance(outcome, Untouched):
                warnings = list(outcome.warnings)
                if routes is not None:
                    proxied = mode_of(pod, settings) == "proxy"
                    inbound = settings.inbound_port if proxied else 0
                    warnings += refused(outcome.pod, routes, inbound)
                self.warnings += tuple(f"{name}: {said}" for said in warnings)
                self.injected += 1
                operations += diff(pod, outcome.pod, _pointer(place))
                new = _with(new, place, outcome)
        if operations and not self.errors:
            self._write(root, operations, new)
        return self

    def _write(self, root: Node, operations: list[Operation], new: Any) -> None:
        """Put lines in where that says what is meant; else write the document anew, and say so."""
        if (indent := _json_indent(self.body)) is not None:
            end = "\n" if self.body.endswith("\n") else ""
            start = self.body[: len(self.body) - len(self.body.lstrip())]
            self.body = start + json.dumps(new, indent=indent or None, ensure_ascii=False) + end
            return
        try:
            edited = text.edited(self.body, root, operations)
            if equal(_loaded(edited), new):
                self.body = edited
                return
        except (text.Untouchable, Wrong):
            pass
        start = "\n" if self.body.startswith(("\n", "\r\n")) else ""
        self.body = start + "\n".join(text.block(new)) + "\n"
        self.warnings += (
            f"{called(new)}: it was written anew without its comments, for its pods are described "
            "by anchors or merge keys",
        )


def _composed(body: str) -> Node:
    """The nodes of *body* with their places in it."""
    try:
        root: Node = YAML(pure=True).compose(body)
        return root
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise Wrong(f"this is not YAML: {said}; correct it", mark.line if mark else 0) from None
    except (YAMLError, ValueError, OverflowError):
        raise Wrong("this is not YAML: a character that YAML does not know; correct it") from None
    except RecursionError:
        raise Wrong("this is nested too deeply; write it flatter") from None


def _loaded(body: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Plain
    try:
        value = yaml.load(body)
        _count(value)
    except MarkedYAMLError as error:
        said = str(error.problem or error.context or "").partition("\n")[0]
        line = error.problem_mark.line if error.problem_mark else 0
        raise Wrong(f"this cannot be read: {said}; correct it", line) from None
    except RecursionError:
        raise Wrong("this is nested too deeply; write it flatter") from None
    return value


def _count(value: Any) -> None:
    """Refuse what a few aliases have blown up."""
    left, waiting = MAX_VALUES, [value]
    while waiting:
        left -= 1
        if left < 0:
            raise Wrong(f"this holds more than {MAX_VALUES} values; split it")
        item = waiting.pop()
        if isinstance(item, (dict, list)):
            waiting.extend(item.values() if isinstance(item, dict) else item)


def _word(root: Node, name: str) -> str:
    if isinstance(root, MappingNode):
        for key, value in root.value:
            if isinstance(key, ScalarNode) and key.value == name and isinstance(value, ScalarNode):
                return str(value.value)
    return ""


def _pointer(place: Location) -> str:
    return "".join(f"/{step}" for step in place)


def _with(tree: Any, place: Location, outcome: Injected) -> Any:
    """*tree* with another pod at *place*; what it shares with the old tree is not touched."""
    if not place:
        return outcome.pod
    step, rest = place[0], place[1:]
    if isinstance(tree, list):
        assert isinstance(step, int)
        return [*tree[:step], _with(tree[step], rest, outcome), *tree[step + 1 :]]
    return {**tree, step: _with(tree[step], rest, outcome)}


def _json_indent(body: str) -> int | None:
    """How far JSON is indented (0: it is one line); None for what is no JSON."""
    if not body.lstrip().startswith("{"):
        return None
    try:
        json.loads(body)
    except ValueError:
        return None
    match = re.match(r"\s*\{\r?\n( +)", body)
    return len(match[1]) if match else 0
