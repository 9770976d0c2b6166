"""Where does Envoy listen, and for whom?"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2

from agent.config.attache import Attache
from agent.config.fields import Address
from agent.config.listeners import Inbound, Outbound
from agent.envoy import connections, opaque
from agent.envoy.connections import Inline
from agent.envoy.pod import ALONE, Pod
from agent.envoy.probes import probes_listener
from agent.envoy.proto import number, pack, tcp
from agent.envoy.routes import INBOUND, OUTBOUND

_BUFFER = 64 * 1024


def listeners(
    config: Attache, inline: Inline | None, pod: Pod = ALONE
) -> Iterator[listener_pb2.Listener]:
    """Return the listeners of *config*, and what its *pod* needs besides.

    Routes come by name over ADS (*inline* None), so that a change of routes drains no connection;
    otherwise they stand in the listener.
    """
    if inbound := config.listeners.inbound:
        yield _inbound(config, inbound, inline, pod)
    if outbound := config.listeners.outbound:
        yield _outbound(config, outbound, inline)
    if pod.probes:
        yield probes_listener(pod.probes)


def _inbound(
    config: Attache, inbound: Inbound, inline: Inline | None, pod: Pod
) -> listener_pb2.Listener:
    chain = opaque.chain("http", connections.inbound(config, inbound, inline, pod.leaving))
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
            opaque.inspector("original_dst", pack(original_dst_pb2.OriginalDst()))
        )
        if outbound.unmatched == "passthrough":
            opaque.let_through(listener, http, config, outbound)
            return listener
    listener.filter_chains.append(opaque.chain("http", http))
    return listener


def _listener(name: str, address: Address) -> listener_pb2.Listener:
    listener = listener_pb2.Listener(
        name=name, address=tcp(address), per_connection_buffer_limit_bytes=number(_BUFFER)
    )
    # "::" is every address there is, as everywhere but in Envoy's default.
    listener.address.socket_address.ipv4_compat = address.host == "::"
    return listener
