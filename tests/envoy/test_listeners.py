"""Where Envoy listens, for whom, and how the connection chooses its chain."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from agent.config.attache import Attache
from agent.envoy.listeners import listeners


def built(config: Attache) -> dict[str, Any]:
    return {one.name: one for one in listeners(config, inline=None)}


def filters(listener: Any) -> list[str]:
    return [one.name.rpartition(".")[2] for one in listener.listener_filters]


def test_listeners_stand_where_they_are_configured(configure):
    config = configure(
        listeners={
            "inbound": {"address": "10.1.1.1", "port": 1},
            "outbound": {"address": "127.0.0.9", "port": 2},
        }
    )
    sockets = {
        name: (one.address.socket_address.address, one.address.socket_address.port_value)
        for name, one in built(config).items()
    }
    assert sockets == {"inbound": ("10.1.1.1", 1), "outbound": ("127.0.0.9", 2)}


def test_a_listener_that_is_not_configured_is_not_there(configure):
    assert list(built(configure(listeners={"outbound": None}, destinations=[]))) == ["inbound"]
    assert list(built(configure(listeners={"inbound": None}, routes=[]))) == ["outbound"]


def test_only_redirect_mode_asks_for_the_original_destination(configure):
    assert filters(built(configure())["outbound"]) == []
    redirect = configure(listeners={"outbound": {"mode": "redirect"}})
    assert filters(built(redirect)["outbound"]) == ["original_dst"]
    assert filters(built(redirect)["inbound"]) == []


@pytest.mark.must(21)
def test_where_unmatched_is_denied_nothing_but_http_is_read(configure):
    for mode in ("proxy", "redirect"):
        listener = built(configure(listeners={"outbound": {"mode": mode}}))["outbound"]
        (chain,) = listener.filter_chains
        assert chain.filters[0].name == "envoy.filters.network.http_connection_manager"
        assert not listener.HasField("default_filter_chain")


def passing(configure: Any, **more: Any) -> listener_pb2.Listener:
    outbound = {"mode": "redirect", "unmatched": "passthrough", "port": 15009} | more
    return built(configure(listeners={"outbound": outbound}))["outbound"]


def test_redirected_passthrough_lets_other_protocols_through_but_not_to_ourselves(configure):
    listener = passing(configure)
    assert filters(listener) == ["original_dst", "tls_inspector", "http_inspector"]
    direct, http, named = listener.filter_chains
    assert direct.filter_chain_match.destination_port.value == 15009
    assert set(http.filter_chain_match.application_protocols) == {"http/1.0", "http/1.1", "h2c"}
    assert http.filter_chain_match.transport_protocol == "raw_buffer"  # else ALPN would match too
    assert direct.filters[0] == http.filters[0]
    assert cluster(listener.default_filter_chain) == "passthrough"
    assert list(named.filter_chain_match.server_names) == ["billing.shop", "notification.shop"]
    assert cluster(named) == "refused"


def test_where_servers_speak_first_nothing_is_waited_for(configure):
    listener = passing(configure)
    assert listener.continue_on_listener_filters_timeout
    original, tls, http = listener.listener_filters
    assert not original.HasField("filter_disabled")
    assert tls.filter_disabled == http.filter_disabled
    ranges = [rule.destination_port_range for rule in http.filter_disabled.or_match.rules]
    assert 3306 in [each.start for each in ranges]
    assert all(each.end == each.start + 1 for each in ranges)
    _, tls, _ = passing(configure, opaquePorts=[9999]).listener_filters
    assert tls.filter_disabled.destination_port_range.start == 9999
    _, tls, _ = passing(configure, opaquePorts=[]).listener_filters
    assert not tls.HasField("filter_disabled")


def cluster(chain: Any) -> str:
    (filter_,) = chain.filters
    assert filter_.name == "envoy.filters.network.tcp_proxy"
    return tcp_proxy_pb2.TcpProxy.FromString(filter_.typed_config.value).cluster


def test_routes_come_by_name_so_that_their_change_drains_no_connection(configure):
    before = built(configure())
    after = built(configure(destinations=[], routes=[]))
    assert before == after
    manager = hcm.HttpConnectionManager()
    before["outbound"].filter_chains[0].filters[0].typed_config.Unpack(manager)
    assert manager.rds.route_config_name == "outbound"


@pytest.mark.parametrize(("written", "path"), [("stdout", "/dev/stdout"), ("/logs/a", "/logs/a")])
def test_an_access_log_is_written_where_the_listener_says(configure, written, path):
    found = built(configure(listeners={"inbound": {"accessLog": written}}))
    logs = {name: manager(one).access_log for name, one in found.items()}
    # what no destination answered is always written
    assert [log.name for log in logs["outbound"]] == ["envoy.access_loggers.stderr"]
    (log,) = logs["inbound"]
    settings = file_pb2.FileAccessLog.FromString(log.typed_config.value)
    assert settings.path == path
    assert settings.log_format.json_format["direction"] == "inbound"


def manager(listener: Any) -> hcm.HttpConnectionManager:
    (filter_,) = listener.filter_chains[0].filters
    return hcm.HttpConnectionManager.FromString(filter_.typed_config.value)
