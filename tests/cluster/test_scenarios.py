"""The demo's journeys on a cluster, from a client pod, in a namespace that is *restricted*."""

from __future__ import annotations

import json

import pytest


def test_people_reach_what_they_may_and_nothing_else(shop):
    assert shop.call("tasks") == {
        "ada creates": [201, "sent", "logged"],
        "owner": "Ada Admin",
        "zoe creates": [201, ""],
        "rita creates": [403, "insufficient_role"],
        "rita reads": [200, ""],
        "ed deletes": [403, "insufficient_role"],
        "ada deletes": [204, ""],
        "nick": [403, "tenant_not_allowed"],
        "nobody": [401, "missing_token"],
        "health": [200, ""],
    }


def test_entra_tokens_end_at_the_gateway(shop):
    assert shop.call("gateway") == {
        "order": 200,
        "asked by": "Zoë Ångström",
        "loop": [403, "call_loop"],
        "inventory": [401, "untrusted_issuer"],
    }


@pytest.mark.must(24)
def test_neither_the_application_nor_anything_of_the_agent_is_reached_beside_envoy(shop):
    """Proxy mode: they listen on loopback, so kernel and kubelet have nothing to lead there."""
    (pod,) = shop.pods("tasks")
    address = pod["status"]["podIP"]
    for port in (8000, 15000, 15001, 15020):
        with pytest.raises(Exception, match="refused"):
            shop.call("status", "GET", f"http://{address}:{port}/")
    probes = f"http://{address}:15021"
    assert shop.call("status", "GET", f"{probes}/readyz")[0] == 200
    for path in ("/status", "/.well-known/jwks.json", "/stats", "/"):
        assert shop.call("status", "GET", probes + path)[0] == 404
    assert shop.call("status", "POST", f"{probes}/livez")[0] == 404


@pytest.mark.must(45)
def test_no_token_and_no_secret_is_in_any_log_of_the_pod(shop):
    shop.call("tasks")
    (pod,) = shop.pods("tasks")
    name = pod["metadata"]["name"]
    written = "".join(
        shop.logs(name, each) for each in ("attache-init", "attache", "attache-envoy")
    )
    assert '"decision":"allow"' in written.replace(" ", "")
    assert "eyJ" not in written
    assert "demo-secret-of-task-api" not in written


def test_attache_status_in_the_pod_says_that_all_is_well(shop):
    (pod,) = shop.pods("tasks")
    said = json.loads(
        shop.kubectl(
            "exec", pod["metadata"]["name"], "-c", "attache", "--", "attache", "status", "--json"
        )
    )
    assert said["ready"] is True
    assert said["xds"]["in_step"] is True
    assert {one["usable"] for one in said["issuers"]} == {True}


def test_the_pods_memory_is_measured(shop, measured):
    (pod,) = shop.pods("tasks")
    for container in ("attache", "attache-envoy"):
        status = shop.kubectl(
            *("exec", pod["metadata"]["name"], "-c", container, "--", "cat", "/proc/1/status")
        )
        (resident,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
        megabytes = int(resident.split()[1]) / 1024
        measured[f"MiB resident in {container}"] = round(megabytes)
        assert megabytes < 200
