"""What Envoy answers kubelet for the agent, and how a pod leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)

from agent.config.fields import Address
from agent.envoy.delivery import Delivery
from agent.envoy.pod import ALONE, Pod
from agent.envoy.snapshot import CLUSTER, LISTENER, ROUTE, Snapshot

PROBED = Pod(Address("0.0.0.0", 15021))


def resources(config, pod, kind, message):
    found = {}
    for name, packed in Snapshot.of(config, Path("/bundle"), pod=pod).types[kind].items.items():
        found[name] = message()
        packed.Unpack(found[name])
    return found


def manager(listener):
    found = hcm.HttpConnectionManager()
    listener.filter_chains[0].filters[0].typed_config.Unpack(found)
    return found


def test_alone_there_is_no_listener_for_probes(configure):
    assert "probes" not in resources(configure(), ALONE, LISTENER, listener_pb2.Listener)
    assert "probes" not in resources(configure(), ALONE, ROUTE, route_pb2.RouteConfiguration)


@pytest.mark.must(24, 47)
def test_of_the_agents_admin_only_what_tells_and_names_nobody_is_reached(configure):
    routes = resources(configure(), PROBED, ROUTE, route_pb2.RouteConfiguration)["probes"]
    (host,) = routes.virtual_hosts
    assert [route.match.path for route in host.routes] == ["/livez", "/readyz", "/metrics"]
    for route in host.routes:
        (method,) = route.match.headers
        assert (method.name, method.string_match.exact) == (":method", "GET")
        assert route.route.host_rewrite_literal == "localhost"
        assert route.route.cluster == "agent_admin"


def test_the_agent_is_reached_also_where_it_publishes_no_keys(configure):
    assert "agent_admin" in resources(configure(), PROBED, CLUSTER, cluster_pb2.Cluster)
    assert "agent_admin" not in resources(configure(), ALONE, CLUSTER, cluster_pb2.Cluster)


def test_who_leaves_serves_one_request_on_each_new_connection(configure):
    for pod, expected in ((PROBED, 0), (Pod(PROBED.probes, leaving=True), 1)):
        listener = resources(configure(), pod, LISTENER, listener_pb2.Listener)["inbound"]
        options = manager(listener).common_http_protocol_options
        assert options.max_requests_per_connection.value == expected


def test_leaving_publishes_the_listeners_anew_and_every_later_change_too(configure):
    published = []
    delivery = Delivery(published.append, lambda: Path("/bundle"), lambda: 0.0, PROBED)
    delivery.take(configure(), lambda _: {})
    delivery.leave()
    delivery.take(configure(), lambda _: {})
    before, after, later = (one.types[LISTENER].version for one in published)
    assert before != after == later


def test_a_listener_on_every_ipv6_address_takes_ipv4_too(configure):
    config = configure(listeners={"inbound": {"address": "::"}})
    listeners = resources(config, ALONE, LISTENER, listener_pb2.Listener)
    assert listeners["inbound"].address.socket_address.ipv4_compat
    assert not listeners["outbound"].address.socket_address.ipv4_compat
