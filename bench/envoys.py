"""Which Envoys are the yardsticks? Plain proxying, `jwt_authn`, and a no-op ext_authz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Json = dict[str, Any]

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_HCM = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)


def application(port: int) -> Json:
    """An application that costs next to nothing: an Envoy that answers 200 at once."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    return _bootstrap(port, [], route, [])


def plain(port: int, upstream: int) -> Json:
    """A proxy with no auth."""
    return _bootstrap(port, [], _TO_APPLICATION, [_cluster("application", _tcp(upstream))])


def jwt_authn(port: int, upstream: int, issuer: str, audience: str, jwks: str) -> Json:
    """Envoy's own validator, with its token cache off as it is by default."""
    provider = {
        "issuer": issuer,
        "audiences": [audience],
        "local_jwks": {"inline_string": jwks},
        "forward": True,
    }
    config = {
        "@type": f"{_HTTP}.jwt_authn.v3.JwtAuthentication",
        "providers": {"p": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "p"}}],
    }
    filters = [{"name": "envoy.filters.http.jwt_authn", "typed_config": config}]
    return _bootstrap(port, filters, _TO_APPLICATION, [_cluster("application", _tcp(upstream))])


def noop(port: int, upstream: int, agent_socket: Path) -> Json:
    """ext_authz to a server that says OK to everything."""
    config = {
        "@type": f"{_HTTP}.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "noop"}, "timeout": "5s"},
    }
    filters = [{"name": "envoy.filters.http.ext_authz", "typed_config": config}]
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    agent = _cluster("noop", {"pipe": {"path": str(agent_socket)}})
    agent["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
    }
    clusters = [_cluster("application", _tcp(upstream)), agent]
    return _bootstrap(port, filters, _TO_APPLICATION, clusters)


_TO_APPLICATION = {"match": {"prefix": "/"}, "route": {"cluster": "application"}}


def _tcp(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, address: Json) -> Json:
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address}}]}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
    }


def _bootstrap(port: int, filters: list[Json], route: Json, clusters: list[Json]) -> Json:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_HTTP}.router.v3.Router"},
    }
    hcm = {
        "@type": _HCM,
        "stat_prefix": "bench",
        "http_filters": [*filters, router],
        "route_config": {"virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [route]}]},
    }
    chain = {"filters": [{"name": "hcm", "typed_config": hcm}]}
    listener = {"name": "bench", "address": _tcp(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}
