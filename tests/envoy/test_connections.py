"""How Envoy reads HTTP: each line of ENVOY.md's hardening."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3 import protocol_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.request_id.uuid.v3 import uuid_pb2

from agent.config.attache import Attache
from agent.envoy import connections

HTTP = hcm.HttpConnectionManager
LIMITS = protocol_pb2.HttpProtocolOptions


def inbound(config: Attache) -> Any:
    assert config.listeners.inbound
    return unpacked(connections.inbound(config, config.listeners.inbound, None))


def outbound(config: Attache) -> Any:
    assert config.listeners.outbound
    return unpacked(connections.outbound(config, config.listeners.outbound, None))


def unpacked(network_filter: Any) -> Any:
    manager = HTTP()
    assert network_filter.typed_config.Unpack(manager)
    return manager


def names(manager: Any) -> list[str]:
    return [one.name.rpartition(".")[2] for one in manager.http_filters]


@pytest.mark.must(20)
def test_callers_paths_are_normalised_and_escaped_slashes_refused(configure):
    manager = inbound(configure())
    assert manager.normalize_path.value
    assert manager.merge_slashes
    assert manager.path_with_escaped_slashes_action == HTTP.REJECT_REQUEST


def test_callers_headers_with_underscores_are_refused(configure):
    action = inbound(configure()).common_http_protocol_options.headers_with_underscores_action
    assert action == LIMITS.REJECT_REQUEST


def test_the_applications_own_paths_and_headers_are_left_as_they_are(configure):
    manager = outbound(configure())
    assert (manager.normalize_path.value, manager.merge_slashes) == (False, False)
    assert manager.HasField("normalize_path")  # absent would mean Envoy's runtime default
    assert manager.path_with_escaped_slashes_action == HTTP.KEEP_UNCHANGED
    assert manager.common_http_protocol_options.headers_with_underscores_action == LIMITS.ALLOW


@pytest.mark.parametrize("edge", [True, False])
def test_at_the_edge_the_peer_is_the_truth_and_inside_ids_go_on(configure, edge):
    manager = inbound(configure(listeners={"inbound": {"edge": edge}}))
    assert manager.use_remote_address.value is edge
    assert manager.preserve_external_request_id is not edge
    manager = outbound(configure(listeners={"inbound": {"edge": edge}}))
    assert (manager.use_remote_address.value, manager.preserve_external_request_id) == (False, True)


def test_on_both_sides_request_ids_are_whole_sizes_bounded_and_envoy_is_silent(configure):
    for manager in (inbound(configure()), outbound(configure())):
        identifier = uuid_pb2.UuidRequestIdConfig()
        assert manager.request_id_extension.typed_config.Unpack(identifier)
        assert identifier.HasField("pack_trace_reason")
        assert not identifier.pack_trace_reason.value
        assert manager.generate_request_id.value
        assert manager.max_request_headers_kb.value == 64
        assert manager.common_http_protocol_options.max_headers_count.value == 100
        assert manager.http2_protocol_options.max_concurrent_streams.value > 0
        assert manager.stream_idle_timeout.ToSeconds() == 300
        assert manager.server_header_transformation == HTTP.PASS_THROUGH
        assert [upgrade.upgrade_type for upgrade in manager.upgrade_configs] == ["websocket"]
        assert manager.codec_type == HTTP.AUTO


def test_a_caller_that_dribbles_its_headers_is_dropped(configure):
    assert inbound(configure()).request_headers_timeout.ToSeconds() == 10


@pytest.mark.must(17)
def test_the_agent_is_asked_before_anything_else_acts(configure):
    assert names(inbound(configure())) == ["ext_authz", "header_mutation", "router"]
    cors = configure(inbound={"cors": {"allowOrigins": ["https://a.example"]}})
    assert names(inbound(cors)) == ["ext_authz", "header_mutation", "router"]
    assert names(outbound(cors)) == ["ext_authz", "router"]


def test_only_passthrough_in_proxy_mode_resolves_hosts(configure):
    for mode, unmatched, found in (
        ("proxy", "deny", False),
        ("proxy", "passthrough", True),
        ("redirect", "deny", False),
        ("redirect", "passthrough", False),
    ):
        config = configure(listeners={"outbound": {"mode": mode, "unmatched": unmatched}})
        assert ("dynamic_forward_proxy" in names(outbound(config))) is found


def test_the_proxy_reads_absolute_urls_and_tells_the_truth_about_the_scheme(configure):
    manager = outbound(configure())
    assert manager.http_protocol_options.allow_absolute_url.value
    assert manager.scheme_header_transformation.match_upstream
