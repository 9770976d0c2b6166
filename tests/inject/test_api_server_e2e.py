"""The chart installed by Helm, the webhook run as the chart says, and a real API server asking."""

from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from agent.inject import names
from demo.child import ROOT, Child
from demo.ports import Ports
from demo.waiting import until
from tests.inject import api_server
from tests.inject.api_server import ApiServer, Refused

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        bool(api_server.absent()), reason=f"not on this machine: {', '.join(api_server.absent())}"
    ),
]
Tree = dict[str, Any]
HOME = "attache-system"
CHART = ROOT / "charts" / "attache-injector"
INSTALL = ("upgrade", "--install", "attache-injector", str(CHART), "-n", HOME)


class World:
    """The API server, and two replicas of the webhook."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = Ports()
        self.api = ApiServer(folder, self._ports)
        self.replicas: list[Child] = []
        self._slices: list[Tree] = []

    def start(self) -> None:
        """Install the chart, and run what its Deployment says."""
        self.api.start()
        self.namespace(HOME)
        self.api.helm(*INSTALL, replicas=2)
        account = self.api.account(HOME, "attache-injector", self._folder / "account")
        settings = self.api.get("configmap", "attache-injector", "-n", HOME)["data"]
        (self._folder / "injector.yaml").write_text(settings["injector.yaml"])
        deployment = self.api.get("deployment", "attache-injector", "-n", HOME)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for number in (1, 2):
            listen, health = self._ports.take(), self._ports.take()
            said = [
                *container["args"],
                f"--settings={self._folder / 'injector.yaml'}",
                f"--listen=0.0.0.0:{listen}",
                f"--health=127.0.0.1:{health}",
                f"--api-server={self.api.url}",
                f"--account={account}",
                "--interval=500ms",
            ]
            command = [sys.executable, "-c", "from agent.cli import main; main()"]
            command += [*container["command"][1:], *said]
            replica = Child(f"injector-{number}", command, self._folder / f"injector-{number}.log")
            replica.start()
            self.replicas.append(replica)
            replica.come_up(lambda port=health: _ready(port))
            self._lead_to(number, listen)

    def stop(self) -> None:
        """End all of it."""
        for replica in self.replicas:
            replica.kill()
        self.api.stop()

    def namespace(self, name: str, **labels: str) -> None:
        """Make a namespace; `enforce` is its Pod Security level."""
        level = labels.pop("enforce", "restricted")
        said = {"pod-security.kubernetes.io/enforce": level, **labels}
        metadata = {"name": name, "labels": said}
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def pod(self, namespace: str, name: str, says: Tree | None = None, **spec: Any) -> Tree:
        """Create a pod; return it as it is stored. `Refused` where it is not."""
        pod = copy.deepcopy(POD)
        pod["metadata"] = {"name": name, "namespace": namespace, **(says or {})}
        pod["spec"] |= spec
        return self.api.post(f"/api/v1/namespaces/{namespace}/pods", pod)

    def _lead_to(self, number: int, port: int) -> None:
        """What the endpoint controller would write."""
        self.api.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"injector-{number}",
                    "namespace": HOME,
                    "labels": {"kubernetes.io/service-name": "attache-injector"},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": [api_server.own_address()], "conditions": {"ready": True}}
                ],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        )


def _ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
POD: Tree = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "serviceAccountName": "default",
        "containers": [{"name": "app", "image": "shop/app:1", "securityContext": HARDENED}],
    },
}
TEMPLATE = """
  selector: {matchLabels: {app: x}}
  template:
    metadata:
      labels: {app: x}
      annotations:
        attache.dev/secrets: api, signing=/keys
        attache.dev/config-maps: trust=/trust
        attache.dev/secret-provider-classes: vault=/vault
        attache.dev/service-account-tokens: api://x=/var/run/secrets/tokens/azure
    spec:
      containers:
      - name: app
        image: shop/app:1
