"""Two replicas as processes: one certificate, one answer, and a leave without a lost review.

The API server beside them is conftest's; a real one asks them in tests/cluster/test_injector.py.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from demo.child import Child
from demo.ports import Ports
from demo.waiting import until
from tests.inject.conftest import Cluster
from tests.inject.test_review import POD, review

pytestmark = pytest.mark.e2e


class Replica:
    """One `attache injector run`."""

    def __init__(self, name: str, cluster: Cluster, folder: Path, ports: Ports) -> None:
        self.cluster = cluster
        self.listen, self.health = ports.take(), ports.take()
        settings = folder / "injector.yaml"
        settings.write_text("image: registry.example/attache:7\n")
        command = [
            sys.executable, "-c",
            "from agent.cli import main; main()", "injector", "run",
            "--settings", str(settings), "--namespace", "attache-system",
            "--listen", f"127.0.0.1:{self.listen}", "--health", f"127.0.0.1:{self.health}",
            "--api-server", cluster.url, "--account", str(cluster.account), "--interval", "250ms",
        ]  # fmt: skip
        self.process = Child(name, command, folder / f"{name}.log")

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            answer = requests.get(f"http://127.0.0.1:{self.health}/readyz", timeout=5)
        except requests.ConnectionError:
            return False
        return answer.status_code == 200

    def ask(self) -> dict[str, object]:
        """Review a pod as the API server does: by the Service's name, trusting caBundle."""
        bundle = base64.b64decode(self.cluster.api.bundles()[0]).decode()
        trust = ssl.create_default_context(cadata=bundle)
        connection = http.client.HTTPSConnection("127.0.0.1", self.listen, timeout=15)
        plain = http.client.HTTPConnection("127.0.0.1", self.listen, timeout=15)
        plain.connect()
        connection.sock = trust.wrap_socket(
            plain.sock, server_hostname="attache-injector.attache-system.svc"
        )
        connection.request("POST", "/inject?timeout=10s", json.dumps(review()))
        answer = connection.getresponse()
        assert answer.status == 200
        response: dict[str, object] = json.loads(answer.read())["response"]
        return response


@pytest.fixture
def replicas(cluster: Cluster, tmp_path: Path) -> Iterator[list[Replica]]:
    ports = Ports()
    both = [Replica(name, cluster, tmp_path, ports) for name in ("one", "two")]
    try:
        for replica in both:
            replica.process.start()
        for replica in both:
            replica.process.come_up(replica.ready)
        yield both
    finally:
        for replica in both:
            replica.process.stop()


def test_replicas_agree_and_leave_without_a_lost_review(
    replicas: list[Replica], cluster: Cluster
) -> None:
    one, two = replicas
    assert cluster.api.writes.count("PUT attache-injector") <= 2  # the second may have lost a race
    assert len(set(cluster.api.bundles())) == 1
    answers = [replica.ask() for replica in replicas]
    assert answers[0] == answers[1]
    patch = json.loads(base64.b64decode(str(answers[0]["patch"])))
    assert "registry.example/attache:7" in json.dumps(patch)
    assert POD["metadata"]["annotations"] == {"attache.dev/inject": "true"}

    # One leaves while both are asked: what it accepted it answers.
    failures: list[str] = []
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                two.ask()
            except (OSError, AssertionError, http.client.HTTPException) as failure:
                failures.append(repr(failure))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    one.process.ask_to_stop()
    assert one.process.wait() == 0
    stop.set()
    asking.join()
    assert failures == []
    assert two.ready()

    # A certificate that was lost is made anew, and both sides follow.
    before = cluster.api.bundles()
    cluster.api.put(
        "/api/v1/namespaces/attache-system/secrets/attache-injector",
        {"kind": "Secret", "type": "Opaque", "metadata": {}},
    )
    until(lambda: cluster.api.bundles() != before, "another certificate")

    def under_it() -> dict[str, object] | None:
        try:
            return two.ask()
        except ssl.SSLError:  # the bundle is written a moment before the certificate is served
            return None

    assert until(under_it, "an answer under another certificate")["allowed"]
    logs = "".join(replica.process.log.read_text() for replica in replicas)
    assert "PRIVATE KEY" not in logs
    assert "service account's token" not in logs
