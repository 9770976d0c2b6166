"""With a real Envoy: what it injects by itself reaches every kind of destination."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from typing import Any

import pytest

from agent.credentials.credential import Injection
from agent.envoy.snapshot import Snapshot
from agent.envoy.tls import system_bundle
from agent.identity.principal import Kind
from tests.envoy.test_tls_e2e import Authority

pytestmark = pytest.mark.e2e


def key(value: str) -> dict[str, Injection]:
    return {"billing": Injection((("x-api-key", value),), Kind.APP)}


def destination(pod: Any, server: Any, **more: Any) -> dict[str, Any]:
    credential = {"secretFile": {"file": "/k", "header": "x-api-key"}}
    return pod.destination("billing", server, delivery="sds", credential=credential, **more)


def push(pod: Any, pushed: dict[str, Injection], *destinations: dict[str, Any]) -> None:
    config = pod.config(destinations=list(destinations))
    pod.agent.apply(Snapshot.of(config, system_bundle(), pushed))


def test_nobody_is_asked_from_the_push_until_it_is_taken_back(pod, wait):
    to = destination(pod, pod.billing)
    pod.start(destinations=[to])
    assert pod.call(host="billing.shop").sent("x-api-key") == []
    asked = len(pod.agent.asked)
    assert asked == 1
    for value in ("one", "two"):
        push(pod, key(value), to)
        assert pod.call(host="billing.shop", x_api_key="theirs").sent("x-api-key") == [value]
    assert len(pod.agent.asked) == asked
    before = len(pod.agent.asked)
    pod.agent.ads.publish(pod.snapshot(pod.config(destinations=[to])))
    wait(
        lambda: pod.call(host="billing.shop").status == 200 and len(pod.agent.asked) > before,
        "the agent is asked again",
    )


def test_a_push_and_its_end_lose_no_request(pod, load):
    to = destination(pod, pod.billing)
    pod.start(destinations=[to])
    with load(pod.outbound, "billing.shop") as calls:
        for pushed in (key("one"), key("two"), {}, key("three"), {}):
            pod.agent.ads.publish(
                Snapshot.of(pod.config(destinations=[to]), system_bundle(), pushed)
            )
            calls.more(50)
    assert calls.failures == []


def test_it_reaches_a_destination_over_tls(pod, server, place):
    authority = Authority()
    certificate, private = authority.issue(place / "server", "127.0.0.1")
    (place / "ca.crt").write_bytes(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    secure = server("billing", lambda raw: context.wrap_socket(raw, server_side=True))
    to = destination(pod, secure, tls={"caFile": str(place / "ca.crt")})
    pod.start(destinations=[to])
    push(pod, key("one"), to)
    answer = pod.call(host="billing.shop")
    assert answer.sent("x-api-key") == ["one"]
    assert answer.sent("x-forwarded-proto") == ["https"]


def test_a_websocket_passes_the_injecting_cluster(pod):
    to = destination(pod, pod.billing)
    pod.start(destinations=[to])
    push(pod, key("one"), to)
    upgrade = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13"
    text = f"GET /ws HTTP/1.1\nHost: billing.shop\n{upgrade}\n\n"
    with socket.create_connection(("127.0.0.1", pod.outbound), timeout=30) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 101
        connection.sendall(b"hello\n")
        assert connection.recv(100) == b"hello\n"


@pytest.mark.must(25)
def test_a_key_never_goes_to_the_address_that_replaces_its_own(pod, server):
    other = server("other")
    pod.start(destinations=[destination(pod, pod.billing)])
    seen: set[tuple[str, tuple[str, ...]]] = set()
    end = threading.Event()

    def call() -> None:
        while not end.is_set():
            answer = pod.call(host="billing.shop")
            seen.add((answer.echo["server"], tuple(answer.sent("x-api-key"))))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        for _ in range(8):
            for to, value in ((pod.billing, "for-billing"), (other, "for-other")):
                push(pod, key(value), destination(pod, to))
    finally:
        end.set()
        caller.join(30)
    assert seen <= {("billing", ("for-billing",)), ("other", ("for-other",)), ("billing", ())}
    assert len(seen) >= 2
