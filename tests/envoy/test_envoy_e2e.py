"""What a real Envoy makes of our resources: the facts of ENVOY.md, and of this room."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import pytest

from agent.envoy.filters import READ_HEADERS

pytestmark = pytest.mark.e2e


def exchange(port: int, text: str) -> tuple[int, bytes]:
    """Send *text* as it stands; return the status and the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


def asked(pod: Any) -> Any:
    return pod.agent.asked[-1].attributes


def test_the_agent_is_sent_the_headers_it_reads_and_no_others(pod):
    pod.start()
    pod.call("/p?q=1", **dict.fromkeys(READ_HEADERS, "v"), cookie="c", x_other="o", accept="a")
    http = asked(pod).request.http
    # a tracestate comes by the name to which it is moved, out of a tracer's reach
    assert set(http.headers) == set(READ_HEADERS) - {"tracestate"}
    assert (http.method, http.path, http.host) == ("GET", "/p?q=1", "task-api.shop")


def test_two_headers_of_one_name_reach_the_agent_as_one_with_a_comma(pod):
    pod.start()
    text = "GET / HTTP/1.1\nHost: a\nAuthorization: Bearer A\nAuthorization: Bearer B\n\n"
    assert exchange(pod.inbound, text)[0] == 200
    assert asked(pod).request.http.headers["authorization"] == "Bearer A,Bearer B"


@pytest.mark.must(25)
def test_the_destination_is_the_routes_word_and_not_the_host_headers(pod):
    pod.start()
    text = "GET http://billing.shop/a%2Fb//../c?x HTTP/1.1\nHost: evil.shop\n\n"
    status, body = exchange(pod.outbound, text)
    assert status == 200
    assert json.loads(body)["path"] == "/a%2Fb//../c?x"  # as the application wrote it
    assert ["host", "billing.shop"] in json.loads(body)["headers"]
    assert dict(asked(pod).context_extensions) == {
        "direction": "outbound",
        "destination": "billing",
        "headers": "listed",
    }


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("billing.shop", 200),
        ("billing.shop:80", 200),
        ("BILLING.shop", 200),
        ("billing.shop:8080", 403),
        ("notification.shop:8001", 200),
        ("notification.shop", 403),
        ("notification.shop:80", 403),
        ("xbilling.shop", 403),
        ("billing.shop,billing.shop", 403),
    ],
)
@pytest.mark.must(21, 25)
def test_hosts_match_with_their_port_and_an_unmatched_one_meets_a_second_wall(
    pod_with_ports, host, expected
):
    answer = pod_with_ports.call(host=host)
    assert answer.status == expected  # the fake agent allows everything: this 403 is Envoy's own
    if expected == 403:
        assert answer.body == b""
        assert dict(asked(pod_with_ports).context_extensions) == {
            "direction": "outbound",
            "unmatched": "deny",
            "headers": "listed",
        }
    else:
        assert answer.sent("host") == [host]


@pytest.fixture
def pod_with_ports(pod):
    notification = pod.destination("notification", pod.billing) | {
        "hosts": ["notification.shop:8001"]
    }
    return pod.start(destinations=[pod.destination("billing", pod.billing), notification])


INBOUND_REFUSES = [
    ("GET /a%2fb HTTP/1.1\nHost: a\n\n", 400),
    ("GET /a%5Cb HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\nHost: a\nx_auth_subject: me\n\n", 400),
    ("GET / HTTP/1.1\nHost: a\nx-much: " + "a" * 70_000 + "\n\n", 431),
    ("GET / HTTP/1.1\n\n", 400),
    ("CONNECT a.shop:443 HTTP/1.1\nHost: a.shop:443\n\n", 404),
    ("OPTIONS * HTTP/1.1\nHost: a\n\n", 404),
]


def test_the_inbound_listener_refuses_what_is_odd_before_the_agent_is_asked(pod):
    pod.start()
    answers = [exchange(pod.inbound, text)[0] for text, _ in INBOUND_REFUSES]
    assert answers == [expected for _, expected in INBOUND_REFUSES]
    assert (pod.agent.asked, pod.application.requests) == ([], 0)


def test_envoys_orders_in_headers_are_taken_from_callers_and_application(pod):
    pod.start()
    orders = {"x-envoy-upstream-rq-timeout-ms": "1", "X-Envoy-Retry-On": "5xx"}
    for host in ("", "billing.shop"):
        answer = pod.call(host=host, **orders)
        assert [name for name, _ in answer.echo["headers"] if name.startswith("x-envoy")] == []
        assert [name for name in answer.headers if name.lower().startswith("x-envoy")] == []
        assert answer.headers["server"].startswith("BaseHTTP")


@pytest.mark.parametrize(("edge", "kept"), [(True, False), (False, True)])
def test_a_strangers_request_id_and_address_are_not_believed_at_the_edge(pod, edge, kept):
    pod.start(listeners={"inbound": {"edge": edge}})
    identifier = "0f0f0f0f-0000-4000-8000-000000000000"
    answer = pod.call(x_request_id=identifier, x_forwarded_for="203.0.113.9")
    assert (answer.sent("x-request-id") == [identifier]) is kept  # not a nibble is rewritten
    (forwarded,) = answer.sent("x-forwarded-for")
    assert (forwarded == "203.0.113.9") is kept
    assert edge is forwarded.startswith("203.0.113.9,")  # the peer's own address comes last


