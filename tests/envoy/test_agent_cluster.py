"""How Envoy reaches the agent: what ENVOY.md measured for a lossless restart."""

from __future__ import annotations

import pytest
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from agent.envoy.agent_cluster import AGENT, HTTP_OPTIONS, ads_service, agent_cluster, check_service
from agent.envoy.server import LONGEST


def test_the_agent_is_a_unix_socket_that_speaks_http2(configure):
    cluster = agent_cluster(configure(agent={"socket": "/run/other.sock"}))
    (endpoint,) = cluster.load_assignment.endpoints[0].lb_endpoints
    assert endpoint.endpoint.address.pipe.path == "/run/other.sock"
    options = http_protocol_options_pb2.HttpProtocolOptions()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
    assert options.explicit_http_config.HasField("http2_protocol_options")


def test_a_burst_of_retries_does_not_open_the_agents_circuit_breakers(configure):
    (limits,) = agent_cluster(configure()).circuit_breakers.thresholds
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    assert {getattr(limits, name).value for name in names} == {10_000}


def test_the_only_agent_is_never_ejected(configure):
    cluster = agent_cluster(configure())
    assert not cluster.HasField("outlier_detection")
    assert list(cluster.health_checks) == []


@pytest.mark.must(37)
def test_a_check_is_retried_while_the_agent_restarts():
    service = check_service()
    retry = service.retry_policy  # not envoy_grpc's own: that one is for xDS streams
    assert service.envoy_grpc.cluster_name == AGENT
    assert service.timeout.ToMilliseconds() == 20_000
    assert retry.num_retries.value == 20
    assert set(retry.retry_on.split(",")) == {
        "unavailable",
        "cancelled",
        "internal",
        "connect-failure",
        "refused-stream",
        "reset",
        "reset-before-request",
    }
    assert retry.retry_back_off.base_interval.ToMilliseconds() == 50
    assert retry.retry_back_off.max_interval.ToMilliseconds() > LONGEST * 1000


def test_the_configuration_stream_has_no_deadline_and_returns_within_seconds():
    service = ads_service()
    assert not service.HasField("timeout")
    assert service.envoy_grpc.retry_policy.retry_back_off.max_interval.ToSeconds() == 2
