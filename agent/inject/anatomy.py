"""Is this a pod at all, as far as we read it?

The API server has checked what it sends; a file has been checked by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.inject.refusal import Refusal

Tree = dict[str, Any]
"""A pod, or a pod's template: `metadata` and `spec`, as JSON has them."""

_SHAPES: dict[str, Any] = {
    "metadata": {"annotations": {str: str}, "labels": {str: str}, "name": str, "generateName": str},
    "spec": {
        "securityContext": {"runAsUser": int},
        "os": {"name": str},
        "restartPolicy": str,
        "hostNetwork": bool,
        "hostPID": bool,
        "shareProcessNamespace": bool,
        "volumes": [{"name": str}],
        "initContainers": ["container"],
        "containers": ["container"],
    },
}
_PROBE = {
    handler: {"port": (int, str), "host": str} for handler in ("httpGet", "tcpSocket", "grpc")
}
_CONTAINER: dict[str, Any] = {
    "name": str,
    "image": str,
    "restartPolicy": str,
    "ports": [{"name": str, "containerPort": int, "hostPort": int}],
    "env": [{"name": str}],
    "volumeMounts": [{"name": str, "mountPath": str}],
    "securityContext": {"runAsUser": int, "privileged": bool, "capabilities": {"add": [str]}},
    "lifecycle": {"preStop": _PROBE, "postStart": _PROBE},
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "startupProbe": _PROBE,
}
_WORDS = {
    str: "text (in quotes)", int: "a number", bool: "true or false", (int, str): "a port"
}  # fmt: skip


def malformed(pod: Any) -> Refusal | None:
    """The first place where *pod* is no pod; null stands for what is absent, as in the API."""
    found = next(_wrong(pod, _SHAPES, ""), None)
    if found is not None:
        return found
    if not (pod.get("spec") or {}).get("containers"):
        return Refusal("spec.containers", "the pod has no container", "write at least one")
    for key in ("containers", "initContainers", "volumes"):
        for index, item in enumerate(pod["spec"].get(key) or []):
            if not item or not item.get("name"):
                return Refusal(f"spec.{key}[{index}]", "there is no name", "give it one")
    return None


def _wrong(value: Any, shape: Any, at: str) -> Iterator[Refusal]:
    if value is None:
        return
    if shape == "container":
        shape = _CONTAINER
    if isinstance(shape, dict):
        yield from _wrong_mapping(value, shape, at)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield Refusal(at, "this is no list", "begin its items with -")
            return
        for index, item in enumerate(value):
            yield from _wrong(item, shape[0], f"{at}[{index}]")
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
        yield Refusal(at, f"this is not {_WORDS[shape]}", "write it so")


def _wrong_mapping(value: Any, shape: dict[Any, Any], at: str) -> Iterator[Refusal]:
    if not isinstance(value, dict):
        yield Refusal(at, "this is no mapping", "write keys and values")
    elif str in shape:  # any keys
        for name, item in value.items():
            place = f"{at}['{name}']"
            if not isinstance(name, str):
                yield Refusal(place, "this key is no text", "put it in quotes")
            elif not isinstance(item, str):
                yield Refusal(place, "this is not text (in quotes)", "put it in quotes")
    else:
        for name, inner in shape.items():
            if name in value:
                yield from _wrong(value[name], inner, f"{at}.{name}" if at else name)
