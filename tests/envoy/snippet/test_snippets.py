"""Whether what we print for others is what their Envoys understand, and as hard as ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from google.protobuf import json_format
from ruamel.yaml import YAML

from agent.config.attache import Attache
from agent.envoy.filters import READ_HEADERS
from agent.envoy.snippet import envoy_gateway, istio, plain_envoy

Configure = Callable[..., Attache]
BUILDERS = (plain_envoy.snippet, istio.snippet, envoy_gateway.snippet)


def read(text: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(text))


def parsed(tree: Any, message: Any) -> Any:
    """*tree* as Envoy reads it: an unknown field is an error."""
    return json_format.ParseDict(tree, message)


def is_the_agents_filter(tree: Any) -> bool:
    found = parsed(tree, hcm.HttpFilter())
    authz = ext_authz_pb2.ExtAuthz()
    assert found.typed_config.Unpack(authz)
    headers = tuple(each.exact for each in authz.allowed_headers.patterns)
    return (
        headers == READ_HEADERS
        and not authz.failure_mode_allow
        and tree["typed_config"]["failure_mode_allow"] is False  # in so many words
        and authz.validate_mutations
        and authz.status_on_error.code == 503
        and authz.grpc_service.retry_policy.num_retries.value == 20
        and not authz.HasField("with_request_body")
        and not authz.clear_route_cache
    )


def told(host: Any, name: str) -> dict[str, str]:
    settings = ext_authz_pb2.ExtAuthzPerRoute()
    assert (
        parsed(host, route_components_pb2.VirtualHost())
        .typed_per_filter_config[name]
        .Unpack(settings)
    )
    return dict(settings.check_settings.context_extensions)


@pytest.mark.parametrize("build", BUILDERS)
def test_what_is_printed_has_no_tags_and_short_comments(build: Any, configure: Configure) -> None:
    text = build(configure())
    assert "!!" not in text
    assert all(len(line) <= 102 for line in text.splitlines() if line.startswith("#"))
    assert text.startswith("# Attaché as the ext_authz service of ")


@pytest.mark.must(17, 20, 25)
def test_the_pieces_for_a_plain_envoy_are_those_of_our_own(configure: Configure) -> None:
    (pieces,) = read(plain_envoy.snippet(configure()))
    (cluster,) = pieces["clusters"]
    assert parsed(cluster, cluster_pb2.Cluster()).name == "attache_agent"
    assert is_the_agents_filter(pieces["http_filters"][0])
    manager = parsed(pieces["inbound_connection_manager"], hcm.HttpConnectionManager())
    assert manager.normalize_path.value
    assert manager.path_with_escaped_slashes_action == manager.REJECT_REQUEST
    name = pieces["http_filters"][0]["name"]
    inbound = told(pieces["inbound_virtual_host"], name)
    assert inbound == {"direction": "inbound", "headers": "listed"}
    hosts = {each["name"]: told(each, name) for each in pieces["outbound_virtual_hosts"]}
    common = {"direction": "outbound", "headers": "listed"}
    assert hosts == {
        "notification": common | {"destination": "notification"},
        "billing": common | {"destination": "billing"},
        "unmatched": common | {"unmatched": "deny"},
    }
    parsed(pieces["outbound_connection_manager"], hcm.HttpConnectionManager())


@pytest.mark.parametrize(("edge", "kept"), [(True, False), (False, True)])
def test_strangers_request_ids_are_not_kept(configure: Configure, edge: bool, kept: bool) -> None:
    config = configure(listeners={"inbound": {"edge": edge}})
    (pieces,) = read(plain_envoy.snippet(config))
    manager = pieces["inbound_connection_manager"]
    assert manager["preserve_external_request_id"] is kept
    assert manager["use_remote_address"] is edge


def test_a_direction_without_a_listener_has_no_pieces(configure: Configure) -> None:
    (pieces,) = read(
        plain_envoy.snippet(configure(listeners={"outbound": None}, destinations=None or []))
    )
    assert "outbound_virtual_hosts" not in pieces
    (pieces,) = read(plain_envoy.snippet(configure(listeners={"inbound": None}, routes=[])))
    assert "inbound_virtual_host" not in pieces


@pytest.mark.must(23)
def test_a_preflight_is_answered_where_routes_let_browsers_in(configure: Configure) -> None:
    shared = {"cors": {"allowOrigins": ["https://ui.example"]}}
    (pieces,) = read(plain_envoy.snippet(configure(inbound=shared)))
    host = pieces["inbound_virtual_host"]
    (route,) = parsed(host, route_components_pb2.VirtualHost()).routes
    settings = ext_authz_pb2.ExtAuthzPerRoute()
    assert route.typed_per_filter_config[pieces["http_filters"][0]["name"]].Unpack(settings)
    said = {"direction": "inbound", "preflight": "answered", "headers": "listed"}
    assert dict(settings.check_settings.context_extensions) == said
    assert route.direct_response.status == 200


def patches(config: Attache) -> list[dict[str, Any]]:
    (resource,) = read(istio.snippet(config))
    assert (resource["apiVersion"], resource["kind"]) == (
        "networking.istio.io/v1alpha3",
        "EnvoyFilter",
    )
    assert resource["metadata"] == {"name": "attache-task-api", "namespace": "shop"}
    assert resource["spec"]["workloadSelector"] == {"labels": {"app": "task-api"}}
    for patch in resource["spec"]["configPatches"]:
        assert set(patch) == {"applyTo", "match", "patch"}
    return list(resource["spec"]["configPatches"])


def test_istio_inserts_the_filter_in_both_directions_under_a_name_of_its_own(
    configure: Configure,
) -> None:
    found = [each for each in patches(configure()) if each["applyTo"] == "HTTP_FILTER"]
    assert [each["match"]["context"] for each in found] == ["SIDECAR_INBOUND", "SIDECAR_OUTBOUND"]
    for each in found:
        assert each["patch"]["operation"] == "INSERT_FIRST"
        assert each["patch"]["value"]["name"] == "attache.ext_authz"
        assert is_the_agents_filter(each["patch"]["value"])


@pytest.mark.must(21, 25)
def test_istio_tells_every_host_its_direction_and_only_destinations_a_destination(
    configure: Configure,
) -> None:
    hosts = [each for each in patches(configure()) if each["applyTo"] == "VIRTUAL_HOST"]
    rows = [
        (
            each["match"]["context"],
            each["match"].get("routeConfiguration", {}).get("vhost", {}).get("name"),
            told(each["patch"]["value"], "attache.ext_authz"),
        )
        for each in hosts
    ]
    common = {"direction": "outbound", "headers": "listed"}
    assert rows == [
        ("SIDECAR_INBOUND", None, {"direction": "inbound", "headers": "listed"}),
        ("SIDECAR_OUTBOUND", None, common | {"unmatched": "deny"}),
        (
            "SIDECAR_OUTBOUND",
            "notification.shop.svc.cluster.local:8001",
            common | {"destination": "notification"},
        ),
        (
            "SIDECAR_OUTBOUND",
            "billing.shop.svc.cluster.local:80",
            common | {"destination": "billing"},
        ),
    ]


def test_istio_reads_paths_as_our_own_envoy_does(configure: Configure) -> None:
    (patch,) = [each for each in patches(configure()) if each["applyTo"] == "NETWORK_FILTER"]
    typed = dict(patch["patch"]["value"]["typed_config"])
    assert typed.pop("@type").endswith(".HttpConnectionManager")
    manager = parsed(typed, hcm.HttpConnectionManager())
    assert manager.normalize_path.value
    assert manager.path_with_escaped_slashes_action == manager.REJECT_REQUEST


def test_istio_has_one_cluster_for_the_agent(configure: Configure) -> None:
    (patch,) = [each for each in patches(configure()) if each["applyTo"] == "CLUSTER"]
    assert patch["patch"]["operation"] == "ADD"
    cluster = parsed(patch["patch"]["value"], cluster_pb2.Cluster())
    pipe = cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.pipe
    assert pipe.path == "/run/attache/agent.sock"


def test_envoy_gateway_gets_the_four_resources_that_belong_together(configure: Configure) -> None:
    resources = {each["kind"]: each for each in read(envoy_gateway.snippet(configure()))}
    assert list(resources) == ["EnvoyProxy", "Backend", "SecurityPolicy", "ClientTrafficPolicy"]
    assert {each["apiVersion"] for each in resources.values()} == {"gateway.envoyproxy.io/v1alpha1"}
    asked = resources["SecurityPolicy"]["spec"]["extAuth"]
    assert asked["failOpen"] is False
    assert asked["headersToExtAuth"] == list(READ_HEADERS)
    said = {each["name"]: each["value"] for each in asked["contextExtensions"]}
    assert said == {"direction": "inbound", "headers": "listed"}
    (backend,) = asked["grpc"]["backendRefs"]
    assert backend["name"] == resources["Backend"]["metadata"]["name"]
    assert resources["Backend"]["spec"]["endpoints"] == [
        {"unix": {"path": "/run/attache/agent.sock"}}
    ]
    assert "bodyToExtAuth" not in asked
    assert "recomputeRoute" not in asked


def test_envoy_gateway_puts_the_agent_beside_envoy_with_the_socket_in_common(
    configure: Configure,
) -> None:
    (proxy, *_) = read(envoy_gateway.snippet(configure()))
    patch = proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["patch"]
    pod = patch["value"]["spec"]["template"]["spec"]
    envoy, agent = pod["containers"]
    (shared,) = envoy["volumeMounts"]
    assert shared == {"name": "attache", "mountPath": "/run/attache"}
    assert shared in agent["volumeMounts"]
    assert agent["securityContext"]["readOnlyRootFilesystem"] is True
    assert agent["securityContext"]["capabilities"] == {"drop": ["ALL"]}
