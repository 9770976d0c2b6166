"""Does a WebSocket pass through a real Envoy: decided on at its handshake, then both ways?"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from tests.e2e.contract_inbound_tools import PATIENCE, Pod, until
from tests.e2e.doors import Provider

pytestmark = pytest.mark.e2e

ROUTES = [
    {"path": "/live", "methods": ["GET"], "require": {"scopes": ["read"]}},
    {"path": "/admin", "require": {"roles": ["Admin"]}},
]


def application(connection: ServerConnection) -> None:
    """Says first what the handshake carried, then everything twice."""
    assert connection.request is not None
    connection.send(json.dumps(list(connection.request.headers.raw_items())))
    for message in connection:
        connection.send(message)
        connection.send(message)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.site.down()


@pytest.fixture(scope="module")
def pod(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    import threading

    server: Server = serve(application, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    listener = {"application": f"127.0.0.1:{server.socket.getsockname()[1]}"}
    configuration = {"issuers": provider.issuers(), "routes": ROUTES, "listeners": listener}
    with Pod(tmp_path_factory.mktemp("pod"), configuration) as made:
        until(lambda: made.ask("/live", provider.token()).status != 503, "the keys")
        yield made
    server.shutdown()


@pytest.mark.must(19)
def test_a_permitted_socket_carries_data_both_ways_and_identities_at_its_handshake(
    pod: Pod, provider: Provider
) -> None:
    headers = {
        "Authorization": f"Bearer {provider.token()}",
        "x-auth-subject": "root",
        "x-auth-roles": "Admin",
    }
    with connect(f"ws://127.0.0.1:{pod.port}/live", additional_headers=headers) as client:
        seen = {name.lower(): value for name, value in json.loads(client.recv(PATIENCE))}
        assert seen["x-auth-subject"] == "ann"
        assert "x-auth-roles" not in seen
        assert seen["upgrade"] == "websocket"
        for message in ("hello", b"\x00\xff" * 100_000):
            client.send(message)
            assert [client.recv(PATIENCE), client.recv(PATIENCE)] == [message, message]


@pytest.mark.must(18)
@pytest.mark.parametrize(
    ("path", "who", "status", "reason"),
    [
        ("/live", "", 401, "missing_token"),
        ("/live", "x.y.z", 401, "malformed_token"),
        ("/admin", "ann", 403, "insufficient_role"),
        ("/nowhere", "ann", 403, "no_route"),
    ],
)
def test_a_refused_handshake_is_answered_by_the_problem_and_nothing_is_upgraded(
    pod: Pod, provider: Provider, path: str, who: str, status: int, reason: str
) -> None:
    token = provider.token() if who == "ann" else who
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(f"ws://127.0.0.1:{pod.port}{path}", additional_headers=headers),
    ):
        pass
    response = caught.value.response
    assert response.status_code == status
    assert json.loads(response.body)["type"] == f"urn:attache:{reason}"
    assert response.headers["content-type"] == "application/problem+json"


def test_over_http2_a_websocket_is_not_offered_and_refused(pod: Pod, provider: Provider) -> None:
    """RFC 8441: clients fall back to HTTP/1.1 where the setting is absent."""
    configuration = h2.config.H2Configuration(validate_outbound_headers=False)
    connection = h2.connection.H2Connection(configuration)
    with socket.create_connection(("127.0.0.1", pod.port), timeout=PATIENCE) as wire:
        connection.initiate_connection()
        connection.send_headers(
            1,
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", "/live"),
                (":authority", "shop.example"),
                ("authorization", f"Bearer {provider.token()}"),
            ],
        )
        wire.sendall(connection.data_to_send())
        for event in _events(connection, wire):
            if isinstance(event, h2.events.ResponseReceived):
                assert int(dict(event.headers)[b":status"]) >= 400
                break
            if isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                break
    assert not connection.remote_settings.enable_connect_protocol


def _events(connection: h2.connection.H2Connection, wire: socket.socket) -> Iterator[object]:
    while data := wire.recv(65536):
        yield from connection.receive_data(data)
    yield h2.events.ConnectionTerminated()
