"""What changes in the application's own containers? The least that makes them go through Envoy."""

from __future__ import annotations

from typing import Any

from agent.inject import names
from agent.inject.anatomy import Tree
from agent.inject.refusal import Refusal
from agent.inject.wish import Wish

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HANDLERS = ("httpGet", "grpc", "tcpSocket")
_NO_PROXY = "127.0.0.1,localhost"


def taken_proxy(spec: Tree, asked: Wish) -> Refusal | None:
    """Proxy mode needs the application's HTTP_PROXY; another proxy there would be asked instead."""
    ours = _proxy(asked)
    if not ours:
        return None
    for at, container in enumerate(spec["containers"]):
        for index, variable in enumerate(container.get("env") or []):
            name, value = (variable or {}).get("name"), (variable or {}).get("value")
            if name in ("HTTP_PROXY", "http_proxy") and value != ours:
                return Refusal(
                    f"spec.containers[{at}].env[{index}]", f"{name} names another proxy, so calls "
                    "would not pass the agent", "remove it; attache.yaml says where each "
                    "destination really is",
                )  # fmt: skip
    return None


def changed(container: Tree, asked: Wish, drain: int) -> Tree:
    """*container* as it stands beside the agent; equal to it where nothing is to be done.

    *drain* is how many seconds it outlives its pod's place behind the Service.
    """
    changed = {**container}
    lifecycle = changed.get("lifecycle") or {}
    if drain and not lifecycle.get("preStop"):
        changed["lifecycle"] = {**lifecycle, "preStop": {"sleep": {"seconds": drain}}}
    if proxy := _proxy(asked):
        env = list(changed.get("env") or [])
        there = {(variable or {}).get("name") for variable in env}
        for name, value in (
            ("HTTP_PROXY", proxy), ("http_proxy", proxy),
            ("NO_PROXY", _NO_PROXY), ("no_proxy", _NO_PROXY),
        ):  # fmt: skip
            if name not in there:
                env.append({"name": name, "value": value})
        changed["env"] = env
    if asked.mode == "proxy" and asked.application_port and asked.inbound_port:
        for name in _PROBES:
            if probe := changed.get(name):
                changed[name] = _through_envoy(probe, container, asked)
    return changed


def warnings(spec: Tree, asked: Wish) -> list[str]:
    """What is likely to go wrong although nothing here is forbidden, a sentence each."""
    said = []
    if asked.mode == "proxy" and asked.inbound_port:
        said += [
            f"container '{container['name']}': kubelet asks its {name} at the pod's address, where "
            f"an application on loopback does not answer; write {names.APPLICATION_PORT}, or let "
            f"the probe ask port {asked.inbound_port}"
            for container in spec["containers"]
            for name in _PROBES
            if (port := _port(container.get(name) or {}, container)) is not None
            and port != asked.inbound_port
            and not asked.application_port
        ]
        if asked.application_port:
            said += [
                f"container '{container['name']}' declares port {asked.application_port}: in proxy "
                "mode the application must listen on 127.0.0.1 only, and the Service's targetPort "
                "be attache-in; whatever else reaches it goes past the agent"
                for container in spec["containers"]
                if any(_number(port) == asked.application_port for port in _ports(container))
            ]
    return said


def _proxy(asked: Wish) -> str:
    if asked.mode == "redirect" or not asked.outbound_port:
        return ""
    return f"http://127.0.0.1:{asked.outbound_port}"


def _through_envoy(probe: Tree, container: Tree, asked: Wish) -> Tree:
    """The same probe of the same path, asked of Envoy, where the path is an anonymous route."""
    if _port(probe, container) != asked.application_port:
        return probe
    name = next(handler for handler in _HANDLERS if probe.get(handler))
    handler = {**probe[name], "port": asked.inbound_port}
    return {**probe, name: handler}


def _port(probe: Tree, container: Tree) -> int | None:
    """The port that *probe* asks, None where it asks none or one that is not declared."""
    for handler in _HANDLERS:
        asked = (probe.get(handler) or {}).get("port")
        if isinstance(asked, int):
            return asked
        for port in _ports(container):
            if asked is not None and port.get("name") == asked:
                return _number(port)
    return None


def _ports(container: Tree) -> list[Tree]:
    return [port for port in container.get("ports") or [] if port]


def _number(port: Tree) -> int | None:
    number: Any = port.get("containerPort")
    return number if isinstance(number, int) else None
