"""What becomes of redirected connections that are not plain http? (`unmatched: passthrough`)"""

from __future__ import annotations

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2 as substitution
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.type.v3 import range_pb2
from google.protobuf import any_pb2, struct_pb2

from agent.config.attache import Attache
from agent.config.fields import Address
from agent.config.listeners import Outbound
from agent.envoy.clusters import PASSTHROUGH
from agent.envoy.proto import is_ip, number, pack, seconds

REFUSED = "refused"  # no cluster has this name: Envoy closes the connection
# Seconds after which what is still unclear goes on unread: the server may be the one who greets, or
# the words may look like http's first. `opaquePorts` need not wait. Whoever connects that long
# before its first http request is not read either (docs/destinations.md says so).
SILENCE = 2.0

Match = listener_components_pb2.FilterChainMatch


def let_through(
    listener: listener_pb2.Listener,
    http: listener_components_pb2.Filter,
    config: Attache,
    outbound: Outbound,
) -> None:
    """Let what is not plain http (TLS, databases) go on to where its packets went, untouched.

    A connection to our own port was not redirected: sent on to where it went, it would come back
    to us for ever. It is read as http, whose routes know a request that comes back. TLS to the
    host of a destination is refused: nobody could decide on it, nor take away what it carries.
    """
    where = _ports(outbound.opaque_ports)
    for name, settings in (
        ("tls_inspector", pack(tls_inspector_pb2.TlsInspector())),
        ("http_inspector", pack(http_inspector_pb2.HttpInspector())),
    ):
        listener.listener_filters.append(inspector(name, settings, where))
    listener.listener_filters_timeout.CopyFrom(seconds(SILENCE))
    listener.continue_on_listener_filters_timeout = True
    ours = Match(destination_port=number(outbound.port))
    # tls_inspector tells what TLS would speak (ALPN) by the same words
    plain = Match(
        transport_protocol="raw_buffer", application_protocols=["http/1.0", "http/1.1", "h2c"]
    )
    listener.filter_chains.append(chain("direct", http, ours))
    listener.filter_chains.append(chain("http", http, plain))
    if names := _names(config):
        match = Match(transport_protocol="tls", server_names=names)
        listener.filter_chains.append(chain("named", _raw(REFUSED, _refusal()), match))
    listener.default_filter_chain.CopyFrom(chain("other", _raw(PASSTHROUGH)))


def chain(
    name: str,
    filter_: listener_components_pb2.Filter,
    match: listener_components_pb2.FilterChainMatch | None = None,
) -> listener_components_pb2.FilterChain:
    """Return a filter chain of one filter."""
    return listener_components_pb2.FilterChain(
        name=name, filters=[filter_], filter_chain_match=match
    )


def inspector(
    name: str,
    settings: any_pb2.Any,
    off: listener_components_pb2.ListenerFilterChainMatchPredicate | None = None,
) -> listener_components_pb2.ListenerFilter:
    """Return a listener filter that looks at new connections, but not where it is *off*."""
    return listener_components_pb2.ListenerFilter(
        name=f"envoy.filters.listener.{name}", typed_config=settings, filter_disabled=off
    )


def _names(config: Attache) -> list[str]:
    """The server names by which TLS would reach a destination past the agent."""
    hosts = (
        Address.parse(host, default_port=80).host
        for destination in config.called
        for host in destination.hosts
    )
    return sorted({host.lower() for host in hosts if not is_ip(host)})


def _ports(
    ports: tuple[int, ...],
) -> listener_components_pb2.ListenerFilterChainMatchPredicate | None:
    """Whether a connection goes to one of *ports*."""
    predicate = listener_components_pb2.ListenerFilterChainMatchPredicate
    rules = [
        predicate(destination_port_range=range_pb2.Int32Range(start=port, end=port + 1))
        for port in ports
    ]
    if len(rules) > 1:  # a set has two members at least
        return predicate(or_match=predicate.MatchSet(rules=rules))
    return rules[0] if rules else None


def _raw(cluster: str, *logs: accesslog_pb2.AccessLog) -> listener_components_pb2.Filter:
    settings = tcp_proxy_pb2.TcpProxy(
        stat_prefix=PASSTHROUGH, cluster=cluster, access_log=list(logs)
    )
    return listener_components_pb2.Filter(
        name="envoy.filters.network.tcp_proxy", typed_config=pack(settings)
    )


def _refusal() -> accesslog_pb2.AccessLog:
    line = struct_pb2.Struct()
    line.update(
        {
            "level": "warning",
            "message": "TLS to the host of a destination was refused: nobody could decide on it. "
            "Let the application call it by http:// (Envoy speaks TLS where tls says so), or "
            "remove the host from destinations",
            "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
            "serverName": "%REQUESTED_SERVER_NAME%",
            "address": "%DOWNSTREAM_LOCAL_ADDRESS%",
        }
    )
    settings = stream_pb2.StderrAccessLog(
        log_format=substitution.SubstitutionFormatString(json_format=line)
    )
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.stderr", typed_config=pack(settings))
