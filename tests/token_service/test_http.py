"""How is the TokenService asked by HTTP? By a real server on loopback, byte for byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from agent.config.fields import Address
from agent.token_service.http import CONNECTIONS, HttpServer
from agent.token_service.sidecar import Offer
from demo.ports import Ports

PORTS = Ports()
PLACE = "/AuthorizationHeaderUnauthenticated/"
HOST = b"Host: localhost\r\n"


@pytest.fixture
def port(judge: Any) -> Iterator[int]:
    offers = {"graph": Offer(frozenset(), app=True)}
    server = HttpServer(Address("127.0.0.1", PORTS.take()), judge, lambda: offers)
    yield server.port
    server.stop(5)


def said(port: int, *pieces: bytes) -> bytes:
    """All that the server says to these bytes."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with suppress(ConnectionError):  # it need not hear us out
            for piece in pieces:
                connection.sendall(piece)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while more := connection.recv(65536):
                heard += more
    return heard


def test_a_connection_serves_one_request_after_the_other(port: int, judge: Any) -> None:
    one = b"GET " + PLACE.encode() + b"graph HTTP/1.1\r\n" + HOST + b"\r\n"
    heard = said(port, one + one, one)
    assert heard.count(b"HTTP/1.1 200 ") == heard.count(b'{"authorizationHeader": "Bearer t') == 3
    assert len(judge.asked) == 3
    head = heard.split(b"\r\n\r\n")[0].lower()
    for header in (b"cache-control: no-store", b"x-correlation-id: txn-1", b"nosniff"):
        assert header in head


def test_equal_headers_are_one_list_and_the_query_is_not_in_the_audit(
    port: int, judge: Any
) -> None:
    said(
        port,
        b"GET /AuthorizationHeader/Graph?optionsOverride.RequestAppToken=true HTTP/1.1\r\n"
        + HOST
        + b"Authorization: Bearer a\r\nAUTHORIZATION: Bearer b\r\n\r\n",
    )
    ((ask, _),) = judge.asked
    assert ask.headers["authorization"] == "Bearer a,Bearer b"
    assert (ask.path, ask.destination) == ("/AuthorizationHeader/graph", "graph")


@pytest.mark.must(18)
def test_a_denial_is_a_problem(port: int) -> None:
    got = requests.get(f"http://127.0.0.1:{port}{PLACE}denied", timeout=10)
    assert (got.status_code, got.headers["retry-after"]) == (403, "7")
    assert got.headers["content-type"] == "application/problem+json"
    assert got.json()["type"] == "urn:attache:consent_required"
    got = requests.get(f"http://127.0.0.1:{port}/Validate", timeout=10)
    assert got.status_code == 401
    assert got.headers["www-authenticate"] == 'Bearer realm=""'


@pytest.mark.must(17)
def test_what_breaks_says_nothing_of_why(port: int) -> None:
    got = requests.get(f"http://127.0.0.1:{port}{PLACE}broken", timeout=10)
    assert got.status_code == 500
    assert "secret" not in got.text


BROKEN = [
    (b"GET /healthz HTTP/1.1\r\n\r\n", b" 403 "),
    (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", b" 403 "),
    (b"nonsense\r\n\r\n", b" 400 "),
    (b"GET /healthz HTTP/3.0\r\n\r\n", b" 505 "),
    (b"GET /healthz HTTP/1.1\r\n" + HOST + b"x: " + b"a" * 40_000, b""),
    (b"GET /healthz HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(120)), b" 431 "),
]


@pytest.mark.must(42)
@pytest.mark.parametrize(("sent", "status"), BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_request_of_a_program_is_cut_off(port: int, sent: bytes, status: bytes) -> None:
    heard = said(port, sent)
    assert status in heard
    assert b" 200 " not in heard


@pytest.mark.parametrize("framing", [b"Content-Length: 60\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_is_never_taken_for_a_request(port: int, judge: Any, framing: bytes) -> None:
    hidden = b"GET " + PLACE.encode() + b"graph HTTP/1.1\r\n" + HOST + b"\r\n"
    heard = said(port, b"GET /healthz HTTP/1.1\r\n" + HOST + framing + b"\r\n" + hidden)
    assert heard.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in heard
    assert judge.asked == []


@pytest.mark.must(42)
def test_of_too_many_connections_the_newest_is_closed(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(CONNECTIONS)]
    try:
        for connection in idle:  # each has its thread once it was answered
            connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one_more:
            assert one_more.recv(100) == b""
    finally:
        for connection in idle:
            connection.close()


def test_the_answer_is_exactly_what_microsoft_documents(port: int) -> None:
    got = requests.get(f"http://localhost:{port}{PLACE}graph", timeout=10)
    assert json.loads(got.text) == {"authorizationHeader": "Bearer t.o.ken"}
    assert got.headers["content-type"] == "application/json"
    assert requests.get(f"http://localhost:{port}/healthz", timeout=10).text == "Healthy"
