"""What does Envoy Gateway need, so that its Envoys ask this agent?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.config.attache import Attache
from agent.envoy.agent_cluster import CHECK_TIMEOUT, RETRY_ON, THRESHOLD
from agent.envoy.filters import READ_HEADERS
from agent.envoy.snippet.text import Part, documents

API = "gateway.envoyproxy.io/v1alpha1"
_VOLUME = "attache"

_HEAD = """
Attaché as the ext_authz service of Envoy Gateway. Needs Envoy Gateway 1.8 or later:
contextExtensions came with 1.7, statusOnError with 1.8, Unix sockets of a Backend for extAuth
with 1.2. The structure is tested against the CRDs of 1.9; it was not run in a cluster.

The agent stands in the gateway's own pods, on a Unix socket that nobody else can reach. A gateway
has callers and no application of its own: it needs listeners.inbound, with edge: true where
callers are strangers, and no outbound part. Names in capitals are yours to fill in.

1. The agent beside each Envoy of the gateway. Its configuration is the ConfigMap ATTACHE_CONFIG,
   with the key attache.yaml. Envoy runs as user 65532; the agent too, so that both may use the
   socket. Name this resource in the GatewayClass (parametersRef) or in the Gateway
   (infrastructure).
"""
_BACKEND = """
2. The socket as a backend. Backends must be enabled: extensionApis.enableBackend: true in the
   EnvoyGateway configuration. It stands in the namespace of the SecurityPolicy.
"""
_POLICY = """
3. Who asks: every route of the gateway GATEWAY. direction tells the agent what it is asked about;
   headers says that headersToExtAuth lists all that it reads: add nothing, and take nothing away.
   failOpen stays false: with true, whatever could not be asked about is let in. A SecurityPolicy
   on a single HTTPRoute replaces this one there: write extAuth into it as well, or the route is
   open. recomputeRoute stays out: what was decided on would not be what is served.
"""
_CLIENTS = """
4. A path and a header name with one reading each; docs/envoy.md says why.
"""


def snippet(config: Attache) -> str:
    """Return the resources for Envoy Gateway as a stream of documents."""
    return documents(_parts(config))


def _parts(config: Attache) -> Iterator[Part]:
    name = f"attache-{config.workload.name}"
    socket = str(config.agent.socket)
    yield Part(_HEAD, _resource("EnvoyProxy", name, _proxy(config)))
    yield Part(_BACKEND, _resource("Backend", name, {"endpoints": [{"unix": {"path": socket}}]}))
    yield Part(_POLICY, _resource("SecurityPolicy", name, _policy(name)))
    yield Part(_CLIENTS, _resource("ClientTrafficPolicy", name, _clients(config)))


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _proxy(config: Attache) -> dict[str, Any]:
    mount = {"name": _VOLUME, "mountPath": str(config.agent.socket.parent)}
    agent = {
        "name": "attache",
        "image": "ATTACHE_IMAGE",
        "args": ["run", "--config", "/etc/attache/attache.yaml"],
        "volumeMounts": [
            mount,
            {"name": "attache-config", "mountPath": "/etc/attache", "readOnly": True},
        ],
        "securityContext": {
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pod = {
        "volumes": [
            {"name": _VOLUME, "emptyDir": {"medium": "Memory"}},
            {"name": "attache-config", "configMap": {"name": "ATTACHE_CONFIG"}},
        ],
        "containers": [{"name": "envoy", "volumeMounts": [mount]}, agent],
    }
    patch = {"type": "StrategicMerge", "value": {"spec": {"template": {"spec": pod}}}}
    return {"provider": {"type": "Kubernetes", "kubernetes": {"envoyDeployment": {"patch": patch}}}}


def _policy(backend: str) -> dict[str, Any]:
    limits = (
        "maxConnections",
        "maxParallelRequests",
        "maxParallelRetries",
        "maxPendingRequests",
    )
    return {
        "targetRefs": [
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "GATEWAY"}
        ],
        "extAuth": {
            "failOpen": False,
            "statusOnError": 503,
            "timeout": f"{CHECK_TIMEOUT}s",
            "headersToExtAuth": list(READ_HEADERS),
            "contextExtensions": [
                {"name": "direction", "type": "Value", "value": "inbound"},
                {"name": "headers", "type": "Value", "value": "listed"},
            ],
            "grpc": {
                "backendRefs": [
                    {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": backend}
                ],
                "backendSettings": {
                    # As our own Envoy: a restart of the agent loses no request (ENVOY.md).
                    "retry": {
                        "numRetries": 20,
                        "retryOn": {"triggers": RETRY_ON.split(",")},
                        "perRetry": {"backOff": {"baseInterval": "50ms", "maxInterval": "4500ms"}},
                    },
                    "circuitBreaker": dict.fromkeys(limits, THRESHOLD),
                },
            },
        },
    }


def _clients(config: Attache) -> dict[str, Any]:
    inbound = config.listeners.inbound
    fresh = "Generate" if inbound is None or inbound.edge else "PreserveOrGenerate"
    return {
        "targetRefs": [
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "GATEWAY"}
        ],
        "path": {"escapedSlashesAction": "RejectRequest", "disableMergeSlashes": False},
        "headers": {"withUnderscoresAction": "RejectRequest", "requestID": fresh},
    }
