"""Redirect mode: whether there is a way round Envoy, from outside the pod or from inside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import script
from tests.cluster.shop import DEMO, IMAGES, ROOT, Refused, Shop, Space

CHART = ROOT / "charts" / "attache"


def values(shop: Shop) -> dict[str, Any]:
    config = {
        "workload": {"name": "target", "namespace": "attache-redirect"},
        "listeners": {
            "inbound": {"application": "127.0.0.1:8000"},
            "outbound": {"mode": "redirect", "unmatched": "deny"},
        },
        "issuers": [
            {
                "name": "entra",
                "entra": {
                    "authority": f"https://idp.{shop.name}:8443",
                    "caFile": "/idp/ca.pem",
                    "tenants": ["11111111-1111-4111-8111-111111111111"],
                    "audiences": ["api://nobody"],
                },
            }
        ],
        "routes": [
            {"path": "/open", "methods": ["GET"], "anonymous": True},
            {"path": "/**", "require": {"caller": "user", "scopes": ["nobody.has.it"]}},
        ],
        "destinations": [
            {
                "name": "notification",
                "hosts": [f"notification.{shop.name}:8001"],
                "credential": "none",
            }
        ],
    }
    return {
        **IMAGES,
        "config": config,
        "fullnameOverride": "target",
        "interception": {"mode": "redirect", "excludeInboundPorts": [9090]},
        "secrets": [{"mountPath": "/idp", "existingConfigMap": "idp-ca"}],
        "workload": {
            "image": DEMO,
            "replicas": 1,
            "command": ["python", "-c", script("target")],
            "podSecurityContext": {"runAsUser": 10001},
            "readinessProbe": {"httpGet": {"path": "/open", "port": 8000}, "periodSeconds": 2},
        },
    }


@pytest.fixture(scope="module")
def target(shop: Shop) -> Iterator[dict[str, Any]]:
    """A pod that redirects, in a namespace that lets its init container have NET_ADMIN."""
    space = Space("attache-redirect", "privileged")
    space.make()
    try:
        space.config_map("idp-ca", shop.get("configmap", "idp-ca")["data"])
        space.install("target", CHART, values(shop))
        (pod,) = space.pods("target")
        yield {"space": space, "pod": pod["metadata"]["name"], "ip": pod["status"]["podIP"]}
    finally:
        space.remove()


def heard(target: dict[str, Any]) -> list[str]:
    lines = target["space"].logs(target["pod"], "application").splitlines()
    return [line.removeprefix("HEARD ") for line in lines if line.startswith("HEARD")]


@pytest.mark.must(24)
def test_nothing_reaches_the_application_past_envoy(shop, target, measured):
    said = shop.call("inwards", target["ip"], timeout=400)
    past = [line for line in heard(target) if line != "GET /open"]
    measured["attempts to go round Envoy"] = {"made": said["made"], "through": len(past)}
    assert said["open"] == "HTTP/1.1 200 OK", "the pod answers at all"
    assert past == []
    assert said["banner"] == 0
    assert said["made"] > 100


def test_an_excluded_port_is_reached_as_was_asked_for(shop, target):
    with pytest.raises(Refused):  # it speaks no HTTP, but it does speak
        shop.call("status", "GET", f"http://{target['ip']}:9090/")
    assert "TCP 9090" in heard(target)


@pytest.mark.must(21, 25)
def test_the_application_reaches_its_destinations_and_nobody_else(shop, target):
    (notification,) = shop.pods("notification")
    idp = shop.get("pods", "-l", "app=idp")["items"][0]["status"]["podIP"]
    node = notification["status"]["hostIP"]
    words = ("python", "-", shop.name, notification["status"]["podIP"], idp, node)
    space: Space = target["space"]
    said = space.kubectl(
        *("exec", "-i", target["pod"], "-c", "application", "--", *words),
        stdin=script("outwards"),
    )
    assert json.loads(said) == {
        "destination": 200,
        # Envoy sends it to the configured address, whatever address the application chose
        "its address with its name": 200,
        "another host": 403,
        "another address": 403,
        "tls to the provider": "nobody",
        "tls to the api server": "nobody",
        "datagram": "refused",
        "datagram to port 443": "refused",
        "name": True,
    }


@pytest.mark.must(24)
def test_while_envoy_is_gone_nobody_comes_in_or_gets_out(shop, target):
    """kubelet starts it again: the attempts go on until the pod answers again."""
    space: Space = target["space"]
    space.kubectl("exec", target["pod"], "-c", "attache-envoy", "--", "sh", "-c", "kill -TERM 1")
    said = shop.call("inwards", target["ip"], timeout=400)
    space.kubectl("wait", "--for=condition=Ready", "--timeout=120s", f"pod/{target['pod']}")
    assert [line for line in heard(target) if line not in ("GET /open", "TCP 9090")] == []
    assert said["banner"] == 0


def test_a_restricted_namespace_refuses_the_pod_and_says_why(shop):
    metadata = {"name": "redirects"}
    container = {
        "name": "attache-init",
        "image": DEMO,
        "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
    }
    with pytest.raises(Refused, match='violates PodSecurity "restricted'):
        shop.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": {"containers": [container]},
            }
        )
