"""Which operations (RFC 6902) lead from one tree to another?

Items of a list are told apart by their `name`, as Kubernetes does, so that an inserted container
moves the others and rewrites none.
"""

from __future__ import annotations

from typing import Any

Operation = dict[str, Any]


def diff(old: Any, new: Any, path: str = "") -> list[Operation]:
    """Return operations that make *old* equal to *new*: add, replace and remove, in order."""
    if isinstance(old, dict) and isinstance(new, dict):
        return _mappings(old, new, path)
    if isinstance(old, list) and isinstance(new, list):
        return _lists(old, new, path)
    return [] if equal(old, new) else [{"op": "replace", "path": path, "value": new}]


def pointer(path: str) -> list[str]:
    """The steps of a JSON pointer (RFC 6901 §4).

    >>> pointer("/metadata/annotations/attache.dev~1inject")
    ['metadata', 'annotations', 'attache.dev/inject']
    """
    steps = path.split("/")[1:]
    return [step.replace("~1", "/").replace("~0", "~") for step in steps]


def _mappings(old: dict[str, Any], new: dict[str, Any], path: str) -> list[Operation]:
    gone = [key for key in old if key not in new]
    operations: list[Operation] = [{"op": "remove", "path": _below(path, key)} for key in gone]
    for key, value in new.items():
        if key in old:
            operations += diff(old[key], value, _below(path, key))
        else:
            operations.append({"op": "add", "path": _below(path, key), "value": value})
    return operations


def _lists(old: list[Any], new: list[Any], path: str) -> list[Operation]:
    """Insertions, where *new* is *old* with items put in between; else one replacement."""
    if not old:
        return [{"op": "replace", "path": path, "value": new}] if new else []
    operations: list[Operation] = []
    waiting = list(old)
    for index, item in enumerate(new):
        if waiting and _same(waiting[0], item):
            operations += diff(waiting.pop(0), item, f"{path}/{index}")
        else:
            operations.append({"op": "add", "path": f"{path}/{index}", "value": item})
    return [{"op": "replace", "path": path, "value": new}] if waiting else operations


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict) and "name" in old:
        return bool(old["name"] == new.get("name"))
    return equal(old, new)


def equal(old: Any, new: Any) -> bool:
    """Whether both say the same, as JSON has it: 1 is not true, and 1.0 was not written as 1."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(equal(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(equal, old, new))
    return type(old) is type(new) and bool(old == new)


def _below(path: str, key: object) -> str:
    return f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
