"""How are plain Python values written as the well-known types of Envoy's API?"""

from __future__ import annotations

import ipaddress
from typing import Any

from envoy.config.core.v3 import address_pb2, config_source_pb2
from google.protobuf import any_pb2, duration_pb2, wrappers_pb2

from agent.config.fields import Address


def pack(message: Any) -> any_pb2.Any:
    """Wrap *message* with its type; deterministic, so that equal content has equal bytes."""
    wrapped = any_pb2.Any()
    wrapped.Pack(message, deterministic=True)
    return wrapped


def seconds(value: float) -> duration_pb2.Duration:
    """Return *value* seconds, to the millisecond."""
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(round(value * 1000))
    return duration


def number(value: int) -> wrappers_pb2.UInt32Value:
    """Return *value* where the API tells 0 from absent."""
    return wrappers_pb2.UInt32Value(value=value)


def flag(value: bool) -> wrappers_pb2.BoolValue:
    """Return *value* where the API tells false from absent."""
    return wrappers_pb2.BoolValue(value=value)


def tcp(address: Address) -> address_pb2.Address:
    """Return the socket address of *address*."""
    socket = address_pb2.SocketAddress(address=address.host, port_value=address.port)
    return address_pb2.Address(socket_address=socket)


def is_ip(host: str) -> bool:
    """Whether *host* is a literal address, which needs no DNS and proves itself by IP SAN."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def from_agent() -> config_source_pb2.ConfigSource:
    """Say that a resource comes over the one ADS stream."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
        initial_fetch_timeout=seconds(15),
    )
