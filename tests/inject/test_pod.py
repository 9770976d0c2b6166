"""What becomes of a pod, what it may ask for, and why it may get nothing."""

from __future__ import annotations

import copy
from typing import Any

import kubernetes_validate
import pytest

from agent import __version__
from agent.inject import names
from agent.inject.jsonpatch import diff, pointer
from agent.inject.levels import Level, level_of
from agent.inject.pod import Injected, Untouched, inject
from agent.inject.refusal import Refusal
from agent.inject.settings import Settings

Tree = dict[str, Any]
NATIVE = Settings()
ORDINARY = Settings(sidecars="ordinary")
APP: Tree = {"name": "app", "image": "shop/app:1"}


def pod(annotations: dict[str, str] | None = None, *containers: Tree, **spec: Any) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "annotations": {names.INJECT: "true", **(annotations or {})}},
        "spec": {"containers": [copy.deepcopy(each) for each in containers or (APP,)], **spec},
    }


def done(tree: Tree, settings: Settings = NATIVE, level: Level = "privileged") -> Tree:
    before = copy.deepcopy(tree)
    outcome = inject(tree, settings, level)
    assert isinstance(outcome, Injected), outcome
    assert tree == before
    kubernetes_validate.validate(outcome.pod, "1.34", strict=True)
    again = inject(outcome.pod, settings, level)
    assert isinstance(again, Untouched)
    return outcome.pod


def refused(tree: Tree, settings: Settings = NATIVE, level: Level = "privileged") -> str:
    outcome = inject(tree, settings, level, unasked=True)
    assert isinstance(outcome, Refusal), outcome
    assert outcome.reason
    assert outcome.remedy
    return str(outcome)


def by_name(items: list[Tree]) -> dict[str, Tree]:
    return {item["name"]: item for item in items}


