"""Tests on a real Kubernetes: `make test-cluster`. They are not collected by any other command."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from demo.kubernetes import ON_CLUSTER
from tests.cluster.shop import DEMO, ROOT, Shop

collect_ignore_glob = [] if os.environ.get("TEST_CLUSTER") else ["test_*.py"]
MEASURED = ROOT / "build" / "cluster.json"


@pytest.fixture(scope="session")
def measured() -> Iterator[dict[str, Any]]:
    """What the run measured; written to build/cluster.json at its end, and printed."""
    found: dict[str, Any] = {}
    yield found
    MEASURED.parent.mkdir(exist_ok=True)
    MEASURED.write_text(json.dumps(found, indent=2) + "\n")
    print(f"\nmeasured: {json.dumps(found)}")


@pytest.fixture(scope="session")
def shop(measured: dict[str, Any]) -> Iterator[Shop]:
    """The identity provider, a client, and every service in a namespace that is *restricted*.

    With KEEP=1 it stays, and the next run finds it.
    """
    space = Shop("attache-shop", "restricted")
    if os.environ.get("KEEP") and space.exists():
        yield space
        return
    space.make()
    try:
        space.lay_out()
        space.install("idp", ROOT / "demo" / "chart", {"image": DEMO})
        space.start_client()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(space.call, "first", timeout=240)
            began = time.time()
            space.deploy("tasks")
            measured["seconds from helm install to the first protected request"] = round(
                first.result() - began, 1
            )
            list(pool.map(space.deploy, (name for name in ON_CLUSTER if name != "tasks")))
        yield space
    finally:
        if not os.environ.get("KEEP"):
            space.remove()


def script(name: str) -> str:
    """A program that a pod runs."""
    return (Path(__file__).parent / "scripts" / f"{name}.py").read_text()
