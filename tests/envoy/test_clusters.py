"""Where Envoy can send a request."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.clusters.common.dns.v3 import dns_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from agent.config.attache import Attache
from agent.envoy.agent_cluster import HTTP_OPTIONS
from agent.envoy.clusters import clusters


def built(config: Attache) -> dict[str, Any]:
    return {one.name: one for one in clusters(config, source=None)}


def address(cluster: Any) -> tuple[str, int]:
    (endpoint,) = cluster.load_assignment.endpoints[0].lb_endpoints
    socket = endpoint.endpoint.address.socket_address
    return socket.address, socket.port_value


def dns(cluster: Any) -> Any:
    assert cluster.cluster_type.name == "envoy.clusters.dns"
    settings = dns_cluster_pb2.DnsCluster()
    assert cluster.cluster_type.typed_config.Unpack(settings)
    return settings


def destination(**more: Any) -> dict[str, Any]:
    return {"name": "billing", "hosts": ["billing.shop"]} | more


@pytest.mark.parametrize(
    ("protocol", "spoken"),
    [
        ("auto", ("use_downstream_protocol_config", "")),
        ("http1", ("explicit_http_config", "http_protocol_options")),
        ("http2", ("explicit_http_config", "http2_protocol_options")),
    ],
)
def test_the_application_is_spoken_to_as_it_says(configure, protocol, spoken):
    cluster = built(configure(listeners={"inbound": {"protocol": protocol}}))["application"]
    options = http_protocol_options_pb2.HttpProtocolOptions()
    assert cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
    chosen = options.WhichOneof("upstream_protocol_options")
    explicit = options.explicit_http_config.WhichOneof("protocol_config") or ""
    assert (chosen, explicit) == spoken


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ("billing.shop", 80)),
        ({"tls": {}}, ("billing.shop", 443)),
        ({"address": "gateway.shop:8443"}, ("gateway.shop", 8443)),
        ({"address": "10.0.0.1", "tls": {}}, ("10.0.0.1", 443)),
        ({"address": "[fd00::1]:80"}, ("fd00::1", 80)),
    ],
)
@pytest.mark.must(25)
def test_a_destination_is_its_configured_address(configure, more, expected):
    cluster = built(configure(destinations=[destination(**more)]))["destination_billing"]
    assert address(cluster) == expected


def test_names_are_resolved_and_literal_addresses_are_not(configure):
    named = built(configure(destinations=[destination()]))["destination_billing"]
    assert dns(named).dns_lookup_family == dns_pb2.V4_PREFERRED
    assert not dns(named).all_addresses_in_single_endpoint  # requests go to all of them
    literal = built(configure(destinations=[destination(address="10.0.0.1:80")]))
    assert literal["destination_billing"].type == cluster_pb2.Cluster.STATIC
    assert not literal["destination_billing"].HasField("cluster_type")


def test_an_application_on_localhost_may_listen_on_either_family(configure):
    config = configure(listeners={"inbound": {"application": "localhost:9"}})
    settings = dns(built(config)["application"])
    assert settings.dns_lookup_family == dns_pb2.ALL
    assert settings.all_addresses_in_single_endpoint


def test_every_cluster_speaks_what_the_caller_spoke_and_has_high_thresholds(configure):
    config = configure(listeners={"outbound": {"unmatched": "passthrough"}})
    for cluster in built(config).values():
        options = http_protocol_options_pb2.HttpProtocolOptions()
        assert cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
        both = options.use_downstream_protocol_config
        assert both.HasField("http_protocol_options")
        assert both.HasField("http2_protocol_options")
        assert cluster.circuit_breakers.thresholds[0].max_requests.value == 10_000


def test_envoy_lets_an_idle_connection_go_before_common_servers_do(configure):
    seconds = {}
    for name, cluster in built(configure()).items():
        options = http_protocol_options_pb2.HttpProtocolOptions()
        cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
        seconds[name] = options.common_http_protocol_options.idle_timeout.ToSeconds()
    assert seconds["application"] < 2  # gunicorn's keep-alive
    assert seconds["destination_billing"] < 5  # uvicorn's and Node's


def test_the_admin_cluster_is_there_only_where_the_key_document_is_published(configure):
    tokens = {"issuer": "https://g", "trustDomain": "shop.internal", "keys": "/keys"}
    published = built(configure(internalTokens=tokens | {"publish": True}))
    assert address(published["agent_admin"]) == ("127.0.0.1", 15020)
    assert "agent_admin" not in built(configure(internalTokens=tokens))


@pytest.mark.must(25)
def test_elsewhere_is_reachable_only_in_passthrough_and_never_by_a_header(configure):
    assert "passthrough" not in built(configure())
    redirect = {"outbound": {"mode": "redirect", "unmatched": "passthrough"}}
    cluster = built(configure(listeners=redirect))["passthrough"]
    assert cluster.type == cluster_pb2.Cluster.ORIGINAL_DST
    assert not cluster.original_dst_lb_config.use_http_header
    proxy = built(configure(listeners={"outbound": {"unmatched": "passthrough"}}))["passthrough"]
    assert proxy.cluster_type.name == "envoy.clusters.dynamic_forward_proxy"


def test_connecting_never_takes_longer_than_the_destinations_timeout(configure):
    for timeout, expected in (("250ms", 250), ("30s", 5_000)):
        config = configure(destinations=[destination(timeout=timeout)])
        assert built(config)["destination_billing"].connect_timeout.ToMilliseconds() == expected
