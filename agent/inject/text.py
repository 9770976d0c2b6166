"""How are operations written into YAML so that every other byte stays as it was?

Comments, quotes, blank lines and order are somebody's work: lines are put in, nothing is rewritten.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from agent.inject.jsonpatch import Operation, pointer

Edit = tuple[int, int, str]
"""From where to where, and what stands there instead."""

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*|[0-9]+(m|Mi|Gi)")
# YAML 1.1, which kubectl reads: https://yaml.org/type/bool.html
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])
STEP = 2  # columns of what we write


class Untouchable(Exception):
    """This text is written in a way that no line can be put into."""


def edited(text: str, root: Node, operations: Iterable[Operation]) -> str:
    """Return *text* (whose nodes are *root*) with *operations* in it; `Untouchable` where not."""
    newline = "\r\n" if "\r\n" in text else "\n"
    edits = []
    put: Counter[str] = Counter()  # into each list; operations count what came before them in
    for operation in operations:
        steps = pointer(operation["path"])
        parent = _at(root, steps[:-1])
        if operation["op"] == "add" and isinstance(parent, SequenceNode):
            above = operation["path"].rpartition("/")[0]
            index = int(steps[-1]) - put[above]
            put[above] += 1
            edits.append(_item(text, root, steps[:-1], index, operation["value"]))
        else:
            edits.append(_edit(text, parent, operation["op"], steps[-1], operation["value"]))
    pieces, at = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[0]):  # stable: see jsonpatch.diff
        if start < at:
            raise Untouchable
        pieces += [text[at:start], new.replace("\n", newline)]
        at = end
    return "".join([*pieces, text[at:]])


def _edit(text: str, parent: Node, verb: str, step: str, value: Any) -> Edit:
    if verb == "replace":
        return _replaced(text, parent, step, value)
    if verb != "add" or not isinstance(parent, MappingNode):
        raise Untouchable
    if _flow(parent):
        return _before_closing(parent, f"{json.dumps(step)}: {json.dumps(value)}")
    column = parent.start_mark.column
    return _line(text, _end(text, parent, column), _pair(step, value, column))


def _item(text: str, root: Node, steps: list[str], index: int, value: Any) -> Edit:
    """Put *value* before the item that stands at *index* of the list at *steps*."""
    parent = _at(root, steps)
    if _flow(parent):
        if index == len(parent.value):
            return _before_closing(parent, json.dumps(value))
        at = parent.value[index].start_mark.index
        return at, at, f"{json.dumps(value)}, "
    column = parent.start_mark.column
    lines = _items([value], column)
    if index:
        return _line(text, _end(text, parent.value[index - 1], column), lines)
    key = _pair_of(_at(root, steps[:-1]), steps[-1])[0]
    return _line(text, key.end_mark.index, lines)  # above the comment on the first of theirs


def _replaced(text: str, parent: Node, step: str, value: Any) -> Edit:
    """Put *value* in the place of a scalar, of nothing, or of a collection of nothing."""
    node = _at(parent, [step])
    if node.style in ("|", ">") if isinstance(node, ScalarNode) else node.value:
        raise Untouchable
    start, end = node.start_mark.index, node.end_mark.index
    if start == end:  # its mark may stand lines below
        colon = text.index(":", _pair_of(parent, step)[0].end_mark.index) + 1
        if isinstance(value, dict) and not _flow(parent):
            return _line(text, colon, block(value, parent.start_mark.column + STEP))
        return colon, colon, f" {json.dumps(value)}"
    return start, end, json.dumps(value)


def _flow(node: Node) -> bool:
    return isinstance(node, CollectionNode) and bool(node.flow_style)


def _before_closing(node: Node, words: str) -> Edit:
    at = node.end_mark.index - 1
    return at, at, f", {words}" if node.value else words


def _line(text: str, after: int, lines: list[str]) -> Edit:
    """*lines* below the line in which *after* stands."""
    at = text.find("\n", after)
    written = "\n".join(lines)
    if at < 0:
        return len(text), len(text), "\n" + written
    return at + 1, at + 1, written + "\n"


def _end(text: str, node: Node, column: int) -> int:
    """Where the last character of *node* stands; comments and blank lines below are not its."""
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        return _end_of_block(text, node, column)
    if not isinstance(node, (MappingNode, SequenceNode)) or _flow(node):
        return int(node.end_mark.index)
    if not node.value:
        raise Untouchable
    last = node.value[-1]
    if isinstance(node, MappingNode):
        key, last = last
        if isinstance(last, ScalarNode) and last.start_mark.index == last.end_mark.index:
            return int(key.end_mark.index)
    if last.start_mark.index < node.start_mark.index:  # an alias: the text stands elsewhere
        raise Untouchable
    return _end(text, last, node.start_mark.column)


def _end_of_block(text: str, node: Node, column: int) -> int:
    """A block scalar ends where a line is not indented more than its parent (YAML 1.2 §8.1)."""
    at = end = text.find("\n", node.start_mark.index)
    keeps = "+" in text[node.start_mark.index : max(at, 0)].partition("#")[0]  # §8.1.1.2
    while at >= 0:
        following = text.find("\n", at + 1)
        line = text[at + 1 : following if following >= 0 else len(text)]
        if line.strip():
            if len(line) - len(line.lstrip(" ")) <= column:
                break
            end = at + 1
        elif keeps and following >= 0:
            end = at + 1
        at = following
    return max(end, 0)


def _at(node: Node, steps: list[str]) -> Node:
    for step in steps:
        if isinstance(node, SequenceNode):
            if int(step) >= len(node.value):
                raise Untouchable
            node = node.value[int(step)]
        else:
            node = _pair_of(node, step)[1]
        if node.anchor:  # what is changed here would change elsewhere too
            raise Untouchable
    return node


def _pair_of(node: Node, name: str) -> tuple[Node, Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == name:
                return key, value
    raise Untouchable


def block(value: Any, column: int = 0) -> list[str]:
    """The lines of *value* as YAML, the first one at *column* too."""
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _pair(key, item, column)]
    if isinstance(value, list) and value:
        return _items(value, column)
    return [" " * column + _scalar(value)]


def _pair(key: str, value: Any, column: int) -> list[str]:
    start = f"{' ' * column}{_scalar(key)}:"
    if isinstance(value, (dict, list)) and value:
        return [start, *block(value, column + STEP)]
    return [f"{start} {_scalar(value)}"]


def _items(values: list[Any], column: int) -> list[str]:
    lines: list[str] = []
    for value in values:
        inner = block(value, column + STEP)
        lines += [f"{' ' * column}- {inner[0].lstrip(' ')}", *inner[1:]]
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)
