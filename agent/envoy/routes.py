"""Which cluster does a request go to, and what is the agent told about that choice?"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.type.matcher.v3 import string_pb2

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.config.fields import Address
from agent.config.login_rules import written
from agent.credentials.credential import Injection
from agent.envoy.clusters import ADMIN, APPLICATION, PASSTHROUGH, cluster_of
from agent.envoy.filters import asked_with, shown_body
from agent.envoy.injection import NOTHING_PUSHED, Pushed, pushing_cluster, unasked
from agent.envoy.proto import number, seconds

INBOUND = "inbound"
OUTBOUND = "outbound"
SIGNED_OUT_PATH = "/.attache/backchannel-logout"
LOGOUT_BYTES = 32 * 1024  # of a logout token: a token may have 16 KiB (SECURITY.md 13)
JWKS_PATH = "/.well-known/jwks.json"
# Marks what passthrough let go, so that a request which comes back to us ends here.
PASSED = "x-attache-passed"

# Our inbound connections refuse names with a `_` (agent/envoy/connections.py), and say so: the
# agent need not list every variant of every identity header in each answer.
_ASKED_INBOUND = {"direction": INBOUND, "underscores": "refused"}

# Silence on an open stream (server-sent events, gRPC, WebSocket) that is no longer believed.
STREAM_IDLE = 300.0
# Only failures before a byte of the request was sent: nothing may happen twice.
_RETRY_ON = "connect-failure,refused-stream,reset-before-request"


def route_configurations(
    config: Attache, pushed: Pushed = NOTHING_PUSHED
) -> Iterator[route_pb2.RouteConfiguration]:
    """Return the route configurations of *config*, one a listener, under constant names."""
    if config.listeners.inbound:
        yield _inbound(config)
    if config.listeners.outbound:
        yield _outbound(config, pushed)


def domains(hosts: tuple[str, ...]) -> list[str]:
    """Return the Host values that mean *hosts*: the default port may be written or not.

    RFC 9110 §4.2.3: an http authority without a port is the same as with `:80`.
    """
    found: dict[str, None] = {}
    for host in hosts:
        address = Address.parse(host, default_port=80)
        text = str(address).lower()
        if address.port == 80:
            found[text.removesuffix(":80")] = None
        found[text] = None
    return list(found)


def _inbound(config: Attache) -> route_pb2.RouteConfiguration:
    """Everything goes to the application: which paths may, the agent knows (SECURITY.md 20)."""
    host = _virtual_host(INBOUND, ["*"])
    if config.internal_tokens and config.internal_tokens.publish:
        host.routes.append(
            route_components_pb2.Route(
                name="jwks",
                match=route_components_pb2.RouteMatch(path=JWKS_PATH),
                route=_to(ADMIN, 5),
                typed_per_filter_config=asked_with(**_ASKED_INBOUND, publish="jwks"),
            )
        )
    if config.inbound.cors or any(route.cors for route in config.routes):
        host.routes.append(_preflight())
    if config.revocation and any(written(config)):
        host.routes.append(_signed_out_elsewhere())
    host.routes.append(
        route_components_pb2.Route(
            name=APPLICATION,
            match=_any_path(),
            route=_to(APPLICATION, 0),  # how long it may think is the application's own matter
            typed_per_filter_config=asked_with(**_ASKED_INBOUND),
        )
    )
    return route_pb2.RouteConfiguration(name=INBOUND, virtual_hosts=[host])


def _preflight() -> route_components_pb2.Route:
    """Return the answer to a preflight, if the agent allows it; no application sees one.

    Envoy's own cors filter would answer for paths that no route allows, and before the agent knows.
    """
    present = [
        route_components_pb2.HeaderMatcher(name=name, present_match=True)
        for name in ("origin", "access-control-request-method")
    ]
    method = route_components_pb2.HeaderMatcher(
        name=":method", string_match=string_pb2.StringMatcher(exact="OPTIONS")
    )
    return route_components_pb2.Route(
        name="preflight",
        match=route_components_pb2.RouteMatch(prefix="/", headers=[method, *present]),
        direct_response=route_components_pb2.DirectResponseAction(status=200),
        typed_per_filter_config=asked_with(**_ASKED_INBOUND, preflight="answered"),
    )


def _signed_out_elsewhere() -> route_components_pb2.Route:
    """Return the answer to a provider that ended a session, if the agent believes it.

    OpenID Connect Back-Channel Logout 1.0 §2.8: 200, and nothing may keep it.
    """
    return route_components_pb2.Route(
        name="signed-out",
        match=route_components_pb2.RouteMatch(path=SIGNED_OUT_PATH),
        direct_response=route_components_pb2.DirectResponseAction(status=200),
        response_headers_to_add=[_overwrite("cache-control", "no-store")],
        typed_per_filter_config=shown_body(LOGOUT_BYTES, **_ASKED_INBOUND),
    )


def _outbound(config: Attache, pushed: Pushed) -> route_pb2.RouteConfiguration:
    """One virtual host a destination, and what no destination names."""
    hosts = [
        _destination(destination, config, pushed.get(destination.name))
        for destination in config.called
    ]
    rest = _virtual_host("unmatched", ["*"])
    outbound = config.listeners.outbound
    if outbound and outbound.unmatched == "passthrough":
        us = config.workload.id
        rest.routes.append(_refused(route_components_pb2.RouteMatch(prefix="/", headers=[_by(us)])))
        rest.routes.append(_passed(us))
    else:
        rest.routes.append(_refused(_any_path()))
    return route_pb2.RouteConfiguration(name=OUTBOUND, virtual_hosts=[*hosts, rest])


def _destination(
    destination: Destination, config: Attache, pushed: Injection | None
) -> route_components_pb2.VirtualHost:
    """Return a destination's virtual host; with a *pushed* credential nobody is asked.

    The Host that the application called is kept: the server may tell its sites by it, and links,
    cookies and signatures that either side makes of it stay true.
    """
    host = _virtual_host(destination.name, domains(destination.hosts))
    cluster = pushing_cluster(destination) if pushed else cluster_of(destination)
    route = route_components_pb2.Route(
        name=cluster,
        match=_any_path(),
        route=_to(cluster, destination.timeout),
        typed_per_filter_config=asked_with(direction=OUTBOUND, destination=destination.name),
    )
    if pushed:
        unasked(route, config, pushed)
    if destination.tls:  # Envoy wrote http, which is how the application came to it
        route.request_headers_to_add.append(_overwrite("x-forwarded-proto", "https"))
    host.routes.append(route)
    return host


def _refused(match: route_components_pb2.RouteMatch) -> route_components_pb2.Route:
    """Return a route to nowhere: the agent denies it, and if it ever did not, this 403 does."""
    return route_components_pb2.Route(
        name="refused",
        match=match,
        direct_response=route_components_pb2.DirectResponseAction(status=403),
        typed_per_filter_config=asked_with(direction=OUTBOUND, unmatched="deny"),
    )


def _passed(us: str) -> route_components_pb2.Route:
    return route_components_pb2.Route(
        name=PASSTHROUGH,
        match=_any_path(),
        route=_to(PASSTHROUGH, 0),
        request_headers_to_add=[_overwrite(PASSED, us)],
        typed_per_filter_config=asked_with(direction=OUTBOUND, unmatched="passthrough"),
    )


def _to(cluster: str, timeout: float) -> route_components_pb2.RouteAction:
    """Route to *cluster*, whose answer must begin within *timeout* seconds (0: whenever).

    `per_try_timeout` rests once the answer has begun, so that a stream may last; the route's own
    `timeout` would cut it. `idle_timeout` ends a stream on which nothing moves any more.
    """
    retry = route_components_pb2.RetryPolicy(retry_on=_RETRY_ON, num_retries=number(1))
    if timeout:
        retry.per_try_timeout.CopyFrom(seconds(timeout))
    return route_components_pb2.RouteAction(
        cluster=cluster,
        timeout=seconds(0),
        idle_timeout=seconds(max(timeout, STREAM_IDLE)),
        retry_policy=retry,
    )


def _virtual_host(name: str, names: list[str]) -> route_components_pb2.VirtualHost:
    return route_components_pb2.VirtualHost(name=name, domains=names)


def _any_path() -> route_components_pb2.RouteMatch:
    return route_components_pb2.RouteMatch(prefix="/")


def _by(workload: str) -> route_components_pb2.HeaderMatcher:
    exact = string_pb2.StringMatcher(exact=workload)
    return route_components_pb2.HeaderMatcher(name=PASSED, string_match=exact)


def _overwrite(name: str, value: str) -> base_pb2.HeaderValueOption:
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=name, value=value),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
