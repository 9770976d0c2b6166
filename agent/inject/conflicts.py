"""What in this pod cannot stand beside an agent? One rule a function, the first finding wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.inject import names
from agent.inject.anatomy import Tree
from agent.inject.refusal import Refusal
from agent.inject.settings import Settings
from agent.inject.wish import Wish

Check = Callable[[Tree, Wish, Settings], Refusal | None]


def _containers(spec: Tree) -> Iterator[tuple[str, Tree]]:
    """Each container of the pod, and where it stands."""
    for key in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(key) or []):
            yield f"spec.{key}[{index}]", container


def operating_system(spec: Tree, _asked: Wish, _settings: Settings) -> Refusal | None:
    """Envoy's image and ours are Linux's."""
    if (spec.get("os") or {}).get("name") == "windows":
        return Refusal("spec.os", "the agent runs on Linux only", "exempt this pod")
    return None


def shared_namespaces(spec: Tree, _asked: Wish, _settings: Settings) -> Refusal | None:
    """The pod's network and processes must be its own (SECURITY.md 24)."""
    if spec.get("hostNetwork"):
        return Refusal(
            "spec.hostNetwork", "the pod shares its node's network, where nothing keeps callers "
            "from going past Envoy", f'remove hostNetwork, or write {names.INJECT}: "false"',
        )  # fmt: skip
    for key in ("hostPID", "shareProcessNamespace"):
        if spec.get(key):
            return Refusal(
                f"spec.{key}", "the agent's memory and files could be read from another container",
                f'remove {key}, or write {names.INJECT}: "false"',
            )  # fmt: skip
    return None


def ends(spec: Tree, _asked: Wish, settings: Settings) -> Refusal | None:
    """An ordinary container never ends, and so neither would a Job."""
    policy = spec.get("restartPolicy") or "Always"
    if settings.sidecars == "ordinary" and policy != "Always":
        return Refusal(
            "spec.restartPolicy", "the pod would never end, for the agent is an ordinary container",
            "use native sidecars (sidecars: native, Kubernetes 1.29 or later)",
        )  # fmt: skip
    return None


def taken_names(spec: Tree, _asked: Wish, _settings: Settings) -> Refusal | None:
    """Containers and volumes are called as docs/decisions/017 says, and nobody else's are."""
    for at, container in _containers(spec):
        if container["name"] in names.CONTAINERS:
            return Refusal(
                f"{at}.name", f"'{container['name']}' is the name of a container of the agent",
                "rename yours",
            )  # fmt: skip
        for index, mount in enumerate(container.get("volumeMounts") or []):
            # The volume will exist, and with it the way to the agent's socket.
            if mount and (mount.get("name") or "").startswith(names.VOLUMES):
                return Refusal(
                    f"{at}.volumeMounts[{index}]", f"'{mount['name']}' is a volume of the agent",
                    "mount volumes of your own only",
                )  # fmt: skip
    for index, volume in enumerate(spec.get("volumes") or []):
        if volume["name"].startswith(names.VOLUMES):
            return Refusal(
                f"spec.volumes[{index}].name", f"names that begin with '{names.VOLUMES}' are the "
                "agent's", "rename your volume",
            )  # fmt: skip
    return None


def taken_uids(spec: Tree, _asked: Wish, _settings: Settings) -> Refusal | None:
    """Redirected packets pass by uid, and files of the agent are open to it."""
    ours = (names.AGENT_UID, names.ENVOY_UID)
    places = [("spec", spec), *_containers(spec)]
    for at, holder in places:
        uid = (holder.get("securityContext") or {}).get("runAsUser")
        if uid in ours:
            return Refusal(
                f"{at}.securityContext.runAsUser", f"{uid} is the user of the agent or its Envoy, "
                "whose packets are not redirected", "choose another uid",
            )  # fmt: skip
    return None


def taken_ports(spec: Tree, asked: Wish, _settings: Settings) -> Refusal | None:
    """One network, so one of each port; and none that leads past Envoy."""
    ours = names.OWN_PORTS | {asked.inbound_port, asked.outbound_port}
    for at, container in _containers(spec):
        for index, port in enumerate(container.get("ports") or []):
            where, number = f"{at}.ports[{index}]", (port or {}).get("containerPort")
            if (port or {}).get("hostPort"):
                return Refusal(
                    f"{where}.hostPort", "a port of the node would lead to the application past "
                    "the Service", f'remove hostPort and use a Service, or write {names.INJECT}: '
                    '"false"',
                )  # fmt: skip
            if number in ours:
                return Refusal(
                    f"{where}.containerPort", f"port {number} is the agent's or its Envoy's",
                    "let the application listen on another one",
                )  # fmt: skip
    return None


def lifted_privileges(spec: Tree, asked: Wish, _settings: Settings) -> Refusal | None:
    """Whoever may change the pod's network rules may end the redirection."""
    if asked.mode != "redirect":
        return None
    for at, container in _containers(spec):
        context = container.get("securityContext") or {}
        added = ((context.get("capabilities") or {}).get("add")) or []
        if context.get("privileged") or {"NET_ADMIN", "ALL"} & set(added):
            return Refusal(
                f"{at}.securityContext", "this container may change the pod's network rules, and "
                "with them undo the redirection", "remove privileged and NET_ADMIN",
            )  # fmt: skip
    return None


CHECKS: tuple[Check, ...] = (
    operating_system,
    shared_namespaces,
    ends,
    taken_names,
    taken_uids,
    taken_ports,
    lifted_privileges,
)


def conflict(spec: Tree, asked: Wish, settings: Settings) -> Refusal | None:
    """The first reason why the pod with *spec* can have no agent."""
    for check in CHECKS:
        if refusal := check(spec, asked, settings):
            return refusal
    return None
