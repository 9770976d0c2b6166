"""What an operator does to a running workload, and that callers notice nothing of it."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import pytest

from demo.waiting import until
from tests.cluster.shop import Shop

ROUNDS = int(os.environ.get("ROUNDS", "2"))  # docs/kubernetes.md has what ten came to
SECONDS_A_ROUND = 40


@pytest.mark.must(37)
def test_rolling_restarts_under_load_lose_no_request(shop, measured):
    before = shop.values("tasks")["workload"]
    shop.deploy("tasks", workload={**before, "replicas": 2})
    found: dict[str, Any] = {}
    length = ROUNDS * SECONDS_A_ROUND

    def load() -> None:
        found.update(shop.call("load", str(length), "8", timeout=length + 120))

    caller = threading.Thread(target=load)
    caller.start()
    began, rounds = time.monotonic(), 0
    while rounds < ROUNDS and time.monotonic() - began < length - 5:
        shop.kubectl("rollout", "restart", "deployment/tasks")
        shop.kubectl("rollout", "status", "deployment/tasks", "--timeout=180s")
        rounds += 1
    caller.join()
    shop.deploy("tasks")
    measured["rolling restarts under load"] = {"rounds": rounds, **found}
    assert rounds
    assert found["failed"] == 0, found
    assert found["sent"] > 100


def uids(shop: Shop, release: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in shop.pods(release)}


@pytest.mark.must(43)
def test_a_changed_configuration_is_in_force_without_a_restart(shop, measured):
    before = uids(shop, "tasks")
    values = shop.values("tasks")
    open_route = {"path": "/api/tasks", "methods": ["GET"], "anonymous": True}
    values["config"]["routes"].insert(0, open_route)
    url = f"http://tasks.{shop.name}/api/tasks"
    assert shop.call("status", "GET", url)[0] == 401
    shop.deploy("tasks", config=values["config"])
    began = time.monotonic()
    until(lambda: shop.call("status", "GET", url)[0] == 200, "the new route", bound=150)
    measured["seconds until a changed configuration is in force"] = round(time.monotonic() - began)
    assert uids(shop, "tasks") == before
    shop.deploy("tasks")
    until(lambda: shop.call("status", "GET", url)[0] == 401, "the old routes", bound=150)


def test_a_rotated_secret_is_used_without_a_restart(shop):
    before = uids(shop, "tasks")
    shop.control("secret", "another-secret-of-task-api")
    try:
        shop.secret("tasks-secrets", {"task-api": "another-secret-of-task-api"})
        # Tokens in hand live on: only a pod without them shows which secret is used.
        until(lambda: secret_in(shop) == "another-secret-of-task-api", "the mount", bound=150)
        until(lambda: zoe_is_told_of(shop), "a new token with the new secret", bound=60)
    finally:
        shop.control("secret", "demo-secret-of-task-api")
        shop.secret("tasks-secrets", {"task-api": "demo-secret-of-task-api"})
        until(lambda: secret_in(shop) == "demo-secret-of-task-api", "the mount", bound=150)
    assert uids(shop, "tasks") == before


def secret_in(shop: Shop) -> str:
    (pod,) = shop.pods("tasks")
    return shop.kubectl(
        *("exec", pod["metadata"]["name"], "-c", "attache", "--", "cat", "/secrets/task-api")
    )


def zoe_is_told_of(shop: Shop) -> bool:
    """A fresh sign-in is a fresh assertion: On-Behalf-Of has to ask the provider again."""
    return bool(shop.call("tasks")["ada creates"] == [201, "sent", "logged"])


@pytest.mark.must(33)
def test_a_signing_key_is_rotated_by_kubectl_apply(shop):
    """Two keys are published, the known one signs; nobody is refused meanwhile."""
    import base64

    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    data = shop.get("secret", "gateway-keys")["data"]
    old = base64.b64decode(data["signing.pem"]).decode()
    key = ec.generate_private_key(ec.SECP256R1())
    new = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    shop.secret("gateway-keys", {"signing.pem": old, "signing-2.pem": new})
    (pod,) = shop.pods("gateway")

    def published() -> list[dict[str, Any]]:
        words = ("exec", pod["metadata"]["name"], "-c", "attache", "--")
        said = json.loads(shop.kubectl(*words, "attache", "status", "--json"))
        return [row for row in said["credentials"]["keys"] if row["state"] != "removed"]

    until(lambda: len(published()) == 2, "the second key", bound=150)
    assert shop.call("gateway")["order"] == 200
    shop.secret("gateway-keys", {"signing.pem": old})
