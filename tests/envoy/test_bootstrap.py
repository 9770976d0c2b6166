"""With what Envoy starts: the real one reads what we write."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from agent.envoy.bootstrap import bootstrap, static
from agent.envoy.tls import system_bundle

TOKENS = {"issuer": "https://g", "trustDomain": "shop.internal", "keys": "/keys", "publish": True}
SECURE = [
    {"name": "billing", "hosts": ["billing.shop"], "tls": {}},
    {"name": "v4", "hosts": ["v4.shop"], "address": "10.0.0.1:8443", "tls": {}},
    {"name": "v6", "hosts": ["[fd00::1]:81"], "address": "[fd00::1]:81", "timeout": "1h"},
    {"name": "sni", "hosts": ["sni.shop", "sni.shop:81"], "tls": {"sni": "b.example"}},
]

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "inbound only": {"listeners": {"outbound": None}, "destinations": []},
    "outbound only": {"listeners": {"inbound": None}, "routes": []},
    "edge with cors": {
        "listeners": {"inbound": {"edge": True, "application": "localhost:8000"}},
        "inbound": {"cors": {"allowOrigins": ["https://a.example", "http://b.example:81"]}},
    },
    "published keys": {"internalTokens": TOKENS},
    "tls": {"destinations": SECURE},
    "proxy passthrough": {"listeners": {"outbound": {"unmatched": "passthrough"}}},
    "redirect deny": {"listeners": {"outbound": {"mode": "redirect"}}},
    "redirect passthrough": {
        "listeners": {"outbound": {"mode": "redirect", "unmatched": "passthrough"}},
        "destinations": SECURE,
    },
    "ipv6": {"listeners": {"inbound": {"address": "::", "application": "[::1]:8000"}}},
    "no namespace": {"workload": {"name": "a.b_c-d", "namespace": ""}, "destinations": []},
}


@pytest.mark.parametrize("kind", ["bootstrap", "static"])
@pytest.mark.parametrize("changes", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_envoy_accepts_it_without_a_warning(envoy_binary, configure, tmp_path, changes, kind):
    config = configure(**changes)
    tree = bootstrap(config) if kind == "bootstrap" else static(config, system_bundle())
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(tree))
    command = [envoy_binary, "--mode", "validate", "-c", str(path), "--log-level", "warning"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # a deprecated field would stand here


def test_the_bootstrap_holds_the_agents_cluster_and_the_rest_comes_over_its_socket(configure):
    tree = bootstrap(configure())
    checks, xds = tree["static_resources"]["clusters"]
    assert (checks["name"], xds["name"]) == ("attache_agent", "attache_xds")
    assert "listeners" not in tree["static_resources"]
    ads = tree["dynamic_resources"]["ads_config"]
    assert ads["api_type"] == "GRPC"
    assert ads["grpc_services"][0]["envoy_grpc"]["cluster_name"] == "attache_xds"
    for kind in ("cds_config", "lds_config"):
        assert tree["dynamic_resources"][kind]["ads"] == {}


def test_the_static_file_asks_nobody_for_configuration(configure):
    tree = static(configure(destinations=SECURE), system_bundle())
    assert "dynamic_resources" not in tree
    assert '"ads"' not in json.dumps(tree)
    assert "sds_config" not in json.dumps(tree)


def test_the_workload_is_envoys_node(configure):
    assert bootstrap(configure())["node"] == {"id": "shop/task-api", "cluster": "task-api"}


@pytest.mark.must(24, 47)
def test_the_admin_port_is_where_it_is_configured_and_answers_questions_only(configure):
    admin = bootstrap(configure(envoy={"admin": "127.0.0.1:9"}))["admin"]
    assert admin["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 9}
    assert "access_log" not in admin
    assert {path["prefix"] for path in admin["allow_paths"]}.isdisjoint(
        {"/quitquitquit", "/logging", "/runtime_modify", "/drain_listeners", "/healthcheck"}
    )


@pytest.mark.must(42)
def test_the_number_of_connections_is_bounded(configure):
    (monitor,) = bootstrap(configure())["overload_manager"]["resource_monitors"]
    assert int(monitor["typed_config"]["max_active_downstream_connections"]) == 20_000
