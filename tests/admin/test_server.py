"""Health, metrics, keys and status over real sockets; nothing here changes anything."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from agent.admin import server as admin
from agent.admin.server import AdminServer, AdminUnavailable
from agent.config.fields import Address
from agent.telemetry.metrics import Metrics

KEYS = {"keys": [{"kty": "EC", "kid": "one"}]}


class Agent:
    """What the server asks."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.calls: list[str] = []
        self.status: Callable[[], Mapping[str, Any]] = lambda: {"issuers": {"entra": {"age": 3}}}

    def ready(self) -> list[str]:
        self.calls.append("ready")
        return self.missing


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(agent: Agent, jwks: Callable[[], Mapping[str, Any]] | None) -> AdminServer:
    server = AdminServer(
        Address("127.0.0.1", free_port()),
        agent.ready,
        lambda: agent.status(),
        jwks,
        Metrics("1.2.3"),
    )
    server.start()
    return server


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
def server(agent: Agent) -> Iterator[AdminServer]:
    running = serve(agent, lambda: KEYS)
    yield running
    running.stop()


def ask(
    server: AdminServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def raw(server: AdminServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        content = b""
        while chunk := connection.recv(65536):
            content += chunk
        return content


@pytest.mark.must(44)
def test_liveness_asks_nobody(server: AdminServer, agent: Agent) -> None:
    agent.missing = ["issuer 'entra' has no keys yet"]
    response, body = ask(server, "/livez")
    assert response.status == 200
    assert json.loads(body) == {"alive": True}
    assert agent.calls == []


@pytest.mark.must(44)
def test_readiness_says_what_is_missing_and_recovers(server: AdminServer, agent: Agent) -> None:
    agent.missing = ["issuer 'entra' has no keys yet: its metadata cannot be reached"]
    response, body = ask(server, "/readyz")
    assert response.status == 503
    assert json.loads(body) == {"ready": False, "missing": agent.missing}

    agent.missing = []
    response, body = ask(server, "/readyz")
    assert response.status == 200
    assert json.loads(body) == {"ready": True, "missing": []}


def test_status_and_keys_are_json_and_only_keys_may_be_cached(server: AdminServer) -> None:
    response, body = ask(server, "/status")
    assert json.loads(body) == {"issuers": {"entra": {"age": 3}}}
    assert response.headers["Cache-Control"] == "no-store"

    response, body = ask(server, "/.well-known/jwks.json")
    assert json.loads(body) == KEYS
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "max-age=300"


def test_metrics_are_in_the_form_that_prometheus_reads(server: AdminServer) -> None:
    response, body = ask(server, "/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert b'attache_build_info{python="' in body


def test_an_agent_that_mints_nothing_has_no_keys_to_show(agent: Agent) -> None:
    server = serve(agent, None)
    try:
        assert ask(server, "/.well-known/jwks.json")[0].status == 404
    finally:
        server.stop()


@pytest.mark.parametrize("path", ["/", "/livez/", "/LIVEZ", "/status/../livez", "/quitquitquit"])
def test_other_paths_are_not_found(server: AdminServer, path: str) -> None:
    response, body = ask(server, path)
    assert response.status == 404
    assert "/readyz" in json.loads(body)["error"]


def test_a_query_changes_nothing(server: AdminServer) -> None:
    assert ask(server, "/livez?verbose=1")[0].status == 200


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/status", "/.well-known/jwks.json", "/none"]
)
def test_head_answers_like_get_without_a_body(server: AdminServer, path: str) -> None:
    get, _ = ask(server, path)
    head, body = ask(server, path, "HEAD")
    assert (head.status, body) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.must(47)
@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE", "get"]
)
@pytest.mark.parametrize("path", ["/readyz", "/.well-known/jwks.json", "/none"])
def test_only_get_and_head_are_answered(
    server: AdminServer, agent: Agent, method: str, path: str
) -> None:
    response, _ = ask(server, path, method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert agent.calls == []


HOSTS = {
    "127.0.0.1": True,
    "127.0.0.1:15020": True,
    "localhost:15020": True,
    "LOCALHOST": True,
    "[::1]:15020": True,
    "127.9.9.9": True,
    "evil.example": False,
    "evil.example:15020": False,
    "localhost.evil.example": False,
    "127.0.0.1.evil.example": False,
    "127.0.0.1@evil.example": False,
    "127.0.0.1:80:80": False,
    "[::1]evil": False,
    "10.0.0.7": False,
    "0.0.0.0": False,
    "": False,
}


@pytest.mark.parametrize(("host", "ours"), HOSTS.items())
def test_a_rebound_name_is_refused(server: AdminServer, host: str, ours: bool) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/status"):
        answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200" if ours else b"HTTP/1.1 403"), path


def test_two_hosts_are_refused_and_none_is_accepted(server: AdminServer) -> None:
    two = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
    assert raw(server, two).startswith(b"HTTP/1.1 403")
    assert raw(server, b"GET /livez HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_the_keys_are_public_under_any_host(server: AdminServer) -> None:
    response, body = ask(server, "/.well-known/jwks.json", Host="gateway.shop.example")
    assert response.status == 200
    assert json.loads(body) == KEYS


def test_a_fault_is_logged_with_its_trace_and_answered_without(
    server: AdminServer, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Mapping[str, Any]:
        raise RuntimeError("internals")

    agent.status = broken
    response, body = ask(server, "/status")
    assert response.status == 500
    assert b"internals" not in body
    assert "RuntimeError: internals" in caplog.text
    agent.status = lambda: {"age": float("nan")}  # NaN is no JSON
    assert ask(server, "/status")[0].status == 500


GARBAGE = {
    "not HTTP": b"\x16\x03\x01\x02\x00\r\n\r\n",
    "an unknown version": b"GET /livez HTTP/9.9\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "endless headers": b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 4000,
    "nothing": b"\r\n",
}


@pytest.mark.must(42)
@pytest.mark.parametrize("request_", GARBAGE.values(), ids=GARBAGE)
def test_garbage_ends_its_own_connection_only(
    server: AdminServer, request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "DEADLINE", 0.2)
    try:
        answer = raw(server, request_)
    except ConnectionError:  # closed with bytes of ours still unread
        answer = b""
    assert b" 200 " not in answer
    assert b"Traceback" not in answer
    assert b"aaaa" not in answer
    assert ask(server, "/livez")[0].status == 200


@pytest.mark.must(42)
def test_slow_requests_are_bounded_in_number_and_time(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "DEADLINE", 1.0)
    slow = [
        socket.create_connection(("127.0.0.1", server.port), timeout=30)
        for _ in range(admin.MAX_REQUESTS)
    ]
    for connection in slow:
        connection.sendall(b"GET /li")
    # One more is closed at once, unanswered; threads do not grow with connections.
    while True:
        try:
            refused = raw(server, b"GET /livez HTTP/1.1\r\n\r\n")
        except ConnectionError:
            refused = b""
        if refused == b"":
            break
    workers = [item for item in threading.enumerate() if "process_request_thread" in item.name]
    assert len(workers) <= admin.MAX_REQUESTS
    for connection in slow:
        assert connection.recv(100) == b""  # the deadline closed it, dripping or not
        connection.close()
    while True:  # a thread that closed its connection is about to give its place back
        try:
            assert ask(server, "/livez")[0].status == 200
            break
        except (ConnectionError, http.client.HTTPException):
            continue


def test_dripping_bytes_do_not_extend_the_deadline(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "DEADLINE", 0.3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.settimeout(0.02)
        connection.sendall(b"GET /livez HTTP/1.1\r\n")
        while True:  # ends only because the server closes
            try:
                connection.sendall(b"a: b\r\n")
                if connection.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break


def test_each_connection_carries_one_request(server: AdminServer) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = raw(server, request * 2)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


def test_an_address_that_is_taken_is_named_with_its_setting_and_a_remedy(
    server: AdminServer, agent: Agent
) -> None:
    with pytest.raises(
        AdminUnavailable, match=rf"agent\.admin: 127\.0\.0\.1:{server.port} is taken .*another port"
    ):
        AdminServer(Address("127.0.0.1", server.port), agent.ready, dict, None, Metrics("1.2.3"))


@pytest.mark.must(24)
@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "task-api.shop"])
def test_an_address_beyond_loopback_is_refused(agent: Agent, host: str) -> None:
    with pytest.raises(AdminUnavailable, match=r"outside the pod; use 127\.0\.0\.1"):
        AdminServer(Address(host, 15020), agent.ready, dict, None, Metrics("1.2.3"))


def test_a_stopped_server_frees_its_port(agent: Agent) -> None:
    first = serve(agent, None)
    port = first.port
    first.stop()
    again = AdminServer(Address("127.0.0.1", port), agent.ready, dict, None, Metrics("1.2.3"))
    again.start()
    assert ask(again, "/livez")[0].status == 200
    again.stop()


def test_a_server_that_never_started_can_be_stopped(agent: Agent) -> None:
    AdminServer(Address("localhost", free_port()), agent.ready, dict, None, Metrics("1.2.3")).stop()


def test_requests_are_not_in_the_log_above_debug(
    server: AdminServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        ask(server, "/livez")
        ask(server, "/none")
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
