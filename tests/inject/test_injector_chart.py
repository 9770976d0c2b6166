"""charts/attache-injector: what it renders, refuses, and may do in a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from agent.inject.injector import PATHS
from agent.inject.keeper import service_names
from agent.inject.settings import Settings, parse_settings

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

INJECTOR = Path(__file__).parents[2] / "charts" / "attache-injector"
Tree = dict[str, Any]
Rendered = dict[str, Tree]
Render = Callable[..., Rendered]
NAMESPACE = "attache-system"


@pytest.fixture(scope="module")
def render() -> Iterator[Render]:
    """Objects by kind and name, as `Deployment/attache-injector`."""
    with helm.Chart.load(INJECTOR) as chart:

        def rendered(**values: Any) -> Rendered:
            chart.validate_schema(values)
            texts = chart.render(values, name="attache-injector", namespace=NAMESPACE)
            yaml = YAML(typ="safe", pure=True)
            found = {}
            for path, text in texts.items():
                if path.endswith(".yaml"):
                    for one in filter(None, yaml.load_all(text)):
                        found[f"{one['kind']}/{one['metadata']['name']}"] = one
            return found

        yield rendered


CLUSTER = "attache-injector-attache-system"
CACHE = Path(os.environ.get("CLUSTER_CACHE", Path.home() / ".cache" / "attache-cluster"))
HELM = shutil.which("helm") or shutil.which("helm", path=CACHE / "bin")
OLD = ["annotations=false", "injector.sidecars=ordinary", "injector.drainSeconds=0"]
EVERYTHING: Tree = {
    "networkPolicy": {"metricsFrom": [{"podSelector": {}}], "apiServers": [{"podSelector": {}}]},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "podLabels": {"team": "platform"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "imagePullSecrets": [{"name": "x"}],
    "priorityClassName": "system-cluster-critical",
    "serviceAccount": {"annotations": {"a": "b"}},
}


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"certificate": {"source": "cert-manager"}}])
def test_every_object_is_what_kubernetes_knows(render: Render, values: Tree) -> None:
    for name, manifest in render(**values).items():
        if "monitoring.coreos.com" in manifest["apiVersion"] or "cert-manager" in str(
            manifest["apiVersion"]
        ):
            continue  # no schema is at hand
        kubernetes_validate.validate(manifest, "1.34", strict=True)
        assert "namespace" not in manifest["metadata"], name


class TestLockOut:
    """No value of this chart makes a cluster unable to heal itself."""

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"excludedNamespaces": ["monitoring"]},
            {"annotations": False},
            {"failurePolicy": "Ignore"},
            EVERYTHING,
        ],
    )
    def test_the_clusters_own_namespaces_and_ours_are_never_asked_about(
        self, render: Render, values: Tree
    ) -> None:
        hooks = render(**values)[f"MutatingWebhookConfiguration/{CLUSTER}"]["webhooks"]
        assert len(hooks) == 2
        for hook in hooks:
            excluded = hook["namespaceSelector"]["matchExpressions"][0]
            assert (excluded["key"], excluded["operator"]) == (
                "kubernetes.io/metadata.name", "NotIn",
            )  # fmt: skip
            always = {"kube-system", "kube-public", "kube-node-lease", NAMESPACE}
            assert always | set(values.get("excludedNamespaces", [])) == set(excluded["values"])

    def test_only_new_pods_that_ask_wait_for_the_webhook(self, render: Render) -> None:
        hooks = by_path(render())
        for hook in hooks.values():
            (rule,) = hook["rules"]
            assert (rule["operations"], rule["resources"]) == (["CREATE"], ["pods"])
            assert hook["timeoutSeconds"] <= 30
            assert hook["sideEffects"] == "None"
        (asks,) = hooks["/inject"]["matchConditions"]
        assert asks["expression"].startswith("!((has(object.metadata.annotations)")
        assert asks["expression"].endswith("in ['', 'false'])")
        everybody = hooks["/inject/all"]["namespaceSelector"]["matchExpressions"][1]
        assert everybody == {"key": "attache.dev/inject", "operator": "In", "values": ["true"]}
        some = hooks["/inject"]["namespaceSelector"]["matchExpressions"][1]
        assert (some["operator"], some["values"]) == ("NotIn", ["true", "false"])

    def test_without_match_conditions_pods_ask_by_label(self, render: Render) -> None:
        hooks = by_path(render(annotations=False))
        selectors = {
            path: hook["objectSelector"]["matchExpressions"][0] for path, hook in hooks.items()
        }
        assert selectors["/inject"]["operator"] == "In"
        assert selectors["/inject/all"]["operator"] == "NotIn"
        assert not [hook for hook in hooks.values() if "matchConditions" in hook]

    def test_the_paths_are_those_that_the_webhook_serves(self, render: Render) -> None:
        assert set(by_path(render())) == set(PATHS)

    def test_an_upgrade_says_nothing_of_what_the_webhook_writes(self, render: Render) -> None:
        objects = render()
        assert "data" not in objects["Secret/attache-injector"]
        for hook in by_path(objects).values():
            assert "caBundle" not in hook["clientConfig"]


def by_path(objects: Rendered) -> dict[str, Tree]:
    hooks = objects[f"MutatingWebhookConfiguration/{CLUSTER}"]["webhooks"]
    return {hook["clientConfig"]["service"]["path"]: hook for hook in hooks}


class TestRights:
    def test_it_may_do_four_things(self, render: Render) -> None:
        objects = render()
        assert objects[f"ClusterRole/{CLUSTER}"]["rules"] == [
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["mutatingwebhookconfigurations"],
                "resourceNames": [CLUSTER],
                "verbs": ["get", "patch"],
            },
        ]
        assert objects["Role/attache-injector"]["rules"] == [
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": ["attache-injector"],
                "verbs": ["get", "update"],
            }
        ]

    def test_with_cert_manager_it_may_look_at_namespaces_only(self, render: Render) -> None:
        objects = render(certificate={"source": "cert-manager"})
        assert len(objects[f"ClusterRole/{CLUSTER}"]["rules"]) == 1
        assert not [name for name in objects if name.startswith(("Role/", "Secret/"))]
        configuration = objects[f"MutatingWebhookConfiguration/{CLUSTER}"]
        assert configuration["metadata"]["annotations"] == {
            "cert-manager.io/inject-ca-from": "attache-system/attache-injector"
        }
        names = objects["Certificate/attache-injector"]["spec"]["dnsNames"]
        assert set(names) < set(service_names("attache-injector", NAMESPACE))
        assert objects["Issuer/attache-injector"]["spec"] == {"selfSigned": {}}
        other = {"source": "cert-manager", "issuerRef": {"kind": "ClusterIssuer", "name": "ca"}}
        assert "Issuer/attache-injector" not in render(certificate=other)

    @pytest.mark.must(48)
    def test_its_pods_pass_restricted(self, render: Render) -> None:
        spec = render()["Deployment/attache-injector"]["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_two_releases_do_not_meet(self, render: Render) -> None:
        with helm.Chart.load(INJECTOR) as chart:
            texts = chart.render({}, name="attache-injector", namespace="elsewhere")
        assert not [text for text in texts.values() if f"name: {CLUSTER}\n" in text]


class TestSettings:
    def test_injector_yaml_is_what_the_values_say(self, render: Render) -> None:
        said = {"mode": "redirect", "allowImages": ["registry.example/"], "envoyConcurrency": 3}
        data = render(injector=said)["ConfigMap/attache-injector"]["data"]["injector.yaml"]
        read = parse_settings(data.encode(), "injector.yaml")
        assert read == Settings.model_validate(said)
        assert (
            parse_settings(
                render()["ConfigMap/attache-injector"]["data"]["injector.yaml"].encode(), "x"
            )
            == Settings()
        )

    def test_changed_settings_roll_the_pods_out(self, render: Render) -> None:
        def annotation(**values: Any) -> str:
            template = render(**values)["Deployment/attache-injector"]["spec"]["template"]
            return str(template["metadata"]["annotations"]["attache.dev/settings"])

        assert annotation() == annotation(logLevel="debug")
        assert annotation() != annotation(injector={"mode": "redirect"})

    def test_what_the_command_is_told_is_what_exists(self, render: Render) -> None:
        objects = render()
        (container,) = objects["Deployment/attache-injector"]["spec"]["template"]["spec"][
            "containers"
        ]
        said = dict(arg.removeprefix("--").split("=", 1) for arg in container["args"])
        assert f"Service/{said['service']}" in objects
        assert f"Secret/{said['secret']}" in objects
        assert f"MutatingWebhookConfiguration/{said['webhooks']}" in objects
        assert said["namespace"] == NAMESPACE


class TestRefusals:
    @pytest.mark.must(49)
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"unknown": 1}, "unknown"),
            ({"injector": {"images": "x"}}, "images"),
            ({"injector": {"mode": "tproxy"}}, "mode"),
            ({"failurePolicy": "Never"}, "failurePolicy"),
            ({"replicas": 0}, "replicas"),
            ({"timeoutSeconds": 60}, "timeoutSeconds"),
            ({"certificate": {"life": "soon"}}, "life"),
            ({"excludedNamespaces": ["Not A Name"]}, "excludedNamespaces"),
            ({"replicas": 1}, "no node could ever be drained"),
            ({"serviceAccount": {"create": False}}, "name the account"),
        ],
    )
    def test_an_unsafe_value_is_refused(self, render: Render, values: Tree, words: str) -> None:
        with pytest.raises(helm.errors.HelmError) as refused:
            render(**values)
        assert words in str(refused.value)

    @pytest.mark.skipif(not HELM, reason="the engine from PyPI renders for its own version only")
    @pytest.mark.parametrize(
        ("kubernetes", "values", "words"),
        [
            ("1.27.0", [], "annotations: false"),
            ("1.28.0", [], "injector.sidecars: ordinary"),
            ("1.29.0", [], "injector.drainSeconds: 0"),
            ("1.28.0", ["injector.sidecars=ordinary"], "injector.drainSeconds: 0"),
            ("1.27.0", OLD, ""),
        ],
    )
    def test_what_an_old_cluster_cannot_do_is_told(
        self, kubernetes: str, values: list[str], words: str
    ) -> None:
        command = [str(HELM), "template", "x", str(INJECTOR), "--kube-version", kubernetes]
        command += [part for value in values for part in ("--set", value)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert words in done.stderr
        assert (done.returncode == 0) == (not words)

    def test_notes_say_where_pods_are_never_touched(self) -> None:
        with helm.Chart.load(INJECTOR) as chart:
            values = {"failurePolicy": "Ignore", "excludedNamespaces": ["monitoring"]}
            texts = chart.render(values, name="x", namespace=NAMESPACE)
        (notes,) = [text for path, text in texts.items() if path.endswith("NOTES.txt")]
        assert "attache-system, monitoring." in notes
        assert "WITHOUT one" in notes
