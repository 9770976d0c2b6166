"""The relay between pods reads what passes and changes nothing of it."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from demo.ports import Ports
from demo.waiting import until
from demo.wiretap import Requests, Wiretap, claims_of

CLAIMS = {"sub": "somebody", "aud": "orders"}
TOKEN = (
    "e30." + base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).decode().rstrip("=") + ".c2ln"
)
FIRST = (
    f"POST /a HTTP/1.1\r\nhost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    "x-correlation-id: one\r\ncontent-length: 5\r\n\r\nGET /"
).encode()
SECOND = b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_heads_are_found_however_the_bytes_are_cut(size: int) -> None:
    requests, stream = Requests(), FIRST + SECOND
    found = [
        head
        for start in range(0, len(stream), size)
        for head in requests.feed(stream[start : start + size])
    ]
    assert [line for line, _ in found] == ["POST /a HTTP/1.1", "GET /b HTTP/1.1"]
    assert found[0][1]["x-correlation-id"] == "one"


def test_a_body_in_chunks_ends_the_reading_and_nothing_is_made_up() -> None:
    requests = Requests()
    head = b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    assert len(requests.feed(head + b"5\r\nGET /\r\n")) == 1
    assert requests.feed(SECOND) == []


@pytest.mark.parametrize(
    "value", ["", "Basic YTpi", "Bearer a.b", "Bearer a.!!.c", "Bearer a.W10.c"]
)
def test_what_is_no_token_has_no_claims(value: str) -> None:
    assert claims_of(value) == {}


@pytest.fixture
def wire() -> Iterator[Wiretap]:
    wiretap = Wiretap()
    wiretap.start()
    yield wiretap
    wiretap.stop()


def test_requests_pass_unchanged_and_their_claims_are_noted(wire: Wiretap) -> None:
    ports = Ports()
    near, far = ports.take(), ports.take()
    received = bytearray()
    with socket.create_server(("127.0.0.1", far)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                while len(received) < len(FIRST):
                    received.extend(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        wire.relay("orders", near, far)
        with socket.create_connection(("127.0.0.1", near)) as client:
            client.sendall(FIRST)
            assert client.recv(4096).startswith(b"HTTP/1.1 204")
        thread.join(10)
    assert bytes(received) == FIRST
    passed = until(lambda: wire.passed("one"), "the note", 5)["orders"]
    assert (passed.method, passed.path, passed.claims) == ("POST", "/a", CLAIMS)
    assert TOKEN not in repr(passed)


def test_a_place_where_nobody_listens_closes_the_connection(wire: Wiretap) -> None:
    ports = Ports()
    near = ports.take()
    wire.relay("nobody", near, ports.take())
    with socket.create_connection(("127.0.0.1", near), timeout=10) as client:
        assert client.recv(1) == b""
