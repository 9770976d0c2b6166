"""What Envoy is told so that it injects a credential by itself, and what it scrubs then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.credential_injector.v3 import credential_injector_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.http.injected_credentials.generic.v3 import generic_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.service.discovery.v3 import discovery_pb2

from agent.config.attache import Attache
from agent.credentials.credential import Injection
from agent.envoy.agent_cluster import HTTP_OPTIONS
from agent.envoy.filters import EXT_AUTHZ
from agent.envoy.snapshot import CLUSTER, ROUTE, SECRET, Snapshot
from agent.envoy.stream import Conversation, Memory
from agent.identity.principal import Kind

Configure = Callable[..., Attache]
TOKEN = Injection((("authorization", "Bearer canary"),), Kind.APP, 1000.0)
KEY = Injection((("x-api-key", "canary"),), Kind.APP)


@pytest.fixture
def config(configure: Configure) -> Attache:
    return configure(
        destinations=[
            {
                "name": "crm",
                "hosts": ["crm:80"],
                "delivery": "sds",
                "credential": {"secretFile": {"file": "/k"}},
            },
            {"name": "other", "hosts": ["other:80"]},
        ],
        inbound={"headers": {"x-team": "team"}},
    )


def resources(config: Attache, **pushed: Injection) -> dict[str, dict[str, Any]]:
    snapshot = Snapshot.of(config, Path("/bundle"), pushed)
    kinds = {
        CLUSTER: cluster_pb2.Cluster,
        SECRET: secret_pb2.Secret,
        ROUTE: route_pb2.RouteConfiguration,
    }
    return {
        url: {name: kind.FromString(item.value) for name, item in snapshot.types[url].items.items()}
        for url, kind in kinds.items()
    }


def route_to(found: dict[str, dict[str, Any]], name: str) -> Any:
    hosts = {host.name: host for host in found[ROUTE]["outbound"].virtual_hosts}
    (route,) = hosts[name].routes
    return route


def asked(route: Any) -> ext_authz_pb2.ExtAuthzPerRoute:
    settings = ext_authz_pb2.ExtAuthzPerRoute()
    route.typed_per_filter_config[EXT_AUTHZ].Unpack(settings)
    return settings


@pytest.mark.must(36)
def test_without_a_credential_the_agent_is_asked_and_no_secret_exists(config: Attache) -> None:
    found = resources(config)
    assert found[SECRET] == {}
    assert not any(name.startswith("pushed_") for name in found[CLUSTER])
    route = route_to(found, "crm")
    assert route.route.cluster == "destination_crm"
    assert not asked(route).disabled
    assert asked(route).check_settings.context_extensions["destination"] == "crm"


@pytest.mark.must(36)
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_credential_is_never_pushed(config: Attache, value: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        resources(config, crm=Injection((("x-api-key", value),), Kind.APP))


@pytest.mark.parametrize("injection", [TOKEN, KEY], ids=["token", "key"])
def test_with_a_credential_nobody_is_asked_and_envoy_injects(
    config: Attache, injection: Injection
) -> None:
    found = resources(config, crm=injection)
    ((header, value),) = injection.headers
    ((name, secret),) = found[SECRET].items()
    assert secret.generic_secret.secret.inline_string == value
    plain, pushing = found[CLUSTER]["destination_crm"], found[CLUSTER]["pushed_crm"]
    options = http_protocol_options_pb2.HttpProtocolOptions()
    pushing.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
    injector, codec = options.http_filters
    settings = credential_injector_pb2.CredentialInjector.FromString(injector.typed_config.value)
    assert settings.overwrite
    assert not settings.allow_request_without_credential
    generic = generic_pb2.Generic.FromString(settings.credential.typed_config.value)
    assert (generic.header, generic.credential.name) == (header, name)
    assert generic.credential.sds_config.HasField("ads")
    assert codec.name == "envoy.filters.http.upstream_codec"
    # In all else the two clusters are one.
    del options.http_filters[:]
    pushing.typed_extension_protocol_options[HTTP_OPTIONS].Pack(options, deterministic=True)
    pushing.name = pushing.load_assignment.cluster_name = "destination_crm"
    assert pushing == plain
    route = route_to(found, "crm")
    assert route.route.cluster == "pushed_crm"
    assert asked(route).disabled


@pytest.mark.must(29)
def test_the_route_scrubs_what_the_agent_would_have_scrubbed(config: Attache) -> None:
    route = route_to(resources(config, crm=KEY), "crm")
    removed = set(route.request_headers_to_remove)
    assert len(removed) == len(route.request_headers_to_remove)
    assert removed >= {
        *("x-auth-kind", "x_auth_kind", "x-auth_email", "x-team", "x_team"),
        *("x-attache-context", "x_attache_context", "baggage", "tracestate"),
        *("authorization", "x-api-key"),
    }
    assert not removed & {"x-correlation-id", "traceparent", "x-request-id", "host"}
    added = {each.header.key: each.header.value for each in route.request_headers_to_add}
    assert added == {"x-correlation-id": "%REQ(x-correlation-id?x-request-id)%"}


def test_nothing_changes_for_other_destinations(config: Attache) -> None:
    before, after = resources(config), resources(config, crm=KEY)
    assert route_to(before, "other") == route_to(after, "other")
    assert after[CLUSTER].keys() - before[CLUSTER].keys() == {"pushed_crm"}


@pytest.mark.must(45)
def test_a_snapshots_repr_shows_no_credential(config: Attache) -> None:
    snapshot = Snapshot.of(config, Path("/bundle"), {"crm": TOKEN})
    assert "canary" not in f"{snapshot!r}{snapshot.types[SECRET]!r}"


@pytest.mark.must(25)
@pytest.mark.parametrize(
    "change",
    [{"address": "10.0.0.1:80"}, {"credential": {"secretFile": {"file": "/other"}}}, {}],
    ids=["address", "credential", "nothing"],
)
def test_another_credential_or_address_has_another_secret(
    configure: Configure, change: dict[str, Any]
) -> None:
    base = {
        "name": "crm",
        "hosts": ["crm:80"],
        "delivery": "sds",
        "credential": {"secretFile": {"file": "/k"}},
    }
    names = [
        list(resources(configure(destinations=[base | more]), crm=KEY)[SECRET])
        for more in ({}, change)
    ]
    assert (names[0] != names[1]) == bool(change)


def test_a_secret_that_is_not_in_hand_yet_is_no_stranger(config: Attache) -> None:
    (name,) = Snapshot.of(config, Path("/bundle"), {"crm": KEY}).types[SECRET].items
    waiting = Snapshot.of(config, Path("/bundle"))
    conversation = Conversation(Memory())
    conversation.publish(waiting, 0.0)
    asking = discovery_pb2.DiscoveryRequest(type_url=SECRET, resource_names=[name, "stranger"])
    assert conversation.receive(asking, 0.0).unknown == ("stranger",)