class TestShape:
    def test_native_sidecars_start_before_the_applications_init_containers(self) -> None:
        spec = done(pod(None, initContainers=[{"name": "migrate", "image": "m:1"}]))["spec"]
        assert [c["name"] for c in spec["initContainers"]] == [*names.CONTAINERS, "migrate"]
        assert [c.get("restartPolicy") for c in spec["initContainers"]] == [
            None, "Always", "Always", None,
        ]  # fmt: skip
        assert [c["name"] for c in spec["containers"]] == ["app"]

    def test_ordinary_ones_stand_last_and_let_the_application_end_first(self) -> None:
        spec = done(pod(), ORDINARY)["spec"]
        assert [c["name"] for c in spec["initContainers"]] == ["attache-init"]
        assert [c["name"] for c in spec["containers"]] == ["app", "attache", "attache-envoy"]
        _, agent, envoy = spec["containers"]
        assert "restartPolicy" not in agent | envoy
        assert agent["lifecycle"]["preStop"]["exec"]["command"] == [
            "sh", "-c", "touch /run/attache/leaving; exec sleep 20",
        ]  # fmt: skip
        assert envoy["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "20"]

    def test_the_pod_says_that_it_is_done_and_which_container_is_the_persons(self) -> None:
        annotations = done(pod())["metadata"]["annotations"]
        assert annotations[names.INJECTED] == __version__
        assert annotations[names.DEFAULT_CONTAINER] == "app"
        chosen = {names.DEFAULT_CONTAINER: "log"}
        assert done(pod(chosen))["metadata"]["annotations"][names.DEFAULT_CONTAINER] == "log"

    @pytest.mark.must(48)
    @pytest.mark.parametrize("settings", [NATIVE, ORDINARY])
    def test_in_proxy_mode_every_container_of_ours_passes_restricted(
        self, settings: Settings
    ) -> None:
        spec = done(pod(), settings, "restricted")["spec"]
        ours = [
            c for c in spec["initContainers"] + spec["containers"] if c["name"] in names.CONTAINERS
        ]
        assert len(ours) == 3
        for container in ours:
            context = container["securityContext"]
            assert context["runAsUser"] in (10020, 10021)
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert (context["runAsNonRoot"], context["allowPrivilegeEscalation"]) == (True, False)
            assert context["readOnlyRootFilesystem"]

    @pytest.mark.must(48)
    def test_redirect_mode_differs_in_the_init_container_alone(self) -> None:
        proxy = by_name(done(pod())["spec"]["initContainers"])
        redirect = by_name(done(pod({names.MODE: "redirect"}))["spec"]["initContainers"])
        assert redirect["attache"] == proxy["attache"]
        assert redirect["attache-envoy"] == proxy["attache-envoy"]
        context = redirect["attache-init"]["securityContext"]
        assert (context["runAsUser"], context["runAsNonRoot"]) == (0, False)
        assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
        assert not context["allowPrivilegeEscalation"]

    def test_redirect_mode_takes_the_init_image_and_the_exclusions(self) -> None:
        asked = {
            names.MODE: "redirect",
            names.EXCLUDE_INBOUND_PORTS: "9090, 9091,9090",
            names.EXCLUDE_OUTBOUND_PORTS: "5432",
            names.EXCLUDE_OUTBOUND_CIDRS: "10.0.0.0/8,fd00::/8",
        }
        init = done(pod(asked))["spec"]["initContainers"][0]
        assert init["image"] == NATIVE.init_image
        assert init["args"][4:] == [
            "--redirect", "--exclude-inbound-ports", "9090,9091", "--exclude-outbound-ports",
            "5432", "--exclude-outbound-cidrs", "10.0.0.0/8,fd00::/8",
        ]  # fmt: skip

    def test_files_are_mounted_into_the_agent_alone(self) -> None:
        asked = {
            names.SECRETS: "api, signing=/secrets/signing",
            names.CONFIG_MAPS: "trust=/trust",
            names.SECRET_PROVIDER_CLASSES: "vault=/vault",
            names.TOKENS: "api://AzureADTokenExchange=/var/run/tokens/azure",
        }
        spec = done(pod(asked))["spec"]
        agent = by_name(spec["initContainers"])["attache"]
        mounts = {m["mountPath"]: m["name"] for m in agent["volumeMounts"]}
        assert mounts["/secrets"] == "attache-secret-0"
        assert mounts["/var/run/tokens"] == "attache-secret-4"
        assert all(m["readOnly"] for m in agent["volumeMounts"] if "secret" in m["name"])
        volumes = by_name(spec["volumes"])
        assert volumes["attache-secret-1"]["secret"]["secretName"] == "signing"
        assert volumes["attache-secret-2"]["configMap"]["name"] == "trust"
        assert volumes["attache-secret-3"]["csi"]["driver"] == "secrets-store.csi.k8s.io"
        token = volumes["attache-secret-4"]["projected"]["sources"][0]["serviceAccountToken"]
        assert (token["audience"], token["path"]) == ("api://AzureADTokenExchange", "azure")
        others = [c for c in spec["initContainers"] + spec["containers"] if c != agent]
        assert not [
            m for c in others for m in c.get("volumeMounts", []) if "secret" in m["name"]
        ]  # fmt: skip


class TestApplication:
    def test_in_proxy_mode_it_learns_its_proxy_and_keeps_what_it_has(self) -> None:
        own = {**APP, "env": [{"name": "NO_PROXY", "value": ".local"}, {"name": "A", "value": "b"}]}
        (app,) = done(pod(None, own))["spec"]["containers"]
        assert {e["name"]: e["value"] for e in app["env"]} == {
            "NO_PROXY": ".local", "A": "b", "no_proxy": "127.0.0.1,localhost",
            "HTTP_PROXY": "http://127.0.0.1:15001", "http_proxy": "http://127.0.0.1:15001",
        }  # fmt: skip

    @pytest.mark.parametrize("asked", [{names.MODE: "redirect"}, {names.OUTBOUND_PORT: "none"}])
    def test_without_a_proxy_to_ask_it_learns_of_none(self, asked: dict[str, str]) -> None:
        assert "env" not in done(pod(asked))["spec"]["containers"][0]

    def test_it_stays_a_moment_unless_it_has_a_way_to_leave(self) -> None:
        leaves = {**APP, "name": "b", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}
        started = {**APP, "name": "c", "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}
        a, b, c = done(pod(None, APP, leaves, started))["spec"]["containers"]
        assert a["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
        assert b["lifecycle"] == leaves["lifecycle"]
        assert c["lifecycle"] == {**started["lifecycle"], "preStop": {"sleep": {"seconds": 5}}}

    def test_in_proxy_mode_its_probes_are_asked_of_envoy(self) -> None:
        own = {
            **APP,
            "ports": [{"name": "http", "containerPort": 8000}],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
            "livenessProbe": {"httpGet": {"path": "/live", "port": 9000}},
            "startupProbe": {"exec": {"command": ["true"]}},
        }
        (app,) = done(pod({names.APPLICATION_PORT: "8000"}, own))["spec"]["containers"]
        assert app["readinessProbe"] == {"httpGet": {"path": "/healthz", "port": 15006}}
        assert app["livenessProbe"] == own["livenessProbe"]
        assert app["startupProbe"] == own["startupProbe"]

    def test_a_probe_that_nobody_would_answer_is_warned_of(self) -> None:
        own = {**APP, "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8000}}}
        outcome = inject(pod(None, own), NATIVE, "privileged")
        assert isinstance(outcome, Injected)
        assert [w for w in outcome.warnings if "readinessProbe" in w]
        redirected = inject(pod({names.MODE: "redirect"}, own), NATIVE, "privileged")
        assert isinstance(redirected, Injected)
        assert redirected.warnings == ()

    def test_init_containers_that_envoy_is_too_late_for_are_warned_of(self) -> None:
        late = pod({names.MODE: "redirect"}, initContainers=[{"name": "migrate", "image": "m"}])
        outcome = inject(late, ORDINARY, "privileged")
        assert isinstance(outcome, Injected)
        assert [w for w in outcome.warnings if "migrate" in w]


class TestAsking:
    @pytest.mark.parametrize(
        ("annotations", "labels", "unasked", "gets"),
        [
            ({}, {}, False, False),
            ({}, {}, True, True),
            ({names.INJECT: "true"}, {}, False, True),
            ({}, {names.INJECT: "true"}, False, True),
            ({names.INJECT: "false"}, {}, True, False),
            ({}, {names.INJECT: "false"}, True, False),
            ({names.INJECT: "false"}, {names.INJECT: "true"}, True, False),
        ],
    )
    def test_the_annotation_wins_over_the_label_and_both_over_the_namespace(
        self, annotations: dict[str, str], labels: dict[str, str], unasked: bool, gets: bool
    ) -> None:
        tree = {"metadata": {"annotations": annotations, "labels": labels}, "spec": pod()["spec"]}
        outcome = inject(tree, NATIVE, "privileged", unasked)
        assert isinstance(outcome, Injected if gets else Untouched)

    def test_a_pod_of_the_chart_has_its_agent(self) -> None:
        tree = done(pod())
        del tree["metadata"]["annotations"][names.INJECTED]
        assert isinstance(inject(tree, NATIVE, "privileged", True), Untouched)

    def test_the_word_alone_that_it_is_done_saves_nobody(self) -> None:
        assert "has none" in refused(pod({names.INJECTED: "0.0.1"}))

    def test_images_are_the_operators_to_allow(self) -> None:
        asked = {names.IMAGE: "registry.example/attache:2", names.ENVOY_IMAGE: "registry.example/e"}
        assert "not allowed" in refused(pod(asked))
        allowed = Settings.model_validate({"allowImages": ["registry.example/"]})
        containers = by_name(done(pod(asked), allowed)["spec"]["initContainers"])
        assert containers["attache"]["image"] == "registry.example/attache:2"
        assert containers["attache-envoy"]["image"] == "registry.example/e"

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({names.INJECT: "yes"}, "neither true nor false"),
            ({names.PREFIX + "inbound": "1"}, "no such annotation"),
            ({names.CONFIG: "../x"}, "not the name of an object"),
            ({names.MODE: "tproxy"}, "no mode"),
            ({names.LOG_LEVEL: "loud"}, "no log level"),
            ({names.APPLICATION_PORT: "http"}, "no port"),
            ({names.APPLICATION_PORT: "70000"}, "no port"),
            ({names.APPLICATION_PORT: "\u0663"}, "no port"),
            ({names.APPLICATION_PORT: "15006"}, "has port 15006"),
            ({names.INBOUND_PORT: "15000"}, "has port 15000"),
            ({names.INBOUND_PORT: "15001"}, "both listeners"),
            ({names.INBOUND_PORT: "none", names.OUTBOUND_PORT: "none"}, "neither listener"),
            ({names.EXCLUDE_INBOUND_PORTS: "1"}, "belong to redirect mode"),
            ({names.MODE: "redirect", names.EXCLUDE_INBOUND_PORTS: "1,,2"}, "is empty"),
            ({names.MODE: "redirect", names.EXCLUDE_OUTBOUND_CIDRS: "0.0.0.0/0"}, "every address"),
            ({names.MODE: "redirect", names.EXCLUDE_OUTBOUND_CIDRS: "10.1.0.0/8"}, "no network"),
            ({names.SECRETS: "a=/etc/attache/x"}, "files of its own"),
            ({names.SECRETS: "a=/x/../etc"}, "is no path"),
            ({names.SECRETS: "a, b"}, "two volumes"),
            ({names.SECRETS: ",".join(f"a=/m{i}" for i in range(40))}, "more than 32"),
            ({names.TOKENS: "x"}, "no token"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, asked: dict[str, str], words: str) -> None:
        assert words in refused(pod(asked))


def ports(**port: int) -> Tree:
    return {**APP, "ports": [port]}


CONFLICTS: list[tuple[Tree, str]] = [
    (pod(None, hostNetwork=True), "spec.hostNetwork: "),
    (pod(None, hostPID=True), "spec.hostPID: "),
    (pod(None, shareProcessNamespace=True), "spec.shareProcessNamespace: "),
    (pod(None, os={"name": "windows"}), "spec.os: "),
    (pod(None, APP, {**APP, "name": "attache"}), "spec.containers[1].name: "),
    (pod(None, initContainers=[{"name": "attache-init"}]), "spec.initContainers[0].name: "),
    (pod(None, volumes=[{"name": "attache-run", "emptyDir": {}}]), "spec.volumes[0].name: "),
    (
        pod(None, {**APP, "volumeMounts": [{"name": "attache-run", "mountPath": "/x"}]}),
        "spec.containers[0].volumeMounts[0]: ",
    ),
    (pod(None, securityContext={"runAsUser": 10021}), "spec.securityContext.runAsUser: "),
    (
        pod(None, {**APP, "securityContext": {"runAsUser": 10020}}),
        "spec.containers[0].securityContext.runAsUser: ",
    ),
    (pod(None, ports(containerPort=15020)), "spec.containers[0].ports[0].containerPort: "),
    (
        pod({names.INBOUND_PORT: "8443"}, ports(containerPort=8443)),
        "spec.containers[0].ports[0].containerPort: ",
    ),
    (pod(None, ports(containerPort=80, hostPort=80)), "spec.containers[0].ports[0].hostPort: "),
    (
        pod(None, {**APP, "env": [{"name": "http_proxy", "value": "http://squid:3128"}]}),
        "spec.containers[0].env[0]: ",
    ),
    (
        pod({names.MODE: "redirect"}, {**APP, "securityContext": {"privileged": True}}),
        "spec.containers[0].securityContext: ",
    ),
    (
        pod(
            {names.MODE: "redirect"},
            {**APP, "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
        ),
        "spec.containers[0].securityContext: ",
    ),
]


class TestConflicts:
    @pytest.mark.must(24)
    @pytest.mark.parametrize(("tree", "place"), CONFLICTS)
    def test_what_cannot_stand_beside_an_agent_is_refused_with_its_place(
        self, tree: Tree, place: str
    ) -> None:
        assert refused(tree).startswith(place)

    @pytest.mark.parametrize("level", ["baseline", "restricted"])
    def test_redirect_mode_is_refused_where_the_namespace_forbids_its_init_container(
        self, level: Level
    ) -> None:
        said = refused(pod({names.MODE: "redirect"}), level=level)
        assert f"'{level}'" in said
        assert '"proxy"' in said

    @pytest.mark.parametrize(
        ("labels", "level"),
        [
            ({}, "privileged"),
            ({"pod-security.kubernetes.io/enforce": "baseline"}, "baseline"),
            ({"pod-security.kubernetes.io/enforce": "Baseline"}, "restricted"),
            ({"pod-security.kubernetes.io/warn": "restricted"}, "privileged"),
        ],
    )
    def test_a_namespace_enforces_what_its_label_says(
        self, labels: dict[str, str], level: Level
    ) -> None:
        assert level_of(labels) == level


class TestPatch:
    def test_the_operations_lead_from_one_pod_to_the_other(self) -> None:
        old = pod(None, initContainers=[{"name": "a"}], volumes=[])
        new = done(old)
        assert apply(old, diff(old, new)) == new

    def test_true_and_1_are_not_the_same(self) -> None:
        assert diff({"a": 1}, {"a": True}) == [{"op": "replace", "path": "/a", "value": True}]

    def test_what_is_gone_is_removed_and_what_moved_is_written_whole(self) -> None:
        old = {"a": 1, "b/c~d": [{"name": "x"}, {"name": "y"}]}
        new = {"b/c~d": [{"name": "y"}, {"name": "x"}]}
        assert apply(old, diff(old, new)) == new
        assert pointer("/b~1c~0d") == ["b/c~d"]


def apply(tree: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902 §4, written a second time."""
    tree = copy.deepcopy(tree)
    for operation in operations:
        *path, last = pointer(operation["path"])
        at = tree
        for step in path:
            at = at[int(step)] if isinstance(at, list) else at[step]
        key = int(last) if isinstance(at, list) else last
        if operation["op"] == "remove":
            del at[key]
        elif operation["op"] == "add" and isinstance(at, list):
            at.insert(key, operation["value"])
        else:
            at[key] = operation["value"]
    return tree
