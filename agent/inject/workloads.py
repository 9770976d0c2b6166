"""Where, in what a person applies, are pods described?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]

_TEMPLATE: Place = ("spec", "template")
_CORE, _APPS, _BATCH = "", "apps", "batch"
_TEMPLATES: dict[tuple[str, str], Place] = {
    (_CORE, "Pod"): (),
    (_CORE, "PodTemplate"): ("template",),
    (_CORE, "ReplicationController"): _TEMPLATE,
    (_APPS, "Deployment"): _TEMPLATE,
    (_APPS, "StatefulSet"): _TEMPLATE,
    (_APPS, "DaemonSet"): _TEMPLATE,
    (_APPS, "ReplicaSet"): _TEMPLATE,
    (_BATCH, "Job"): _TEMPLATE,
    (_BATCH, "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}


def pods(manifest: Any, at: Place = ()) -> Iterator[tuple[Place, Place]]:
    """Where each object in *manifest* stands that describes a pod, and where its pod does.

    Lists (`kind: List`, and those of one kind) are looked into; every other kind has none.
    """
    if not isinstance(manifest, dict):
        return
    kind, version = manifest.get("kind"), manifest.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return
    group = version.rpartition("/")[0]
    if (template := _TEMPLATES.get((group, kind))) is not None:
        yield at, (*at, *template)
    elif kind == "List" or (group, kind.removesuffix("List")) in _TEMPLATES:
        items = manifest.get("items")
        for index, item in enumerate(items if isinstance(items, list) else []):
            yield from pods(_typed(item, manifest), (*at, "items", index))


def _typed(item: Any, parent: dict[str, Any]) -> Any:
    """An item of a DeploymentList need not say its kind again."""
    if parent["kind"] == "List" or not isinstance(item, dict) or "kind" in item:
        return item
    kind = parent["kind"].removesuffix("List")
    return {"apiVersion": parent["apiVersion"], "kind": kind, **item}


def called(manifest: dict[str, Any], namespace: str = "") -> str:
    """The object as a person calls it: `Deployment shop/task-api`."""
    metadata = manifest.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name") or metadata.get("generateName") or "(without a name)"
    namespace = namespace or metadata.get("namespace") or ""
    return f"{manifest.get('kind') or 'object'} {namespace}{'/' if namespace else ''}{name}"


def found(manifest: Any, place: Place) -> Any:
    """What stands at *place*, None where nothing does."""
    for step in place:
        if isinstance(step, int) and isinstance(manifest, list) and step < len(manifest):
            manifest = manifest[step]
        elif isinstance(manifest, dict):
            manifest = manifest.get(step)
        else:
            return None
    return manifest


def may_have_pods(version: str, kind: str) -> bool:
    """Whether an object of this kind is worth reading whole."""
    group = version.rpartition("/")[0]
    return kind == "List" or (group, kind.removesuffix("List")) in _TEMPLATES
