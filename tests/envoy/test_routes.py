"""Which cluster a request goes to, and what the agent is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2

from agent.config.attache import Attache
from agent.envoy.filters import EXT_AUTHZ
from agent.envoy.routes import PASSED, domains, route_configurations

INBOUND_ASKED = {"direction": "inbound", "underscores": "refused"}


def built(config: Attache) -> dict[str, Any]:
    return {one.name: one for one in route_configurations(config)}


def told(route: Any) -> dict[str, str]:
    message = ext_authz_pb2.ExtAuthzPerRoute()
    assert route.typed_per_filter_config[EXT_AUTHZ].Unpack(message)
    said = dict(message.check_settings.context_extensions)
    assert said.pop("headers") == "listed"
    return said


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["billing.shop"], ["billing.shop", "billing.shop:80"]),
        (["billing.shop:80"], ["billing.shop", "billing.shop:80"]),
        (["notification.shop:8001"], ["notification.shop:8001"]),
        (["Billing.Shop"], ["billing.shop", "billing.shop:80"]),
        (["a", "a:80", "a:81"], ["a", "a:80", "a:81"]),
        (["10.0.0.1"], ["10.0.0.1", "10.0.0.1:80"]),
        (["[::1]:8080"], ["[::1]:8080"]),
        (["[::1]"], ["[::1]", "[::1]:80"]),
    ],
)
@pytest.mark.must(25)
def test_a_host_matches_with_its_port_and_the_default_port_may_be_left_out(hosts, expected):
    assert domains(tuple(hosts)) == expected


def test_every_inbound_request_goes_to_the_application_and_the_agent_knows_the_direction(configure):
    (host,) = built(configure())["inbound"].virtual_hosts
    (route,) = host.routes
    assert list(host.domains) == ["*"]
    assert (route.match.prefix, route.route.cluster) == ("/", "application")
    assert told(route) == INBOUND_ASKED


def test_the_key_document_has_a_route_only_where_it_is_published(configure):
    tokens = {"issuer": "https://g", "trustDomain": "shop.internal", "keys": "/keys"}
    (host,) = built(configure(internalTokens=tokens | {"publish": True}))["inbound"].virtual_hosts
    jwks, rest = host.routes
    assert (jwks.match.path, jwks.route.cluster) == ("/.well-known/jwks.json", "agent_admin")
    assert told(jwks) == INBOUND_ASKED | {"publish": "jwks"}
    assert told(rest) == INBOUND_ASKED
    (host,) = built(configure(internalTokens=tokens))["inbound"].virtual_hosts
    assert [route.name for route in host.routes] == ["application"]


def test_each_destination_has_a_virtual_host_and_keeps_the_called_host(configure):
    notification, billing, rest = built(configure())["outbound"].virtual_hosts
    assert (notification.name, billing.name, rest.name) == ("notification", "billing", "unmatched")
    (route,) = billing.routes
    assert route.route.cluster == "destination_billing"
    assert route.route.WhichOneof("host_rewrite_specifier") is None
    assert told(route) == {"direction": "outbound", "destination": "billing"}


def test_a_timeout_bounds_the_wait_for_the_answers_beginning_and_never_cuts_a_stream(configure):
    billing = {"name": "billing", "hosts": ["billing.shop"], "timeout": "10m"}
    action = built(configure(destinations=[billing]))["outbound"].virtual_hosts[0].routes[0].route
    assert action.timeout.ToSeconds() == 0
    assert action.retry_policy.per_try_timeout.ToSeconds() == 600
    assert action.idle_timeout.ToSeconds() == 600


def test_only_what_was_never_sent_is_sent_again(configure):
    for configuration in built(configure()).values():
        for host in configuration.virtual_hosts:
            for route in host.routes:
                if route.WhichOneof("action") == "route":
                    kinds = set(route.route.retry_policy.retry_on.split(","))
                    assert kinds == {"connect-failure", "refused-stream", "reset-before-request"}


def test_https_is_told_where_tls_follows(configure):
    billing = {"name": "billing", "hosts": ["billing.shop"], "tls": {}}
    (route,) = built(configure(destinations=[billing]))["outbound"].virtual_hosts[0].routes
    (option,) = route.request_headers_to_add
    assert (option.header.key, option.header.value) == ("x-forwarded-proto", "https")


@pytest.mark.must(21)
def test_an_unmatched_host_is_refused_even_by_envoy_itself(configure):
    rest = built(configure())["outbound"].virtual_hosts[-1]
    (route,) = rest.routes
    assert list(rest.domains) == ["*"]
    assert (route.direct_response.status, route.direct_response.HasField("body")) == (403, False)
    assert told(route) == {"direction": "outbound", "unmatched": "deny"}


def test_passthrough_is_told_to_the_agent_and_ends_at_its_second_visit(configure):
    outbound = {"outbound": {"unmatched": "passthrough"}}
    back, out = built(configure(listeners=outbound))["outbound"].virtual_hosts[-1].routes
    assert told(out) == {"direction": "outbound", "unmatched": "passthrough"}
    assert told(back) == {"direction": "outbound", "unmatched": "deny"}
    assert back.direct_response.status == 403
    (mark,) = out.request_headers_to_add
    (matcher,) = back.match.headers
    assert (mark.header.key, mark.header.value) == (PASSED, "shop/task-api")
    assert (matcher.name, matcher.string_match.exact) == (PASSED, "shop/task-api")


CORS = {"allowOrigins": ["https://a.example"]}


@pytest.mark.must(23)
@pytest.mark.parametrize(
    "changes",
    [
        {"inbound": {"cors": CORS}},
        {"routes": [{"path": "/a", "anonymous": True, "cors": CORS}]},
    ],
)
def test_a_preflight_is_answered_by_envoy_once_the_agent_allows_it(configure, changes):
    (host,) = built(configure(**changes))["inbound"].virtual_hosts
    preflight, rest = host.routes
    assert told(preflight) == INBOUND_ASKED | {"preflight": "answered"}
    assert (preflight.direct_response.status, rest.route.cluster) == (200, "application")
    matchers = {one.name: one for one in preflight.match.headers}
    assert matchers.pop(":method").string_match.exact == "OPTIONS"
    assert set(matchers) == {"origin", "access-control-request-method"}
    assert all(one.present_match for one in matchers.values())


def test_where_no_cors_is_written_preflights_are_the_applications_matter(configure):
    (host,) = built(configure())["inbound"].virtual_hosts
    assert [route.name for route in host.routes] == ["application"]


@pytest.mark.must(17)
def test_no_route_is_without_the_agent(configure):
    for unmatched in ("deny", "passthrough"):
        config = configure(listeners={"outbound": {"unmatched": unmatched}})
        for configuration in built(config).values():
            for host in configuration.virtual_hosts:
                for route in host.routes:
                    assert told(route)["direction"] == configuration.name
