"""How do kubelet and Prometheus reach the agent, whose admin address is on loopback?

By Envoy, and by a listener that comes over ADS with all others: it answers once Envoy has its whole
configuration, which is what an application has to wait for before it calls anybody.
"""

from __future__ import annotations

from envoy.config.core.v3 import protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.type.matcher.v3 import string_pb2

from agent.config.fields import Address
from agent.envoy.clusters import ADMIN
from agent.envoy.filters import router
from agent.envoy.proto import from_agent, number, pack, seconds, tcp

PROBES = "probes"
# They only tell (SECURITY.md 47), and /status is not among them: it says whom we trust.
PATHS = ("/livez", "/readyz", "/metrics")
_HEADERS_KB = 8
_PATIENCE = 5.0


def probes_listener(address: Address) -> listener_pb2.Listener:
    """Return the listener at *address*."""
    manager = hcm.HttpConnectionManager(
        stat_prefix=PROBES,
        http_filters=[router()],
        rds=hcm.Rds(route_config_name=PROBES, config_source=from_agent()),
        max_request_headers_kb=number(_HEADERS_KB),
        request_headers_timeout=seconds(_PATIENCE),
        stream_idle_timeout=seconds(_PATIENCE),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=seconds(60)),
    )
    connection = listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=pack(manager)
    )
    return listener_pb2.Listener(
        name=PROBES,
        address=tcp(address),
        filter_chains=[listener_components_pb2.FilterChain(name=PROBES, filters=[connection])],
        # It is no caller's, and is there even where too many of those are.
        ignore_global_conn_limit=True,
    )


def probes_routes() -> route_pb2.RouteConfiguration:
    """Return its routes; nothing else of the agent can be asked for."""
    get = route_components_pb2.HeaderMatcher(
        name=":method", string_match=string_pb2.StringMatcher(exact="GET")
    )
    return route_pb2.RouteConfiguration(
        name=PROBES,
        virtual_hosts=[
            route_components_pb2.VirtualHost(
                name=PROBES,
                domains=["*"],
                routes=[
                    route_components_pb2.Route(
                        name=path,
                        match=route_components_pb2.RouteMatch(path=path, headers=[get]),
                        route=route_components_pb2.RouteAction(
                            cluster=ADMIN,
                            timeout=seconds(_PATIENCE),
                            host_rewrite_literal="localhost",  # the agent answers to no other name
                        ),
                    )
                    for path in PATHS
                ],
            )
        ],
    )
