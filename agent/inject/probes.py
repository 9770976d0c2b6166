"""Will kubelet's probes be let in? They pass Envoy as every request does, and carry no token."""

from __future__ import annotations

from typing import Any

from agent.errors import Denial
from agent.inject import names
from agent.inject.anatomy import Tree
from agent.policy.path import canonical
from agent.policy.routes import Routes

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_POD = "192.0.2.1"  # kubelet names the pod by its address (RFC 5737: nobody's)


def refused(pod: Tree, routes: Routes, inbound: int) -> list[str]:
    """A sentence for each probe of an injected *pod* that *routes* would answer with a 401 or 403.

    *inbound* is Envoy's port, to which probes go in proxy mode; 0: they are redirected to it.
    """
    said = []
    for container in pod["spec"]["containers"]:
        if container["name"] in names.CONTAINERS:
            continue
        for name in PROBES:
            asked = (container.get(name) or {}).get("httpGet") or {}
            if not asked or (inbound and asked.get("port") != inbound):
                continue
            path = str(asked.get("path") or "/")
            if not _open(path, _host(asked), routes):
                said.append(
                    f"container '{container['name']}': its {name} asks GET {path}, which no route "
                    f"lets pass without a token; write {{path: {path}, methods: [GET], "
                    "anonymous: true} as one of the first"
                )
    return said


def _open(path: str, host: str, routes: Routes) -> bool:
    read = canonical(path)
    rule = read if isinstance(read, Denial) else routes.match("GET", host, read)
    return not isinstance(rule, Denial) and rule.anonymous


def _host(asked: dict[str, Any]) -> str:
    for header in asked.get("httpHeaders") or []:
        if str(header.get("name")).lower() == "host":
            return str(header.get("value"))
    return _POD
