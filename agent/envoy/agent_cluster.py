"""How does Envoy reach the agent: for each Check, and for the configuration itself?"""

from __future__ import annotations

from pathlib import Path

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import (
    address_pb2,
    backoff_pb2,
    base_pb2,
    grpc_service_pb2,
    protocol_pb2,
)
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from agent.config.attache import Attache
from agent.envoy.proto import number, pack, seconds

AGENT = "attache_agent"
XDS = "attache_xds"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# ENVOY.md: with the default of 3 retries in flight, a restart of the agent lost 10,233 of 34,655.
THRESHOLD = 10_000
# Seconds in which a Check is tried again while the agent starts: docs/decisions/007.
CHECK_TIMEOUT = 20
RETRY_ON = (
    "unavailable,cancelled,internal,connect-failure,refused-stream,reset,reset-before-request"
)


def agent_cluster(config: Attache) -> cluster_pb2.Cluster:
    """Return the cluster of the agent's Unix socket; it is never ejected, there is no second."""
    return _cluster(AGENT, config.agent.socket)


def xds_cluster(config: Attache) -> cluster_pb2.Cluster:
    """Return the cluster of the socket from which Envoy's configuration comes."""
    return _cluster(XDS, config.agent.xds_socket)


def _cluster(name: str, path: Path) -> cluster_pb2.Cluster:
    pipe = address_pb2.Address(pipe=address_pb2.Pipe(path=str(path)))
    http2 = http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
        http2_protocol_options=protocol_pb2.Http2ProtocolOptions()
    )
    return cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.STATIC,
        connect_timeout=seconds(1),
        load_assignment=assignment(name, pipe),
        circuit_breakers=breakers(),
        typed_extension_protocol_options={
            HTTP_OPTIONS: pack(
                http_protocol_options_pb2.HttpProtocolOptions(explicit_http_config=http2)
            )
        },
    )


def check_service() -> grpc_service_pb2.GrpcService:
    """Return how a Check is sent: again and again while the agent restarts, for 20 s.

    The policy stands beside `envoy_grpc`: the one inside it is for xDS streams only [M]. Envoy
    takes the longest back-off as the time-out of each try, too [M]: it is longer than the agent
    ever takes, or a slow answer would be asked for again and again.
    """
    return grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=AGENT),
        timeout=seconds(CHECK_TIMEOUT),
        retry_policy=base_pb2.RetryPolicy(
            num_retries=number(20), retry_on=RETRY_ON, retry_back_off=_back_off(0.05, 4.5)
        ),
    )


def ads_service() -> grpc_service_pb2.GrpcService:
    """Return how the configuration's stream is opened, and soon again after the agent's restart."""
    again = base_pb2.RetryPolicy(retry_back_off=_back_off(0.1, 2))
    return grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=XDS, retry_policy=again)
    )


def assignment(name: str, address: address_pb2.Address) -> endpoint_pb2.ClusterLoadAssignment:
    """Return the load assignment of a cluster with one *address*."""
    endpoint = endpoint_components_pb2.Endpoint(address=address)
    lb_endpoint = endpoint_components_pb2.LbEndpoint(endpoint=endpoint)
    locality = endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[lb_endpoint])
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[locality])


def breakers() -> circuit_breaker_pb2.CircuitBreakers:
    """Return circuit breakers that a burst does not open."""
    thresholds = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=number(THRESHOLD),
        max_pending_requests=number(THRESHOLD),
        max_requests=number(THRESHOLD),
        max_retries=number(THRESHOLD),
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[thresholds])


def _back_off(base: float, longest: float) -> backoff_pb2.BackoffStrategy:
    return backoff_pb2.BackoffStrategy(base_interval=seconds(base), max_interval=seconds(longest))
