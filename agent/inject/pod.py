"""What becomes of a pod that gets an agent? Pure: the pod in, the pod or a refusal out."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from agent import __version__
from agent.inject import application, containers, names
from agent.inject.anatomy import Tree, malformed
from agent.inject.conflicts import conflict
from agent.inject.levels import Level, forbidden
from agent.inject.refusal import Refusal
from agent.inject.settings import Settings
from agent.inject.wish import Wish, answer, wish


@dataclass(frozen=True, slots=True)
class Injected:
    """The pod with its agent, and what its owner should know, a sentence each."""

    pod: Tree
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Untouched:
    """The pod stays as it is; `why` is for a log."""

    why: str


Outcome = Injected | Untouched | Refusal


def inject(pod: Tree, settings: Settings, level: Level | None, unasked: bool = False) -> Outcome:
    """Return *pod* (or a pod's template) with an agent beside it.

    *level* is the Pod Security level of its namespace, None where that is not known. *unasked*:
    pods that say nothing get an agent too, as where the namespace asks for all. Idempotent;
    *pod* itself is never changed.
    """
    if refusal := malformed(pod):
        return refusal
    metadata, spec = pod.get("metadata") or {}, pod["spec"]
    said = answer(metadata)
    if isinstance(said, Refusal):
        return said
    if said is False or (said is None and not unasked):
        return Untouched("it does not ask for an agent")
    there = _there(spec)
    if names.INJECTED in (metadata.get("annotations") or {}):
        if there:
            return Untouched("it has its agent")
        return Refusal(
            f"metadata.annotations['{names.INJECTED}']", "the pod says that it has an agent, and "
            "has none", "remove this annotation; it is ours to write",
        )  # fmt: skip
    if there:
        return Untouched("it has an agent of its own chart")
    asked = wish(metadata, settings)
    if isinstance(asked, Refusal):
        return asked
    refusal = (
        forbidden(asked, level)
        or conflict(spec, asked, settings)
        or application.taken_proxy(spec, asked)
    )
    return refusal or _with_agent(pod, asked, settings)


def _there(spec: Tree) -> bool:
    """Whether the pod has both, the agent and its Envoy, wherever they stand."""
    every = [*(spec.get("initContainers") or []), *spec["containers"]]
    return {names.AGENT, names.ENVOY} <= {container["name"] for container in every}


def _with_agent(pod: Tree, asked: Wish, settings: Settings) -> Injected:
    metadata, spec = {**(pod.get("metadata") or {})}, {**pod["spec"]}
    drain = settings.drain_seconds
    own = [application.changed(container, asked, drain) for container in spec["containers"]]
    sidecars = [containers.agent(asked, settings), containers.envoy(asked, settings)]
    before = [containers.init(asked, settings)]
    if settings.sidecars == "native":
        before += sidecars
        sidecars = []
    spec["initContainers"] = [*before, *(spec.get("initContainers") or [])]
    spec["containers"] = [*own, *sidecars]
    spec["volumes"] = [*(spec.get("volumes") or []), *containers.volumes(asked)]
    annotations = {**(metadata.get("annotations") or {}), names.INJECTED: __version__}
    annotations.setdefault(names.DEFAULT_CONTAINER, own[0]["name"])
    metadata["annotations"] = annotations
    warnings = application.warnings(pod["spec"], asked)
    if settings.sidecars == "ordinary" and asked.mode == "redirect":
        warnings += [
            f"init container '{container['name']}' runs before Envoy does and reaches nothing; use "
            "native sidecars, or exclude what it needs"
            for container in pod["spec"].get("initContainers") or []
        ]
    # Deep: what is patched in shares nothing with what came in.
    return Injected(deepcopy({**pod, "metadata": metadata, "spec": spec}), tuple(warnings))
