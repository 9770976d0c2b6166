"""With what does Envoy start: little, and the rest from the agent; or all of it, from one file?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2
from envoy.config.overload.v3 import overload_pb2
from envoy.extensions.resource_monitors.downstream_connections.v3 import downstream_connections_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import json_format

from agent.config.attache import Attache
from agent.envoy.agent_cluster import ads_service, agent_cluster, xds_cluster
from agent.envoy.clusters import clusters
from agent.envoy.listeners import listeners
from agent.envoy.proto import from_agent, pack, tcp
from agent.envoy.routes import route_configurations
from agent.envoy.tls import secrets

# What may be asked of Envoy's admin port; the application shares the pod's loopback with it, so
# nothing that changes anything (quit, logging, runtime, drain) is there (SECURITY.md 24, 47).
ADMIN_PATHS = (
    "/ready",
    "/server_info",
    "/stats",
    "/clusters",
    "/listeners",
    "/certs",
    "/config_dump",
)
_CONNECTIONS = 20_000


def bootstrap(config: Attache) -> dict[str, Any]:
    """Return the small bootstrap, ready for JSON: the agent's cluster, and ADS from it."""
    start = _common(config)
    start.static_resources.clusters.append(xds_cluster(config))
    dynamic = start.dynamic_resources
    dynamic.ads_config.api_type = config_source_pb2.ApiConfigSource.GRPC
    dynamic.ads_config.transport_api_version = config_source_pb2.ApiVersion.V3
    dynamic.ads_config.set_node_on_first_message_only = True
    dynamic.ads_config.grpc_services.append(ads_service())
    dynamic.cds_config.CopyFrom(from_agent())
    dynamic.lds_config.CopyFrom(from_agent())
    return _json(start)


def static(config: Attache, bundle: Path) -> dict[str, Any]:
    """Return one file that needs no ADS; *bundle* holds the public authorities for TLS."""
    start = _common(config)
    inline = {routes.name: routes for routes in route_configurations(config)}
    start.static_resources.clusters.extend(clusters(config, source=None))
    start.static_resources.listeners.extend(listeners(config, inline))
    start.static_resources.secrets.extend(secrets(config, bundle))
    return _json(start)


def _common(config: Attache) -> bootstrap_pb2.Bootstrap:
    paths = [string_pb2.StringMatcher(prefix=path) for path in ADMIN_PATHS]
    return bootstrap_pb2.Bootstrap(
        node=base_pb2.Node(id=config.workload.id, cluster=config.workload.name),
        admin=bootstrap_pb2.Admin(address=tcp(config.envoy.admin), allow_paths=paths),
        static_resources=bootstrap_pb2.Bootstrap.StaticResources(clusters=[agent_cluster(config)]),
        overload_manager=overload_pb2.OverloadManager(resource_monitors=[_connections()]),
    )


def _connections() -> overload_pb2.ResourceMonitor:
    limit = downstream_connections_pb2.DownstreamConnectionsConfig(
        max_active_downstream_connections=_CONNECTIONS
    )
    return overload_pb2.ResourceMonitor(
        name="envoy.resource_monitors.global_downstream_max_connections", typed_config=pack(limit)
    )


def _json(start: bootstrap_pb2.Bootstrap) -> dict[str, Any]:
    tree: dict[str, Any] = json_format.MessageToDict(start, preserving_proto_field_name=True)
    return tree
