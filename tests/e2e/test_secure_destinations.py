"""Destinations behind TLS, with gRPC and with WebSockets: a real agent and a real Envoy.

The application speaks plain http, h2c or ws; Envoy shows and checks certificates, and the agent's
credential is in what the destination gets.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from demo.load import Load
from tests.e2e.contract_outbound_tools import Got, Pod, until
from tests.e2e.secure_world import (
    Authority,
    Greeter,
    Mounted,
    Site,
    grpc_server,
    server_context,
    websocket_server,
)

pytestmark = pytest.mark.e2e

KEY = "canary-of-the-destination"


class World:
    """One pod, and one destination for each way of being behind TLS."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs, self.other = map(Authority, ("clients", "servers", "strangers"))
        certificate, key = self.ours.issue("first")
        self.client = Mounted(folder / "client", certificate=certificate, key=key)
        self.trust = Mounted(folder / "trust", ca=self.theirs.pem)
        (folder / "key").write_text(KEY)
        self._credential = {"secretFile": {"file": str(folder / "key")}}
        self.mutual = Site(self.theirs.issue("mutual.test"), folder, self.ours.pem)
        self.strange = Site(self.other.issue("strange.test"), folder)
        self.misnamed = Site(self.theirs.issue("evil.test"), folder)
        self.greeter = Greeter()
        named = self.theirs.issue("grpc.test")
        servers = [grpc_server(self.greeter, each) for each in (named, None)]
        talkers = [
            websocket_server(context)
            for context in (server_context(self.theirs.issue("ws.test"), folder), None)
        ]
        self._ends = [*(s.stop for s in (self.mutual, self.strange, self.misnamed))]
        self._ends += [lambda s=s: s.stop(None).wait() for s, _ in servers]  # type: ignore[misc]
        self._ends += [s.shutdown for s, _ in talkers]
        shown = {
            "certificateFile": self.client.path("certificate"),
            "keyFile": self.client.path("key"),
        }
        (_, secure_grpc), (_, plain_grpc) = servers
        (_, secure_ws), (_, plain_ws) = talkers
        self.pod = Pod(
            folder / "pod",
            {
                "workload": {"name": "task-api", "namespace": "shop"},
                "routes": [{"path": "/**", "anonymous": True}],
                "destinations": [
                    self._leads("mutual", self.mutual.port, "mutual.test", **shown),
                    self._leads("strange", self.strange.port, "strange.test"),
                    self._leads("misnamed", self.misnamed.port, "good.test"),
                    self._leads("grpc", secure_grpc, "grpc.test"),
                    self._leads("ws", secure_ws, "ws.test"),
                    self._leads("plain-grpc", plain_grpc),
                    self._leads("plain-ws", plain_ws),
                    self._leads("for-users", plain_grpc) | {"credential": {"forward": {}}},
                    self._leads("away", 1),
                ],
            },
        )

    def _leads(self, name: str, port: int, sni: str = "", **tls: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": name, "hosts": [f"{name}.shop"]}
        entry |= {"address": f"127.0.0.1:{port}", "credential": self._credential}
        if sni:
            entry["tls"] = {"caFile": self.trust.path("ca"), "sni": sni, **tls}
        return entry

    def envoy_log(self) -> str:
        return (self.pod.folder / "envoy.log").read_text(errors="replace")

    def channel(self, host: str) -> grpc.Channel:
        """How an application reaches a gRPC destination: by its listener, under the host's name."""
        return grpc.insecure_channel(
            f"127.0.0.1:{self.pod.outbound}",
            options=[("grpc.default_authority", host), ("grpc.enable_http_proxy", 0)],
        )

    def stop(self) -> None:
        self.pod.stop()
        for end in self._ends:
            end()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("secure"))
    yield made
    made.stop()


# Certificates


def test_a_rotation_under_load_fails_no_call(world: World) -> None:
    def ask(session: requests.Session) -> requests.Response:
        url = f"http://127.0.0.1:{world.pod.outbound}/x"
        return session.get(url, headers={"host": "mutual.shop"}, timeout=30)

    with Load(ask, threads=3) as load:
        for number in range(3):
            certificate, key = world.ours.issue(f"rotated-{number}")
            world.client.move(certificate=certificate, key=key)
            wanted = [f"rotated-{number}"]
            until(lambda w=wanted: clients(world.pod.call("mutual.shop")) == w, "it is shown")
            load.more(30)
    assert dict(load.statuses) == {200: load.statuses.total()}, load.examples