@pytest.mark.must(23)
def test_only_a_real_preflight_is_answered_by_envoy_and_only_once_the_agent_was_asked(pod):
    pod.start(inbound={"cors": {"allowOrigins": ["https://app.example"]}})
    real = {"origin": "https://any.example", "access-control-request-method": "POST"}
    answer = pod.call(method="OPTIONS", **real)  # the fake agent allows everything
    assert (answer.status, answer.body, pod.application.requests) == (200, b"", 0)
    assert asked(pod).context_extensions["preflight"] == "answered"
    assert "access-control-allow-origin" not in answer.headers  # Envoy itself shares nothing
    for name in real:
        pod.call(method="OPTIONS", **{name: real[name]})
        assert "preflight" not in asked(pod).context_extensions
    pod.call(method="GET", **real)
    assert "preflight" not in asked(pod).context_extensions
    assert pod.application.requests == 3


def test_a_silent_agent_denies_with_503(pod, load):
    pod.start()
    pod.agent.stop()
    try:
        assert pod.call().status == 503
        assert pod.application.requests == 0
    finally:
        pod.agent.start()


def test_websockets_pass_both_ways_on_both_listeners(pod):
    pod.start()
    for port, host in ((pod.inbound, "a"), (pod.outbound, "billing.shop")):
        upgrade = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13"
        text = f"GET /ws HTTP/1.1\nHost: {host}\n{upgrade}\n\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(text.replace("\n", "\r\n").encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 101
            connection.sendall(b"hello\n")
            assert connection.recv(100) == b"hello\n"


def test_grpc_passes_without_tls_on_both_listeners_and_streams(pod, grpc_port):
    pod.start(
        listeners={"inbound": {"application": f"127.0.0.1:{grpc_port}"}},
        destinations=[
            {"name": "billing", "hosts": ["billing.shop"], "address": f"127.0.0.1:{grpc_port}"}
        ],
    )
    for port in (pod.inbound, pod.outbound):
        options = [("grpc.default_authority", "billing.shop")]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            echo = channel.stream_stream("/test.Echo/Echo")
            assert list(echo(iter([b"a", b"b", b"c"]), timeout=30)) == [b"a", b"b", b"c"]
        assert asked(pod).request.http.protocol == "HTTP/2"
        assert asked(pod).request.http.headers["content-type"] == "application/grpc"


@pytest.fixture
def grpc_port():
    handler: Callable[..., Any] = lambda messages, context: messages  # noqa: E731
    method = grpc.stream_stream_rpc_method_handler(handler)
    server = grpc.server(
        futures.ThreadPoolExecutor(2),
        handlers=[grpc.method_handlers_generic_handler("test.Echo", {"Echo": method})],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def test_the_key_document_is_served_by_the_agent_where_published(pod, server):
    admin = server("admin")
    pod.agent_admin = admin.port
    tokens = {"issuer": "https://g", "trustDomain": "shop.internal", "keys": "/k"}
    pod.start(internalTokens=tokens | {"publish": True})
    assert pod.call("/.well-known/jwks.json").echo["server"] == "admin"
    assert dict(asked(pod).context_extensions) == {
        "direction": "inbound",
        "underscores": "refused",
        "publish": "jwks",
        "headers": "listed",
    }
    assert pod.call("/.well-known/jwks.json/x").echo["server"] == "application"
    pod.change(internalTokens=tokens)
    assert pod.call("/.well-known/jwks.json").echo["server"] == "application"


def test_an_answer_must_begin_within_the_destinations_timeout(pod):
    slow = pod.destination("billing", pod.billing, timeout="200ms")
    pod.start(destinations=[slow])
    assert pod.call("/slow", host="billing.shop").status == 504
    pod.billing.release.set()


def test_passthrough_goes_where_the_application_says_but_never_back_to_itself(pod, server):
    elsewhere = server("elsewhere")
    pod.start(listeners={"outbound": {"unmatched": "passthrough"}})
    answer = pod.call(host=f"127.0.0.1:{elsewhere.port}")
    assert answer.echo["server"] == "elsewhere"
    assert dict(asked(pod).context_extensions) == {
        "direction": "outbound",
        "unmatched": "passthrough",
        "headers": "listed",
    }
    before = len(pod.agent.asked)
    assert pod.call(host=f"127.0.0.1:{pod.outbound}").status == 403
    assert len(pod.agent.asked) == before + 2  # once out, once back, and no further


def test_in_redirect_mode_a_call_that_was_not_redirected_goes_nowhere(pod):
    pod.start(listeners={"outbound": {"mode": "redirect", "unmatched": "passthrough"}})
    assert pod.call(host="billing.shop").echo["server"] == "billing"
    before = len(pod.agent.asked)
    assert pod.call(host=f"127.0.0.1:{pod.billing.port}").status == 503
    assert len(pod.agent.asked) == before + 1
    assert exchange(pod.outbound, "no http at all\n\n")[0] == 400


@pytest.mark.must(47)
def test_nothing_on_the_admin_port_changes_anything(pod):
    pod.start()
    for path in ("/quitquitquit", "/logging?level=trace", "/drain_listeners", "/runtime_modify"):
        answer = pod.call(path, port=pod.admin, method="POST")
        assert answer.status == 403
    assert pod.call("/stats", port=pod.admin).status == 200
