"""AdmissionReviews in, AdmissionReviews out; first the pure answer, then over real TLS."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config.fields import Address
from agent.inject import names, webhook
from agent.inject.certificate import Certificate, context, made
from agent.inject.injector import Injector, Options
from agent.inject.keeper import Place
from agent.inject.levels import Level
from agent.inject.review import reviewed
from agent.inject.settings import Settings
from agent.inject.webhook import Listener
from demo.waiting import until
from tests.inject.conftest import Cluster
from tests.inject.test_pod import apply

Tree = dict[str, Any]
POD: Tree = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "task-api-7d-", "annotations": {names.INJECT: "true"}},
    "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]},
}


def review(pod: Any = POD, operation: str = "CREATE", **request: Any) -> Tree:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "shop",
            "operation": operation,
            "object": pod,
            **request,
        },
    }


def annotated(**annotations: str) -> Tree:
    said = {names.INJECT: "true", **{names.PREFIX + k.replace("_", "-"): v for k, v in
                                     annotations.items()}}  # fmt: skip
    return {**POD, "metadata": {"name": "task-api", "annotations": said}}


def unknown(_namespace: str) -> Level | None:
    return None


def answered(
    body: Any,
    unasked: bool = False,
    settings: Settings | None = None,
    level: Callable[[str], Level | None] = unknown,
) -> tuple[str, Tree]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = reviewed(raw, unasked, settings or Settings(), level)
    response = (said.response or {}).get("response", {})
    if said.response:
        assert said.response["apiVersion"] == "admission.k8s.io/v1"
        assert response["uid"] == "705ab4f5"
    return said.result, response


def patched(response: Tree, pod: Tree = POD) -> Tree:
    assert response["patchType"] == "JSONPatch"
    patch = json.loads(base64.b64decode(response["patch"]))
    return dict(apply(pod, patch))


class TestAnswers:
    def test_a_pod_that_asks_is_patched(self) -> None:
        result, response = answered(review())
        assert (result, response["allowed"]) == ("injected", True)
        pod = patched(response)
        assert [c["name"] for c in pod["spec"]["initContainers"]] == list(names.CONTAINERS)
        again, same = answered(review(pod))
        assert (again, same) == ("unchanged", {"uid": "705ab4f5", "allowed": True})

    def test_a_pod_that_says_nothing_is_patched_where_its_namespace_asks_for_all(self) -> None:
        silent = {**POD, "metadata": {"name": "x"}}
        assert answered(review(silent))[0] == "unchanged"
        assert answered(review(silent), unasked=True)[0] == "injected"

    @pytest.mark.parametrize("operation", ["UPDATE", "DELETE", "CONNECT"])
    def test_only_new_pods_are_patched(self, operation: str) -> None:
        assert answered(review(operation=operation)) == (
            "unchanged", {"uid": "705ab4f5", "allowed": True},
        )  # fmt: skip
        assert answered(review(None, operation))[0] == "unchanged"
        assert answered(review({"kind": "Service"}))[0] == "unchanged"

    def test_a_refusal_names_the_pod_the_place_and_the_remedy(self) -> None:
        pod = {**POD, "spec": {**POD["spec"], "hostNetwork": True}}
        result, response = answered(review(pod))
        assert (result, response["allowed"]) == ("refused", False)
        message = response["status"]["message"]
        assert message.startswith(
            "attache cannot stand beside Pod shop/task-api-7d-: spec.hostNetwork: "
        )
        assert message.endswith('remove hostNetwork, or write attache.dev/inject: "false"')

    @pytest.mark.parametrize("level", ["baseline", "restricted", None])
    def test_redirect_mode_needs_a_namespace_that_is_known_to_allow_it(
        self, level: Level | None
    ) -> None:
        asked = annotated(mode="redirect")
        asked_of: list[str] = []

        def tell(namespace: str) -> Level | None:
            asked_of.append(namespace)
            return level

        assert answered(review(asked), level=tell)[0] == "refused"
        assert answered(review(), settings=Settings(mode="redirect"), level=tell)[0] == "refused"
        assert asked_of == ["shop", "shop"]
        assert answered(review(asked), level=lambda _: "privileged")[0] == "injected"

    def test_warnings_reach_who_applies_the_pod(self) -> None:
        pod = annotated(application_port="8000")
        pod["spec"] = {"containers": [{"name": "app", "ports": [{"containerPort": 8000}]}]}
        _, response = answered(review(pod))
        assert "127.0.0.1" in response["warnings"][0]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[" * 100_000,
            b"9" * 5000,
            b"null",
            b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}',
            b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}',
            b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {}}',
            json.dumps(review("a pod")).encode(),
            json.dumps(review(namespace=7)).encode(),
        ],
    )
    def test_what_is_no_review_is_no_answer(self, body: bytes) -> None:
        assert answered(body)[0] == "malformed"

    @pytest.mark.parametrize(
        "pod",
        [
            {"kind": "Pod"},
            {"kind": "Pod", "metadata": 1, "spec": {}},
            {"kind": "Pod", "metadata": {"annotations": []}, "spec": {"containers": [1]}},
            {**POD, "spec": {"containers": [{"name": "a", "ports": {}}]}},
            {**POD, "spec": {"containers": [{"name": "a", "env": [None, {}]}]}},
        ],
    )
    def test_what_is_no_pod_breaks_nothing(self, pod: Tree) -> None:
        assert answered(review(pod), unasked=True)[0] in ("refused", "injected")


PLACE = Place("attache-system", "attache-injector", "attache-injector", ("localhost",))


def options(cluster: Cluster) -> Options:
    anywhere = Address("127.0.0.1", 0)
    return Options(
        anywhere, anywhere, Settings(), cluster.url, cluster.account, PLACE, None, interval=0.1
    )


@pytest.fixture
def injector(cluster: Cluster) -> Iterator[Injector]:
    running = Injector(options(cluster))
    running.start()
    yield running
    running.stop()


def post(injector: Injector, cluster: Cluster, body: bytes, path: str = "/inject") -> Any:
    bundle = base64.b64decode(cluster.api.bundles()[0])
    trust = ssl.create_default_context(cadata=bundle.decode())
    connection = http.client.HTTPSConnection(
        "localhost", injector._webhook.port, context=trust, timeout=10
    )
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()


def look(injector: Injector, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", injector._health.port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read().decode()


class TestRunning:
    def test_it_makes_its_certificate_and_answers_who_trusts_the_bundle(
        self, injector: Injector, cluster: Cluster
    ) -> None:
        until(lambda: look(injector, "/readyz")[0] == 200, "readiness")
        status, body = post(injector, cluster, json.dumps(review()).encode())
        assert status == 200
        assert json.loads(body)["response"]["allowed"]
        silent = json.dumps(review({**POD, "metadata": {}})).encode()
        assert b'"patch"' not in post(injector, cluster, silent)[1]
        assert b'"patch"' in post(injector, cluster, silent, "/inject/all")[1]
        assert post(injector, cluster, b"{}")[0] == 400
        assert post(injector, cluster, b"{}", "/elsewhere")[0] == 404
        metrics = look(injector, "/metrics")[1]
        assert 'attache_injector_reviews_total{result="injected"} 2.0' in metrics
        assert 'attache_injector_reviews_total{result="malformed"} 1.0' in metrics
        (end,) = [
            line
            for line in metrics.splitlines()
            if line.startswith("attache_injector_certificate_end_seconds ")
        ]
        assert float(end.split()[1]) > time.time()

    def test_it_lives_without_an_api_server_and_says_what_is_missing(
        self, cluster: Cluster
    ) -> None:
        cluster.api.broken = True
        running = Injector(options(cluster))
        running.start()
        try:
            assert look(running, "/livez")[0] == 200
            missing = until(
                lambda: (said := look(running, "/readyz")[1]) and "etcd" in said and said, "a word"
            )
            assert "503: etcd is away" in missing
            cluster.api.broken = False
            until(lambda: look(running, "/readyz")[0] == 200, "readiness")
        finally:
            running.stop()

    def test_plain_text_and_strange_methods_get_no_answer(
        self, injector: Injector, cluster: Cluster
    ) -> None:
        until(lambda: look(injector, "/readyz")[0] == 200, "readiness")
        with socket.create_connection(("127.0.0.1", injector._webhook.port), 10) as plain:
            plain.sendall(b"POST /inject HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"HTTP/1.1 200" not in plain.recv(1000)
        assert look(injector, "/inject")[0] == 404


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return made(["localhost"], time.time(), 3600)


@pytest.fixture
def listener(certificate: Certificate) -> Iterator[Listener]:
    serving = context(certificate)
    address = Address("127.0.0.1", 0)
    running = Listener(
        address, lambda method, path, body: webhook.plain(http.HTTPStatus.OK, str(len(body))),
        lambda: serving, deadline=1.0,
    )  # fmt: skip
    running.start()
    yield running
    running.stop()


def connected(listener: Listener, certificate: Certificate) -> ssl.SSLSocket:
    trust = ssl.create_default_context(cadata=certificate.authority.decode())
    raw = socket.create_connection(("127.0.0.1", listener.port), 10)
    return trust.wrap_socket(raw, server_hostname="localhost")


def everything(connection: socket.socket) -> bytes:
    whole = b""
    try:
        while part := connection.recv(4096):
            whole += part
    except OSError:
        pass
    return whole


class TestBounds:
    @pytest.mark.must(42)
    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"Content-Length: 3\r\n\r\nabc", b" 200 "),
            (b"Content-Length: 99999999\r\n\r\n", b" 413 "),
            (b"Content-Length: -1\r\n\r\n", b" 400 "),
            (b"Content-Length: x\r\n\r\n", b" 400 "),
            (b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", b" 411 "),
            (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b" 411 "),
            (b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc", b" 100 "),
            (b"X: " + b"y" * 70_000 + b"\r\n\r\n", b" 431 "),
        ],
    )
    def test_a_request_is_measured_before_it_is_read(
        self, listener: Listener, certificate: Certificate, head: bytes, status: bytes
    ) -> None:
        with connected(listener, certificate) as connection:
            connection.sendall(b"POST /inject HTTP/1.1\r\nHost: a\r\n" + head)
            assert status in everything(connection).partition(b"\r\n")[0]

    @pytest.mark.must(42)
    def test_all_bodies_together_have_a_bound(
        self, listener: Listener, certificate: Certificate
    ) -> None:
        size = webhook.MAX_BODY
        head = f"POST /inject HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
        open_ones = [
            connected(listener, certificate) for _ in range(webhook.MAX_BODIES // size + 1)
        ]
        for connection in open_ones:
            connection.sendall(head)
        answers = [everything(connection).partition(b"\r\n")[0] for connection in open_ones]
        assert sum(b" 503 " in answer for answer in answers) == 1
        for connection in open_ones:
            connection.close()
        with connected(listener, certificate) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            assert b" 200 " in everything(connection)

    @pytest.mark.must(42)
    def test_who_drips_is_cut_off(self, listener: Listener, certificate: Certificate) -> None:
        def cut(connection: socket.socket, drip: bytes) -> bool:
            try:
                connection.sendall(drip)
                connection.settimeout(0.1)
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        with connected(listener, certificate) as speaking:
            speaking.sendall(b"POST /inject HTTP/1.1\r\n")
            until(lambda: cut(speaking, b"X: y\r\n"), "the end of a slow request")
        with socket.create_connection(("127.0.0.1", listener.port), 10) as silent:
            until(lambda: cut(silent, b"\x16"), "the end of a slow handshake")

    def test_without_a_certificate_a_connection_is_closed(self, tmp_path: Path) -> None:
        address = Address("127.0.0.1", 0)
        running = Listener(address, lambda *_: webhook.plain(http.HTTPStatus.OK, ""), lambda: None)
        running.start()
        try:
            with socket.create_connection(("127.0.0.1", running.port), 10) as connection:
                assert everything(connection) == b""
        finally:
            running.stop()
