"""What does Istio need, so that a workload's sidecar asks this agent?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.config.fields import Address, in_cluster
from agent.envoy.snippet import pieces
from agent.envoy.snippet.text import Part, documents

# Not the name that Istio gives to its own ext_authz (AuthorizationPolicy, action CUSTOM): routes
# speak to a filter by its name, and ours must not speak to that one.
FILTER = "attache.ext_authz"
_VOLUME = "attache"
_TAKEN_OVER = ("merge_slashes", "normalize_path", "path_with_escaped_slashes_action")


def snippet(config: Attache) -> str:
    """Return an EnvoyFilter, and in comments what the pod needs."""
    return documents(_parts(config))


def _parts(config: Attache) -> Iterator[Part]:
    yield Part(
        _head(config),
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {
                "name": f"attache-{config.workload.name}",
                **({"namespace": config.workload.namespace} if config.workload.namespace else {}),
            },
            "spec": {
                "workloadSelector": {"labels": {"app": config.workload.name}},
                "configPatches": list(_patches(config)),
            },
        },
    )


def _head(config: Attache) -> str:
    folder = str(config.agent.socket.parent)
    volume = json.dumps([{"name": _VOLUME, "emptyDir": {"medium": "Memory"}}])
    mount = json.dumps([{"name": _VOLUME, "mountPath": folder}])
    return f"""
Attaché as the ext_authz service of an Istio sidecar. Written for Istio 1.20 and later, sidecar
mode (not ambient: ztunnel reads no HTTP, and a waypoint is not in the pod). The structure is
tested; the Envoy pieces are validated by Envoy itself; it was not run in a mesh.

Why an EnvoyFilter, and not meshConfig.extensionProviders: an AuthorizationPolicy cannot say what
the agent must know of a route (context_extensions; istio/istio#59390), and its provider must be a
service of the registry, while the agent is a Unix socket in the pod, so that nobody else can ask
it.

The pod, in the Deployment's template:
  metadata.annotations:
    sidecar.istio.io/userVolume: '{volume}'
    sidecar.istio.io/userVolumeMount: '{mount}'
  spec.containers, one more: the agent. It mounts the volume '{_VOLUME}' at {folder} as well,
  and runs with securityContext.runAsGroup: 1337, the group of istio-proxy, for its socket has
  mode 0660.

The application must be reached through the sidecar only: no excludeInboundPorts for its port.
Look at what Istio made of it: istioctl proxy-config all POD -o json | grep attache

Outbound, every host is denied first and each destination is named after; where Istio calls a
virtual host otherwise than here, its calls are denied, and the agent's log says so. A filter that
Istio did not insert asks nobody: after each upgrade, a call without a token must get 401.
"""


def _patches(config: Attache) -> Iterator[dict[str, Any]]:
    contexts = []
    if config.listeners.inbound:
        contexts.append("SIDECAR_INBOUND")
    if config.listeners.outbound:
        contexts.append("SIDECAR_OUTBOUND")
    yield _patch("CLUSTER", {"context": contexts[0]}, "ADD", pieces.cluster(config))
    for context in contexts:
        match = {
            "context": context,
            "listener": {"filterChain": {"filter": {"name": pieces.MANAGER}}},
        }
        yield _patch("HTTP_FILTER", match, "INSERT_FIRST", pieces.check_filter(FILTER))
    if config.listeners.inbound:
        yield from _of_callers(config)
    if config.listeners.outbound:
        yield from _of_application(config)


def _of_callers(config: Attache) -> Iterator[dict[str, Any]]:
    context = "SIDECAR_INBOUND"
    manager = pieces.of_callers(config)
    # No more than paths and names: x-envoy-* and request ids are the mesh's own matter.
    manager = {name: manager[name] for name in _TAKEN_OVER} | {
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}
    }
    typed = {"@type": f"type.googleapis.com/{_MANAGER_TYPE}", **manager}
    yield _patch(
        "NETWORK_FILTER",
        {
            "context": context,
            "listener": {"filterChain": {"filter": {"name": pieces.MANAGER}}},
        },
        "MERGE",
        {"name": pieces.MANAGER, "typed_config": typed},
    )
    asked = pieces.told(FILTER, direction="inbound")
    yield _patch("VIRTUAL_HOST", {"context": context}, "MERGE", {"typed_per_filter_config": asked})


_MANAGER_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def _of_application(config: Attache) -> Iterator[dict[str, Any]]:
    """First what holds for every host that no destination names, then each destination's own."""
    context = "SIDECAR_OUTBOUND"
    rest = pieces.told(FILTER, direction="outbound", unmatched=pieces.unmatched(config))
    yield _patch("VIRTUAL_HOST", {"context": context}, "MERGE", {"typed_per_filter_config": rest})
    for destination in config.called:
        asked = pieces.told(FILTER, direction="outbound", destination=destination.name)
        for name in _virtual_hosts(destination, config.workload.namespace):
            match = {"context": context, "routeConfiguration": {"vhost": {"name": name}}}
            yield _patch("VIRTUAL_HOST", match, "MERGE", {"typed_per_filter_config": asked})


def _virtual_hosts(destination: Destination, namespace: str) -> list[str]:
    """Istio calls them by the service's full name and its port."""
    names: dict[str, None] = {}
    for host in destination.hosts:
        address = Address.parse(host, default_port=80)
        labels = address.host.split(".")
        name = address.host
        if in_cluster(name, namespace) and len(labels) <= 2 and not address.loopback:
            name = f"{labels[0]}.{(labels[1:] or [namespace or 'default'])[0]}.svc.cluster.local"
        names[f"{name}:{address.port}"] = None
    return list(names)


def _patch(
    apply_to: str, match: dict[str, Any], operation: str, value: dict[str, Any]
) -> dict[str, Any]:
    return {
        "applyTo": apply_to,
        "match": match,
        "patch": {"operation": operation, "value": value},
    }
