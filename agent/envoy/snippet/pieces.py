"""Of which parts of Envoy's own configuration is every snippet made?

They are the parts that we serve to our own Envoy, so that the hardening of ENVOY.md and its
measured retries are the same everywhere.
"""

from __future__ import annotations

from typing import Any

from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from google.protobuf import json_format

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.envoy import connections, routes
from agent.envoy.agent_cluster import agent_cluster
from agent.envoy.filters import asked_with, ext_authz

Tree = dict[str, Any]

MANAGER = "envoy.filters.network.http_connection_manager"
# What another's connection manager takes over from ours, for callers and for the application.
_OF_INBOUND = (
    "common_http_protocol_options",
    "early_header_mutation_extensions",
    "generate_request_id",
    "max_request_headers_kb",
    "merge_slashes",
    "normalize_path",
    "path_with_escaped_slashes_action",
    "request_headers_timeout",
    "request_id_extension",
    "use_remote_address",
)
_OF_OUTBOUND = (
    "early_header_mutation_extensions",
    "generate_request_id",
    "preserve_external_request_id",
    "request_id_extension",
)


def cluster(config: Attache) -> Tree:
    """The cluster of the agent's socket."""
    return plain(agent_cluster(config))


def check_filter(name: str) -> Tree:
    """The ext_authz filter, under the *name* by which routes speak of it."""
    tree = plain(ext_authz()) | {"name": name}
    # The default, and yet the one line that a reader looks for (SECURITY.md 17)
    tree["typed_config"] = {**tree["typed_config"], "failure_mode_allow": False}
    return tree


def told(name: str, **extensions: str) -> Tree:
    """What a route tells the agent: `typed_per_filter_config` for the filter called *name*."""
    (settings,) = asked_with(**extensions).values()
    tree = plain(settings)
    said = tree["check_settings"]["context_extensions"]
    ordered = {key: said[key] for key in (*extensions, *sorted(said))}
    return {name: tree | {"check_settings": {"context_extensions": ordered}}}


def of_callers(config: Attache) -> Tree:
    """How a connection manager reads strangers."""
    inbound = config.listeners.inbound
    assert inbound is not None
    hardened = _manager(connections.inbound(config, inbound, {routes.INBOUND: _NO_ROUTES}))
    taken = {name: hardened[name] for name in _OF_INBOUND}
    return taken | {"preserve_external_request_id": not inbound.edge}


def of_application(config: Attache) -> Tree:
    """How a connection manager reads our own application."""
    outbound = config.listeners.outbound
    assert outbound is not None
    manager = _manager(connections.outbound(config, outbound, {routes.OUTBOUND: _NO_ROUTES}))
    return {name: manager[name] for name in _OF_OUTBOUND}


def preflight(config: Attache, name: str) -> list[Tree]:
    """The route that answers browsers' preflights; none where no route lets browsers in."""
    (ours,) = (each for each in routes.route_configurations(config) if each.name == routes.INBOUND)
    found = [each for each in ours.virtual_hosts[0].routes if each.name == "preflight"]
    asked = told(name, direction=routes.INBOUND, preflight="answered")
    return [plain(each) | {"typed_per_filter_config": asked} for each in found]


def domains(destination: Destination) -> list[str]:
    """The Host values that mean *destination*."""
    return routes.domains(destination.hosts)


def unmatched(config: Attache) -> str:
    """What happens to a host that no destination names."""
    outbound = config.listeners.outbound
    return outbound.unmatched if outbound else "deny"


_NO_ROUTES = hcm.HttpConnectionManager().route_config


def _manager(filter_: Any) -> Tree:
    manager = hcm.HttpConnectionManager()
    assert filter_.typed_config.Unpack(manager)
    return plain(manager)


def plain(message: Any) -> Tree:
    """*message* as Envoy's documentation writes it."""
    tree: Tree = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return tree
