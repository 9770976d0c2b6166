"""How does Envoy read HTTP from those who connect to it?

The hardening of ENVOY.md, for callers in full. What our own application sends outwards is not
rewritten: a path or a header may look odd and still be right for its destination.
"""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.core.v3 import protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.request_id.uuid.v3 import uuid_pb2

from agent.config.attache import Attache
from agent.config.listeners import Inbound, Outbound
from agent.config.login_rules import written
from agent.envoy import routes, scrub, unreachable
from agent.envoy.access_log import access_log
from agent.envoy.filters import ext_authz, forward_proxy, router
from agent.envoy.proto import flag, from_agent, number, pack, seconds

Inline = Mapping[str, route_pb2.RouteConfiguration]

_HTTP = hcm.HttpConnectionManager
_LIMITS = protocol_pb2.HttpProtocolOptions
# A token may have 16 KiB (SECURITY.md 13); trace contexts, baggage and cookies come on top.
_HEADERS_KB = 64
_HEADERS_COUNT = 100


def inbound(
    config: Attache, listener: Inbound, inline: Inline | None, leaving: bool = False
) -> listener_components_pb2.Filter:
    """Return how callers are read: suspicious of paths, headers, sizes and slowness.

    When we are *leaving*, a new connection serves one request; and as this changes the filter
    chain, Envoy with `--drain-strategy immediate` closes each connection of before with its next
    answer [M].
    """
    manager = _common(routes.INBOUND, inline, streams=100)
    manager.access_log.extend(access_log(listener.access_log, routes.INBOUND))
    browsers = any(written(config))
    manager.http_filters.extend([ext_authz(browsers), scrub.last(), router()])
    manager.early_header_mutation_extensions.append(scrub.callers(listener.edge))
    manager.normalize_path.CopyFrom(flag(True))
    manager.merge_slashes = True
    manager.path_with_escaped_slashes_action = _HTTP.REJECT_REQUEST
    manager.common_http_protocol_options.headers_with_underscores_action = _LIMITS.REJECT_REQUEST
    manager.request_headers_timeout.CopyFrom(seconds(10))
    if leaving:
        manager.common_http_protocol_options.max_requests_per_connection.CopyFrom(number(1))
    # At the edge the peer's address is the truth and its request id is not; inside, both are
    # the mesh's own and go on unchanged.
    manager.use_remote_address.CopyFrom(flag(listener.edge))
    manager.preserve_external_request_id = not listener.edge
    return _network_filter(manager)


def outbound(
    config: Attache, listener: Outbound, inline: Inline | None
) -> listener_components_pb2.Filter:
    """Return how our own application is read: as it is, within bounds."""
    manager = _common(routes.OUTBOUND, inline, streams=1000)
    manager.early_header_mutation_extensions.append(scrub.orders())
    manager.access_log.extend(access_log(listener.access_log, routes.OUTBOUND))
    manager.access_log.append(unreachable.log())
    manager.local_reply_config.CopyFrom(unreachable.problem())
    manager.http_filters.append(ext_authz())
    if listener.mode == "proxy" and listener.unmatched == "passthrough":
        manager.http_filters.append(forward_proxy())
    manager.http_filters.append(router())
    manager.normalize_path.CopyFrom(flag(False))
    manager.path_with_escaped_slashes_action = _HTTP.KEEP_UNCHANGED
    manager.use_remote_address.CopyFrom(flag(False))
    manager.preserve_external_request_id = True
    # RFC 9112 §3.2.2: a proxy is asked with the absolute form, which beats the Host header.
    manager.http_protocol_options.allow_absolute_url.CopyFrom(flag(True))
    # An HTTP/2 destination behind TLS must see https, however the application came to us.
    manager.scheme_header_transformation.match_upstream = True
    return _network_filter(manager)


def _common(name: str, inline: Inline | None, streams: int) -> hcm.HttpConnectionManager:
    manager = _HTTP(
        stat_prefix=name,
        codec_type=_HTTP.AUTO,  # HTTP/1.1, or HTTP/2 by its preface: gRPC needs no TLS here
        common_http_protocol_options=_LIMITS(
            idle_timeout=seconds(900), max_headers_count=number(_HEADERS_COUNT)
        ),
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions(
            max_concurrent_streams=number(streams),
            initial_stream_window_size=number(64 * 1024),
            initial_connection_window_size=number(1024 * 1024),
        ),
        max_request_headers_kb=number(_HEADERS_KB),
        stream_idle_timeout=seconds(routes.STREAM_IDLE),
        server_header_transformation=_HTTP.PASS_THROUGH,
        generate_request_id=flag(True),
        # The default rewrites a nibble of x-request-id, by which the agent knows a request.
        request_id_extension=hcm.RequestIDExtension(
            typed_config=pack(uuid_pb2.UuidRequestIdConfig(pack_trace_reason=flag(False)))
        ),
        upgrade_configs=[_HTTP.UpgradeConfig(upgrade_type="websocket")],
    )
    if inline is None:
        manager.rds.CopyFrom(hcm.Rds(route_config_name=name, config_source=from_agent()))
    else:
        manager.route_config.CopyFrom(inline[name])
    return manager


def _network_filter(manager: hcm.HttpConnectionManager) -> listener_components_pb2.Filter:
    return listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=pack(manager)
    )
