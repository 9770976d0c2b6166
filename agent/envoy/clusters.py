"""Where can Envoy send a request: the application, the destinations, and elsewhere?"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import config_source_pb2, protocol_pb2
from envoy.extensions.clusters.common.dns.v3 import dns_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.clusters.dynamic_forward_proxy.v3 import cluster_pb2 as forward_proxy_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.config.fields import Address
from agent.envoy.agent_cluster import HTTP_OPTIONS, assignment, breakers
from agent.envoy.filters import dns_cache
from agent.envoy.injection import NOTHING_PUSHED, Pushed, injecting
from agent.envoy.material import NOTHING_READ, Contents
from agent.envoy.pod import ALONE, Pod
from agent.envoy.proto import is_ip, number, pack, seconds, tcp
from agent.envoy.tls import transport_socket

APPLICATION = "application"
ADMIN = "agent_admin"
PASSTHROUGH = "passthrough"

# Envoy lets go of an idle connection before the server does, else a request meets its end.
# uvicorn and Node keep one for 5 s, gunicorn for 2 s; a new one on loopback costs nothing.
_IDLE_LOCAL = 1.0
_IDLE_REMOTE = 4.0
_BUFFER = 64 * 1024


def clusters(
    config: Attache,
    source: config_source_pb2.ConfigSource | None,
    pushed: Pushed = NOTHING_PUSHED,
    contents: Contents = NOTHING_READ,
    pod: Pod = ALONE,
) -> Iterator[cluster_pb2.Cluster]:
    """Return the clusters of *config*; *source* says whence their secrets come (None: static).

    *contents* are those of certificates' files: a cluster differs when they do.
    """
    inbound, outbound = config.listeners.inbound, config.listeners.outbound
    if inbound:
        yield _local(APPLICATION, inbound.application, inbound.protocol)
    if pod.probes or (inbound and config.internal_tokens and config.internal_tokens.publish):
        yield _local(ADMIN, config.agent.admin)
    for destination in config.called:
        yield _destination(destination, source, contents)
        if injection := pushed.get(destination.name):
            yield injecting(_destination(destination, source, contents), destination, injection)
    if outbound and outbound.unmatched == "passthrough":
        yield _anywhere() if outbound.mode == "proxy" else _original()


def cluster_of(destination: Destination) -> str:
    """Return the name of *destination*'s cluster."""
    return f"destination_{destination.name}"


def _local(name: str, address: Address, protocol: str = "auto") -> cluster_pb2.Cluster:
    """Return the cluster of one server in the pod; `localhost` may be of either address family."""
    cluster = cluster_pb2.Cluster(
        name=name,
        connect_timeout=seconds(1),
        load_assignment=assignment(name, tcp(address)),
        **_common(_IDLE_LOCAL, protocol),
    )
    if not is_ip(address.host):
        cluster.cluster_type.CopyFrom(
            _dns(dns_lookup_family=dns_pb2.ALL, all_addresses_in_single_endpoint=True)
        )
    return cluster


def _destination(
    destination: Destination,
    source: config_source_pb2.ConfigSource | None,
    contents: Contents,
) -> cluster_pb2.Cluster:
    """Return a destination's cluster: its configured address and no other (SECURITY.md 25)."""
    name, address = cluster_of(destination), destination.upstream
    cluster = cluster_pb2.Cluster(
        name=name,
        connect_timeout=seconds(min(5.0, destination.timeout)),
        load_assignment=assignment(name, tcp(address)),
        **_common(_IDLE_REMOTE),
    )
    if not is_ip(address.host):
        # Each address becomes an endpoint; a pod without IPv6 must not be given such.
        cluster.cluster_type.CopyFrom(_dns(dns_lookup_family=dns_pb2.V4_PREFERRED))
    if destination.tls:
        secured = transport_socket(destination, destination.tls, source, contents)
        cluster.transport_socket.CopyFrom(secured)
    return cluster


def _dns(**settings: object) -> cluster_pb2.Cluster.CustomClusterType:
    """Resolve the name as often as its TTL says, and soon again when that fails."""
    dns = dns_cluster_pb2.DnsCluster(
        respect_dns_ttl=True,
        dns_failure_refresh_rate=dns_cluster_pb2.DnsCluster.RefreshRate(
            base_interval=seconds(1), max_interval=seconds(10)
        ),
        **settings,
    )
    return cluster_pb2.Cluster.CustomClusterType(name="envoy.clusters.dns", typed_config=pack(dns))


def _anywhere() -> cluster_pb2.Cluster:
    """Return the cluster that goes to the host of the request (proxy mode)."""
    return cluster_pb2.Cluster(
        name=PASSTHROUGH,
        lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
        connect_timeout=seconds(5),
        cluster_type=cluster_pb2.Cluster.CustomClusterType(
            name="envoy.clusters.dynamic_forward_proxy",
            typed_config=pack(forward_proxy_pb2.ClusterConfig(dns_cache_config=dns_cache())),
        ),
        # Envoy wants both said, for the day when someone gives this cluster TLS.
        **_common(_IDLE_REMOTE, auto_sni=True, auto_san_validation=True),
    )


def _original() -> cluster_pb2.Cluster:
    """Return the cluster that goes where the redirected packets went (redirect mode).

    `use_http_header` stays off: a header must not choose the address.
    """
    return cluster_pb2.Cluster(
        name=PASSTHROUGH,
        type=cluster_pb2.Cluster.ORIGINAL_DST,
        lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
        connect_timeout=seconds(5),
        **_common(_IDLE_REMOTE),
    )


def _common(idle: float, protocol: str = "auto", **tls: bool) -> dict[str, object]:
    """Return what all clusters share; upstream is spoken what the caller spoke, unless it is said.

    That is HTTP/1.1, or HTTP/2 and with it gRPC, with or without TLS.
    """
    options = http_protocol_options_pb2.HttpProtocolOptions(
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=seconds(idle)),
        upstream_http_protocol_options=(
            protocol_pb2.UpstreamHttpProtocolOptions(**tls) if tls else None
        ),
        **_spoken(protocol),
    )
    return {
        "circuit_breakers": breakers(),
        "per_connection_buffer_limit_bytes": number(_BUFFER),
        "typed_extension_protocol_options": {HTTP_OPTIONS: pack(options)},
    }


def _spoken(protocol: str) -> dict[str, object]:
    options = http_protocol_options_pb2.HttpProtocolOptions
    one, two = protocol_pb2.Http1ProtocolOptions(), protocol_pb2.Http2ProtocolOptions()
    if protocol == "http1":
        return {"explicit_http_config": options.ExplicitHttpConfig(http_protocol_options=one)}
    if protocol == "http2":
        return {"explicit_http_config": options.ExplicitHttpConfig(http2_protocol_options=two)}
    return {
        "use_downstream_protocol_config": options.UseDownstreamHttpConfig(
            http_protocol_options=one, http2_protocol_options=two
        )
    }
