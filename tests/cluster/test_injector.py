"""A pod that asks gets its agent from the webhook, answers through it, and a Job ends beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from demo.waiting import until
from tests.cluster.shop import DEMO, IMAGES, ROOT, Refused, Space, run

CONFIGURATION = """\
workload: {name: task-api, namespace: attache-injected}
listeners:
  inbound: {application: "127.0.0.1:8000"}
  outbound: {}
routes:
  - {path: /, methods: [GET], anonymous: true}
"""
HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SAYS = {
    "attache.dev/inject": "true",
    "attache.dev/config": "task-api",
    "attache.dev/application-port": "8000",
}
PROBE = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1, "failureThreshold": 60}
# Asks as a client outside would: by no proxy. Prints the status, or what went wrong.
ASK = """
import sys, urllib.error, urllib.request
try:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    print(opener.open(sys.argv[1], timeout=10).status)
except urllib.error.HTTPError as answer:
    print(answer.code)
except OSError as error:
    print(type(error).__name__)
"""


def image(name: str) -> str:
    return f"{IMAGES[name]['repository']}:{IMAGES[name]['tag']}"


@pytest.fixture(scope="module")
def home() -> Iterator[Space]:
    """Where the webhook runs."""
    space = Space("attache-injector", "restricted")
    space.make()
    values = {
        "image": IMAGES["image"],
        "injector": {
            "image": image("image"), "envoyImage": image("envoyImage"),
            "initImage": image("initImage"), "envoyConcurrency": 1,
        },
    }  # fmt: skip
    space.install("attache-injector", ROOT / "charts" / "attache-injector", values)
    try:
        yield space
    finally:
        run("helm", "-n", space.name, "uninstall", "attache-injector", "--ignore-not-found")
        space.remove()


@pytest.fixture(scope="module")
def space(home: Space) -> Iterator[Space]:
    """Where pods ask."""
    del home
    found = Space("attache-injected", "restricted")
    found.make()
    found.config_map("task-api", {"attache.yaml": CONFIGURATION})
    try:
        yield found
    finally:
        found.remove()


def pod(*command: str, **container: object) -> dict[str, object]:
    """A pod's template that asks."""
    own = {"name": "app", "image": DEMO, "command": list(command), "securityContext": HARDENED}
    metadata = {"labels": {"app": "task-api"}, "annotations": SAYS}
    return {"metadata": metadata, "spec": {"containers": [{**own, **container}]}}


def test_a_pod_that_asks_answers_through_its_agent(space: Space) -> None:
    serve = ("python", "-m", "http.server", "8000", "--bind", "127.0.0.1")
    selector = {"app": "task-api"}
    space.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "task-api"},
            "spec": {
                "selector": {"matchLabels": selector},
                "template": pod(*serve, readinessProbe=PROBE),
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "task-api"},
            "spec": {
                "selector": selector,
                "ports": [{"port": 80, "targetPort": "attache-in"}],
            },
        },
    )
    space.kubectl("rollout", "status", "deployment/task-api", "--timeout=240s", timeout=300)
    (stored,) = space.get("pods", "-l", "app=task-api")["items"]
    assert [one["name"] for one in stored["spec"]["initContainers"]] == [
        "attache-init", "attache", "attache-envoy",
    ]  # fmt: skip
    name, address = stored["metadata"]["name"], stored["status"]["podIP"]

    def ask(url: str) -> str:
        return space.kubectl("exec", name, "-c", "app", "--", "python", "-c", ASK, url).strip()

    until(lambda: ask(f"http://task-api.{space.name}/") == "200", "the Service", 30)
    assert ask(f"http://task-api.{space.name}/secret") == "403"
    assert ask(f"http://{address}:8000/") == "URLError"
    status = json.loads(
        space.kubectl("exec", name, "-c", "attache", "--", "attache", "status", "--json")
    )
    assert status["ready"]


def test_a_job_that_asks_ends(space: Space) -> None:
    template = pod("python", "-c", "print('done')")
    template["spec"]["restartPolicy"] = "Never"  # type: ignore[index]
    space.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "nightly"},
            "spec": {"backoffLimit": 0, "template": template},
        }
    )
    space.kubectl("wait", "--for=condition=Complete", "job/nightly", "--timeout=180s")


def test_what_its_namespace_forbids_is_refused_in_words(space: Space) -> None:
    asked = pod("true")
    says = {**SAYS, "attache.dev/mode": "redirect"}
    metadata = {"name": "redirect", "annotations": says}
    with pytest.raises(Refused, match="enforces Pod Security 'restricted'"):
        space.apply({"apiVersion": "v1", "kind": "Pod", **asked, "metadata": metadata})


def test_uninstall_leaves_nothing(home: Space, space: Space) -> None:
    home.uninstall("attache-injector")
    kinds = "clusterrole,clusterrolebinding,mutatingwebhookconfiguration"
    label = "app.kubernetes.io/name=attache-injector"
    assert json.loads(run("kubectl", "get", kinds, "-l", label, "-o", "json"))["items"] == []
    own = "all,secret,configmap,serviceaccount,role,rolebinding,poddisruptionbudget"
    until(lambda: home.get(own, "-l", label)["items"] == [], "the last pod to end", bound=90)
    metadata = {"name": "after", "annotations": SAYS}
    space.apply({"apiVersion": "v1", "kind": "Pod", **pod("true"), "metadata": metadata})
    assert "initContainers" not in space.get("pod", "after")["spec"]
