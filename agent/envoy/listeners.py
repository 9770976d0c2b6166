"""Where does Envoy listen, and for whom?"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf import any_pb2

from agent.config.attache import Attache
from agent.config.fields import Address
from agent.config.listeners import Inbound, Outbound
from agent.envoy import connections
from agent.envoy.clusters import PASSTHROUGH
from agent.envoy.connections import Inline
from agent.envoy.proto import number, pack, seconds, tcp
from agent.envoy.routes import INBOUND, OUTBOUND

_BUFFER = 64 * 1024


def listeners(config: Attache, inline: Inline | None) -> Iterator[listener_pb2.Listener]:
    """Return the listeners of *config*.

    Routes come by name over ADS (*inline* None), so that a change of routes drains no connection;
    otherwise they stand in the listener.
    """
    if inbound := config.listeners.inbound:
        yield _inbound(config, inbound, inline)
    if outbound := config.listeners.outbound:
        yield _outbound(config, outbound, inline)


def _inbound(config: Attache, inbound: Inbound, inline: Inline | None) -> listener_pb2.Listener:
    chain = _chain("http", connections.inbound(config, inbound, inline))
    listener = _listener(INBOUND, Address(inbound.address, inbound.port))
    listener.traffic_direction = base_pb2.TrafficDirection.INBOUND
    listener.filter_chains.append(chain)
    return listener


def _outbound(config: Attache, outbound: Outbound, inline: Inline | None) -> listener_pb2.Listener:
    http = connections.outbound(config, outbound, inline)
    listener = _listener(OUTBOUND, Address(outbound.address, outbound.port))
    listener.traffic_direction = base_pb2.TrafficDirection.OUTBOUND
    if outbound.mode == "redirect":
        listener.listener_filters.append(
            _listener_filter("original_dst", pack(original_dst_pb2.OriginalDst()))
        )
        if outbound.unmatched == "passthrough":
            _let_other_protocols_through(listener, http, outbound.port)
            return listener
    listener.filter_chains.append(_chain("http", http))
    return listener


def _let_other_protocols_through(
    listener: listener_pb2.Listener, http: listener_components_pb2.Filter, port: int
) -> None:
    """Let what is not plain http (TLS, databases) go on to where its packets went, untouched.

    A connection to our own port was not redirected: sent on to where it went, it would come back
    to us for ever. It is read as http, whose routes know a request that comes back.
    """
    listener.listener_filters.append(
        _listener_filter("http_inspector", pack(http_inspector_pb2.HttpInspector()))
    )
    # Protocols in which the server speaks first show nothing to inspect.
    listener.listener_filters_timeout.CopyFrom(seconds(1))
    listener.continue_on_listener_filters_timeout = True
    ours = listener_components_pb2.FilterChainMatch(destination_port=number(port))
    plain = listener_components_pb2.FilterChainMatch(
        application_protocols=["http/1.0", "http/1.1", "h2c"]
    )
    raw = listener_components_pb2.Filter(
        name="envoy.filters.network.tcp_proxy",
        typed_config=pack(tcp_proxy_pb2.TcpProxy(stat_prefix=PASSTHROUGH, cluster=PASSTHROUGH)),
    )
    listener.filter_chains.append(_chain("direct", http, ours))
    listener.filter_chains.append(_chain("http", http, plain))
    listener.default_filter_chain.CopyFrom(_chain("other", raw))


def _listener(name: str, address: Address) -> listener_pb2.Listener:
    return listener_pb2.Listener(
        name=name, address=tcp(address), per_connection_buffer_limit_bytes=number(_BUFFER)
    )


def _chain(
    name: str,
    filter_: listener_components_pb2.Filter,
    match: listener_components_pb2.FilterChainMatch | None = None,
) -> listener_components_pb2.FilterChain:
    return listener_components_pb2.FilterChain(
        name=name, filters=[filter_], filter_chain_match=match
    )


def _listener_filter(name: str, settings: any_pb2.Any) -> listener_components_pb2.ListenerFilter:
    return listener_components_pb2.ListenerFilter(
        name=f"envoy.filters.listener.{name}", typed_config=settings
    )