def clients(got: Got) -> list[str]:
    return list(got.body["client"]) if got.status == 200 else []


def test_our_certificate_is_shown_and_a_new_one_as_soon_as_it_is_there(world: World) -> None:
    """However it is written: moved into place, or over the old one, half of it first.

    Though the destination would keep the connections that were made with the old one.
    """
    certificate, key = world.ours.issue("first")
    world.client.move(certificate=certificate, key=key)
    until(lambda: clients(world.pod.call("mutual.shop")) == ["first"], "the first is shown")
    assert world.pod.call("mutual.shop").bearer == KEY

    certificate, key = world.ours.issue("second")
    world.client.move(certificate=certificate, key=key)
    until(lambda: clients(world.pod.call("mutual.shop")) == ["second"], "the second is shown")

    certificate, key = world.ours.issue("third")
    world.client.write(certificate=certificate)
    until(lambda: "does not belong to the key" in world.pod.logged(), "a word about the half")
    assert clients(world.pod.call("mutual.shop")) == ["second"]  # the last good pair
    ready = world.pod.admin_json("/readyz")
    assert "does not belong to the key" in json.dumps(ready)
    world.client.write(key=key)
    until(lambda: clients(world.pod.call("mutual.shop")) == ["third"], "the third is shown")
    until(lambda: "does not belong" not in json.dumps(world.pod.admin_json("/readyz")), "mended")
    dump = requests.get(f"http://127.0.0.1:{world.pod.envoy_admin}/config_dump", timeout=10).text
    assert "certificate_mutual" in dump
    for said in (world.pod.logged(), world.envoy_log(), str(world.pod.admin_json("/status")), dump):
        assert "PRIVATE KEY" not in said
        assert base64.b64encode(key).decode()[:60] not in said


def test_trust_that_moves_to_another_authority_is_followed_and_back(world: World) -> None:
    assert world.pod.call("strange.shop").status == 503
    world.trust.write(ca=world.theirs.pem + world.other.pem)
    until(lambda: world.pod.call("strange.shop").status == 200, "both are trusted")
    assert world.pod.call("mutual.shop").status == 200
    world.trust.write(ca=b"")  # nothing takes the place of what was good
    until(lambda: "no PEM certificate" in world.pod.logged(), "a word about the empty file")
    assert world.pod.call("strange.shop").status == 200
    world.trust.move(ca=world.theirs.pem)
    until(lambda: world.pod.call("strange.shop").status == 503, "one is trusted again")
    assert world.pod.call("mutual.shop").status == 200


@pytest.mark.must(25)
@pytest.mark.parametrize("name", ["strange", "misnamed"])
def test_a_wrong_authority_or_name_is_a_503_that_says_why_and_no_token_travels(
    world: World, name: str
) -> None:
    site = getattr(world, name)
    until(lambda: world.pod.call(f"{name}.shop").status == 503, "distrust")
    before = site.requests
    got = world.pod.call(f"{name}.shop", {"x-correlation-id": f"txn-{name}"})
    assert got.denial == (503, "destination_unavailable")
    assert got.headers["content-type"] == "application/problem+json"
    assert "CERTIFICATE_VERIFY_FAILED" in got.body["failure"]
    assert site.requests == before
    correlation = got.body["correlationId"]

    def line() -> list[dict[str, Any]]:
        lines = [x for x in world.envoy_log().splitlines() if correlation in x]
        return [json.loads(each) for each in lines]

    (said,) = until(line, "a line in Envoy's log")
    assert said["cluster"] == f"destination_{name}"
    assert "CERTIFICATE_VERIFY_FAILED" in said["failure"]
    assert "tls.caFile" in said["message"]
    assert KEY not in world.envoy_log()