"""
JOB = """
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: shop/job:1}]
"""
MANIFESTS = "---\n".join(
    [
        *(
            f"apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec:{TEMPLATE}"
            for kind in ("Deployment", "StatefulSet", "DaemonSet")
        ),
        f"# jobs\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: x}}\nspec:{JOB}",
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec:\n"
        "  schedule: '0 0 * * *'\n  jobTemplate:\n    spec:\n"
        + textwrap.indent(JOB.lstrip("\n"), "    "),
    ]
)
ASKS = {"annotations": {names.INJECT: "true"}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    here = World(tmp_path_factory.mktemp("api"))
    try:
        here.start()
        here.namespace("shop")
        until(lambda: _answers(here), "the webhook behind its Service", 60)
        yield here
    finally:
        here.stop()


def _answers(world: World) -> bool:
    """A Service is known a moment after it is made."""
    return attempt(world, "first")


def injected(pod: Tree) -> bool:
    """Whether a stored pod has its agent."""
    every = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    return set(names.CONTAINERS) <= {container["name"] for container in every}


class TestAsking:
    @pytest.mark.must(48)
    def test_a_pod_that_asks_is_stored_with_its_agent_in_a_restricted_namespace(
        self, world: World
    ) -> None:
        pod = world.pod("shop", "asks", ASKS, initContainers=[{**POD["spec"]["containers"][0],
                                                              "name": "migrate"}])  # fmt: skip
        assert injected(pod)
        assert [c["name"] for c in pod["spec"]["initContainers"]] == [*names.CONTAINERS, "migrate"]
        assert pod["spec"]["initContainers"][1]["restartPolicy"] == "Always"

    @pytest.mark.parametrize(
        ("name", "says", "gets"),
        [
            ("silent", {}, False),
            ("refuses", {"annotations": {names.INJECT: "false"}}, False),
            ("label", {"labels": {names.INJECT: "true"}}, True),
            ("annotation-wins", {"labels": {names.INJECT: "true"},
                                 "annotations": {names.INJECT: "false"}}, False),
        ],
    )  # fmt: skip
    def test_a_pod_of_an_ordinary_namespace_gets_what_it_asks_for(
        self, world: World, name: str, says: Tree, gets: bool
    ) -> None:
        assert injected(world.pod("shop", name, says)) == gets

    def test_a_namespace_may_ask_for_all_or_refuse_for_all(self, world: World) -> None:
        world.namespace("all", **{names.INJECT: "true"})
        assert injected(world.pod("all", "silent"))
        assert not injected(world.pod("all", "no", {"annotations": {names.INJECT: "false"}}))
        world.namespace("none", **{names.INJECT: "false"})
        assert not injected(world.pod("none", "asks", ASKS))

    def test_the_clusters_namespaces_and_our_own_are_left_alone(self, world: World) -> None:
        for namespace in ("kube-system", "kube-public", HOME):
            assert not injected(world.pod(namespace, "asks", ASKS))

    def test_what_cannot_be_is_refused_with_a_remedy(self, world: World) -> None:
        redirect = {"annotations": {names.INJECT: "true", names.MODE: "redirect"}}
        with pytest.raises(Refused) as refused:
            world.pod("shop", "redirect", redirect)
        said = str(refused.value)
        assert "denied the request: attache cannot stand beside Pod shop/redirect: " in said
        assert "the namespace enforces Pod Security 'restricted'" in said
        with pytest.raises(Refused, match="neither true nor false"):
            world.pod("shop", "typo", {"annotations": {names.INJECT: "yes"}})
        world.namespace("free", enforce="privileged")
        assert injected(world.pod("free", "redirect", redirect))


class TestManifests:
    @pytest.mark.parametrize("sidecars", ["native", "ordinary"])
    @pytest.mark.parametrize("mode", ["proxy", "redirect"])
    def test_what_attache_inject_writes_is_what_the_api_server_accepts(
        self, world: World, sidecars: str, mode: str
    ) -> None:
        world.namespace("files", enforce="privileged" if mode == "redirect" else "restricted")
        command = [sys.executable, "-c", "from agent.cli import main; main()", "inject"]
        command += ["--sidecars", sidecars, "--mode", mode]
        kinds = MANIFESTS if sidecars == "native" else MANIFESTS.partition("# jobs\n")[0]
        done = subprocess.run(command, input=kinds, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("name: attache-envoy") == kinds.count("kind: ")
        world.api.kubectl(
            *("apply", "-n", "files", "--dry-run=server", "--validate=strict", "-f", "-"),
            text=done.stdout,
        )


class TestRights:
    @pytest.mark.parametrize(
        ("verb", "what", "where", "may"),
        [
            ("get", "secrets/attache-injector", HOME, True),
            ("update", "secrets/attache-injector", HOME, True),
            ("get", "secrets/another", HOME, False),
            ("list", "secrets", HOME, False),
            ("create", "secrets", HOME, False),
            ("get", "secrets/attache-injector", "shop", False),
            ("get", "namespaces/shop", "shop", True),
            ("list", "namespaces", "shop", False),
            ("patch", "mutatingwebhookconfigurations/attache-injector-attache-system", HOME, True),
            ("patch", "mutatingwebhookconfigurations/another", HOME, False),
            ("get", "pods", "shop", False),
        ],
    )
    def test_the_webhooks_account_may_do_what_it_does(
        self, world: World, verb: str, what: str, where: str, may: bool
    ) -> None:
        account = f"system:serviceaccount:{HOME}:attache-injector"
        assert world.api.may(account, verb, what, where) == may


class TestLife:  # the last one: it ends the world
    def test_a_life_of_upgrade_outage_and_uninstall(self, world: World) -> None:
        before = bundles(world), secret(world)
        world.api.helm(*INSTALL, replicas=3, logLevel="debug")
        assert (bundles(world), secret(world)) == before
        assert injected(world.pod("shop", "after-the-upgrade", ASKS))

        world.replicas[0].kill()
        tried = [attempt(world, f"one-left-{number}") for number in range(6)]
        assert any(tried)  # the other one answers; without kube-proxy none is taken out

        world.replicas[1].kill()
        assert not attempt(world, "nobody-answers")
        world.pod("shop", "does-not-ask")
        world.pod("kube-system", "heals-itself", ASKS)

        world.api.helm("uninstall", "attache-injector", "-n", HOME)
        selector = "app.kubernetes.io/name=attache-injector"
        kinds = "all,secret,configmap,serviceaccount,role,rolebinding,clusterrole"
        kinds += ",clusterrolebinding,mutatingwebhookconfiguration,networkpolicy"
        kinds += ",poddisruptionbudget"
        assert world.api.get(kinds, "-n", HOME, "-l", selector)["items"] == []
        assert not injected(world.pod("shop", "after-the-end", ASKS))


def attempt(world: World, name: str) -> bool:
    """Whether a pod that asks is let in."""
    try:
        return injected(world.pod("shop", name, ASKS))
    except Refused as why:
        if "failed calling webhook" in str(why):  # nobody answered; all else is a failure
            return False
        raise


def bundles(world: World) -> set[str]:
    """What the API server trusts."""
    configuration = world.api.get("mutatingwebhookconfiguration", f"attache-injector-{HOME}")
    return {hook["clientConfig"]["caBundle"] for hook in configuration["webhooks"]}


def secret(world: World) -> Tree:
    """What the replicas share."""
    data: Tree = world.api.get("secret", "attache-injector", "-n", HOME)["data"]
    return data
