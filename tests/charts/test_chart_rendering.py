"""What charts/attache renders: valid Kubernetes, the pod of decision 17, and no more than asked."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from tests.charts.conftest import (
    CHARTS,
    EVERYTHING,
    REDIRECT,
    VALUES,
    container,
    documents,
    helm,
    of_kind,
    pod,
)

ORDINARY: dict[str, Any] = {"sidecars": "ordinary"}
COMBINATIONS = ({}, EVERYTHING, REDIRECT, ORDINARY, {**REDIRECT, **ORDINARY})
OPERATORS = ("ServiceMonitor", "PrometheusRule", "SecretProviderClass")


@pytest.mark.parametrize("change", COMBINATIONS, ids=("proxy", "all", "redirect", "old", "both"))
def test_every_manifest_is_valid_by_the_apis_own_schema(render, change):
    for manifest in render(change):
        if manifest["kind"] not in OPERATORS:
            kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_no_more_is_rendered_than_was_asked_for(render):
    assert sorted(one["kind"] for one in render()) == [
        "ConfigMap",
        "Deployment",
        "Service",
        "ServiceAccount",
    ]


def test_a_library_renders_no_workload(render):
    kinds = sorted(one["kind"] for one in render({"workload": {"image": ""}}))
    assert kinds == ["ConfigMap", "ServiceAccount"]


def test_the_configuration_is_attache_yaml_to_the_letter(render, tmp_path):
    from agent.config.loading import load

    file = tmp_path / "attache.yaml"
    file.write_text(of_kind(render(), "ConfigMap")["data"]["attache.yaml"])
    assert load(file).workload.id == "shop/tasks"


def test_native_sidecars_start_in_order_and_the_application_after_them(render):
    spec = pod(render({"workload": {"initContainers": [{"name": "own", "image": "x"}]}}))["spec"]
    names = [(one["name"], one.get("restartPolicy")) for one in spec["initContainers"]]
    assert names == [
        ("attache-init", None),
        ("attache", "Always"),
        ("attache-envoy", "Always"),
        ("own", None),
    ]
    assert [one["name"] for one in spec["containers"]] == ["application"]
    assert container({"spec": spec}, "attache-envoy")["startupProbe"]["httpGet"]["path"] == "/livez"


def test_ordinary_sidecars_stay_until_the_application_may_have_ended(render):
    template = pod(render(ORDINARY))
    assert [one["name"] for one in template["spec"]["containers"]] == [
        "application",
        "attache",
        "attache-envoy",
    ]
    hooks = [
        container(template, name)["lifecycle"]["preStop"]["exec"]["command"]
        for name in ("attache", "attache-envoy")
    ]
    assert hooks == [
        ["sh", "-c", "touch /run/attache/leaving; exec sleep 20"],
        ["sleep", "20"],
    ]
    assert "restartPolicy" not in container(template, "attache")


def restricted(one: dict[str, Any]) -> bool:
    """Pod Security Standards, level restricted, as far as a container decides it."""
    context = one["securityContext"]
    return (
        context["runAsNonRoot"] is True
        and context.get("runAsUser", 1) != 0
        and context["allowPrivilegeEscalation"] is False
        and context["capabilities"] == {"drop": ["ALL"]}
        and context["seccompProfile"] == {"type": "RuntimeDefault"}
    )


@pytest.mark.must(48)
@pytest.mark.parametrize("change", COMBINATIONS, ids=("proxy", "all", "redirect", "old", "both"))
def test_every_container_is_restricted_but_the_one_that_redirects(render, change):
    spec = pod(render(change))["spec"]
    containers = [*spec["initContainers"], *spec["containers"]]
    loose = [one["name"] for one in containers if not restricted(one)]
    assert loose == (["attache-init"] if "interception" in change else [])
    ours = [one for one in containers if one["name"] != "application"]
    assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in ours)
    assert all("cpu" not in one["resources"]["limits"] for one in ours)


@pytest.mark.must(48)
def test_the_container_that_redirects_may_change_the_network_and_nothing_else(render):
    init = container(pod(render(REDIRECT)), "attache-init")
    assert init["securityContext"] == {
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert init["image"] == "localhost/attache-init:0.1.0"
    assert init["args"][-7:] == [
        "--redirect",
        *("--exclude-inbound-ports", "9090", "--exclude-outbound-ports", "5432"),
        *("--exclude-outbound-cidrs", "10.1.0.0/16,fd00::/8"),
    ]


def test_secrets_are_mounted_into_the_agent_and_into_nothing_else(render):
    template = pod(render(EVERYTHING))
    spec = template["spec"]
    secret = {"attache-secret-0", "azure-identity-token"}
    for one in [*spec["initContainers"], *spec["containers"]]:
        mounted = {mount["name"] for mount in one.get("volumeMounts", [])}
        assert mounted & secret == (secret if one["name"] == "attache" else set())
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_the_application_asks_envoy_in_proxy_mode_only(render):
    def variables(*changes: dict[str, Any]) -> dict[str, str]:
        env = container(pod(render(*changes)), "application").get("env", [])
        return {one["name"]: one["value"] for one in env}

    assert variables()["http_proxy"] == "http://127.0.0.1:15001"
    assert variables({"interception": {"noProxy": ["db"]}})["NO_PROXY"] == "127.0.0.1,localhost,db"
    assert variables(REDIRECT) == {}
    assert variables({"config": {"listeners": {"outbound": {"port": 1234}}}})["HTTP_PROXY"] == (
        "http://127.0.0.1:1234"
    )


def test_callers_are_led_to_envoy(render):
    manifests = render({"config": {"listeners": {"inbound": {"port": 8443}}}})
    (port,) = of_kind(manifests, "Service")["spec"]["ports"]
    assert port["targetPort"] == "attache-in"
    ports = container(pod(manifests), "attache-envoy")["ports"]
    assert {one["name"]: one["containerPort"] for one in ports} == {
        "attache-in": 8443,
        "attache-probes": 15021,
    }


def test_a_configuration_of_somebody_elses_is_mounted_and_its_ports_are_said():
    values = {
        "workload": VALUES["workload"],
        "existingConfigMap": "mine",
        "ports": {"inbound": 8443, "outbound": 9000},
    }
    with helm.Chart.load(CHARTS / "attache") as chart:
        chart.validate_schema(values)
        manifests = documents(chart.render(values, name="tasks", namespace="shop"))
    assert "ConfigMap" not in {one["kind"] for one in manifests}
    template = pod(manifests)
    assert template["spec"]["volumes"][0]["configMap"] == {"name": "mine"}
    env = {one["name"]: one["value"] for one in container(template, "application")["env"]}
    assert env["HTTP_PROXY"] == "http://127.0.0.1:9000"
    assert container(template, "attache-envoy")["ports"][0]["containerPort"] == 8443


@pytest.mark.must(43)
def test_running_pods_take_over_a_configuration_unless_it_needs_what_they_lack(render):
    def name(change: dict[str, Any]) -> str:
        manifests = render(change)
        mounted = pod(manifests)["spec"]["volumes"][0]["configMap"]["name"]
        assert of_kind(manifests, "ConfigMap")["metadata"]["name"] == mounted
        return str(mounted)

    mount = {"mountPath": "/trust", "existingConfigMap": "trust"}
    assert name({"config": {"routes": []}}) == name({})
    assert name({"config": {"agent": {"threads": 64}}}) != name({})
    assert name({"secrets": [*VALUES["secrets"], mount]}) != name({})