def test_a_destination_that_is_away_is_said_too(world: World) -> None:
    got = world.pod.call("away.shop")
    assert got.denial == (503, "destination_unavailable")
    assert got.body["status"] == 503
    until(lambda: got.body["correlationId"] in world.envoy_log(), "a line in Envoy's log")


def test_no_tunnel_goes_past_the_agent(world: World) -> None:
    """`CONNECT` to a destination, which is what clients ask a proxy for where TLS is meant."""
    for host in ("mutual.shop:443", "mutual.shop:80", "unknown.shop:443"):
        text = f"CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n\r\n"
        with _connected(world) as connection:
            connection.sendall(text.encode())
            status = int(connection.recv(65536).split()[1])
        assert status >= 400, host


# gRPC


@pytest.mark.parametrize("host", ["grpc.shop", "plain-grpc.shop"])
def test_grpc_calls_carry_the_credential_and_stream_both_ways(world: World, host: str) -> None:
    with world.channel(host) as channel:
        call = channel.unary_unary("/shop.Greeter/Greet")
        metadata = [("authorization", "Bearer own"), ("x-auth-subject", "forged")]
        assert call(b"1", metadata=metadata, timeout=30) == b"re:1"
        seen = world.greeter.seen[-1]
        assert seen["authorization"] == f"Bearer {KEY}"
        assert "x-auth-subject" not in seen
        assert seen["x-correlation-id"]

        answered: list[bytes] = []

        def asking() -> Iterator[bytes]:
            for count in range(3):  # each waits for the answer to the one before
                until(lambda wanted=count: len(answered) >= wanted, "the answer before")
                yield str(count).encode()

        stream = channel.stream_stream("/shop.Greeter/Stream")(asking(), timeout=30)
        for message in stream:
            answered += [message]
        assert answered == [b"re:0", b"re:1", b"re:2"]
        assert dict(stream.trailing_metadata())["x-count"] == "3"

        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/shop.Greeter/Fail")(b"", timeout=30)
        failed: Any = caught.value
        assert failed.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert failed.details() == "nothing is left"
        assert dict(failed.trailing_metadata())["x-why"] == "sold out"


@pytest.mark.must(18)
@pytest.mark.parametrize(
    ("host", "code", "words"),
    [
        ("for-users.shop", grpc.StatusCode.PERMISSION_DENIED, "no_subject: "),
        ("unknown.shop", grpc.StatusCode.PERMISSION_DENIED, "destination_not_allowed: "),
        ("strange.shop", grpc.StatusCode.UNAVAILABLE, "connection failure"),
        ("away.shop", grpc.StatusCode.UNAVAILABLE, "connection failure"),
    ],
)
def test_what_is_denied_or_not_reached_is_a_grpc_status(
    world: World, host: str, code: grpc.StatusCode, words: str
) -> None:
    before = len(world.greeter.seen)
    with world.channel(host) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/shop.Greeter/Greet")(b"1", timeout=30)
    failed: Any = caught.value
    assert failed.code() is code
    assert words in failed.details()
    assert len(world.greeter.seen) == before


# WebSockets


@pytest.mark.parametrize("host", ["ws.shop", "plain-ws.shop"])
def test_a_websocket_gets_the_credential_at_its_handshake_and_then_talks(
    world: World, host: str
) -> None:
    headers = {"Authorization": "Bearer own", "x-auth-subject": "forged"}
    with connect(
        f"ws://{host}/live",
        additional_headers=headers,
        sock=_connected(world),
        proxy=None,
    ) as client:
        seen = {k.lower(): v for k, v in json.loads(client.recv(30)).items()}
        assert seen["authorization"] == f"Bearer {KEY}"
        assert "x-auth-subject" not in seen
        for message in ("hello", b"\x00\xff" * 50_000):
            client.send(message)
            assert [client.recv(30), client.recv(30)] == [message, message]


def test_a_websocket_that_is_denied_is_never_opened(world: World) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        connect("ws://for-users.shop/live", sock=_connected(world), proxy=None),
    ):
        pass
    response = caught.value.response
    assert response.status_code == 403
    assert json.loads(response.body)["type"] == "urn:attache:no_subject"


def _connected(world: World) -> Any:
    return socket.create_connection(("127.0.0.1", world.pod.outbound), timeout=30)
