"""What does each request pass through between the connection and its cluster?"""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import config_source_pb2
from envoy.extensions.common.dynamic_forward_proxy.v3 import dns_cache_pb2
from envoy.extensions.filters.http.dynamic_forward_proxy.v3 import dynamic_forward_proxy_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import http_status_pb2
from google.protobuf import any_pb2

from agent import challenge
from agent.context.carriers import MOVED_STATE
from agent.credentials.transaction import HEADER as TXN_TOKEN
from agent.envoy.agent_cluster import check_service
from agent.envoy.proto import number, pack

EXT_AUTHZ = "envoy.filters.http.ext_authz"
FORWARD_PROXY = "envoy.filters.http.dynamic_forward_proxy"
ROUTER = "envoy.filters.http.router"

# Every header that the agent reads; Envoy sends no other (ENVOY.md: allowed_headers).
READ_HEADERS = (
    "authorization",
    "baggage",
    "tracestate",
    "traceparent",
    "x-attache-context",
    challenge.HEADER,
    MOVED_STATE,
    TXN_TOKEN,
    "x-request-id",
    "x-correlation-id",
    "content-type",
    "origin",
    "access-control-request-method",
)


# What it reads besides where people sign in.
BROWSER_HEADERS = (
    "cookie",
    "accept",
    "upgrade",
    "x-requested-with",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
)


def ext_authz(browsers: bool = False) -> hcm.HttpFilter:
    """Ask the agent about the request; whatever goes wrong denies it (SECURITY.md 17).

    *browsers*: people sign in here, and the agent reads their cookies.
    """
    read = (*READ_HEADERS, *BROWSER_HEADERS) if browsers else READ_HEADERS
    names = [string_pb2.StringMatcher(exact=name) for name in read]
    return _filter(
        EXT_AUTHZ,
        pack(
            ext_authz_pb2.ExtAuthz(
                grpc_service=check_service(),
                transport_api_version=config_source_pb2.ApiVersion.V3,
                failure_mode_allow=False,
                # A silent agent is our fault, not the caller's; the default would say 403.
                status_on_error=http_status_pb2.HttpStatus(code=503),
                validate_mutations=True,
                allowed_headers=string_pb2.ListStringMatcher(patterns=names),
            )
        ),
    )


def asked_with(**extensions: str) -> dict[str, any_pb2.Any]:
    """Return a route's settings: what the agent is told of the route that Envoy chose.

    Envoy's own word, never the request's: SECURITY.md 25.
    """
    return _per_route(_check_settings(extensions))


def shown_body(most: int, **extensions: str) -> dict[str, any_pb2.Any]:
    """Return what `asked_with` does, and have the body shown; one of over *most* bytes is refused.

    Nothing but our own small answers is asked so: a body that is waited for hangs a stream.
    """
    settings = _check_settings(extensions | {"body": "shown"})
    settings.with_request_body.CopyFrom(ext_authz_pb2.BufferSettings(max_request_bytes=most))
    return _per_route(settings)


def _check_settings(extensions: dict[str, str]) -> ext_authz_pb2.CheckSettings:
    # Ours lists every header that we read (`READ_HEADERS`).
    return ext_authz_pb2.CheckSettings(context_extensions=extensions | {"headers": "listed"})


def _per_route(settings: ext_authz_pb2.CheckSettings) -> dict[str, any_pb2.Any]:
    return {EXT_AUTHZ: pack(ext_authz_pb2.ExtAuthzPerRoute(check_settings=settings))}


def forward_proxy() -> hcm.HttpFilter:
    """Resolve the host of a request that goes where the application says (passthrough)."""
    return _filter(
        FORWARD_PROXY, pack(dynamic_forward_proxy_pb2.FilterConfig(dns_cache_config=dns_cache()))
    )


def dns_cache() -> dns_cache_pb2.DnsCacheConfig:
    """Return the one bounded cache that the forward proxy's filter and cluster share."""
    return dns_cache_pb2.DnsCacheConfig(
        name="passthrough",
        dns_lookup_family=cluster_pb2.Cluster.V4_PREFERRED,
        max_hosts=number(1024),
    )


def router() -> hcm.HttpFilter:
    """Send the request on; Envoy's own headers stay inside."""
    return _filter(ROUTER, pack(router_pb2.Router(suppress_envoy_headers=True)))


def _filter(name: str, settings: any_pb2.Any) -> hcm.HttpFilter:
    return hcm.HttpFilter(name=name, typed_config=settings)
