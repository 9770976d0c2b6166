"""What leaves a pod whose packets are redirected: http scrubbed, the rest unread, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract_outbound_sts import CLIENT, HOME, Authority, Sts
from tests.e2e.contract_outbound_tools import Echo, Got, ask, until
from tests.e2e.namespace import Network, PodInside, Raw, missing

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(missing() != "", reason=missing()),
]

KEY = "canary-of-billing"


class World:
    """Two pods with networks of their own, one that passes through and one that denies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "key").write_text(KEY)
        self.authority = Authority(folder)
        self.sts = Sts(self.authority)
        everywhere = "0.0.0.0"
        self.billing = Echo("billing", address=everywhere)
        self.elsewhere = Echo("elsewhere", address=everywhere)
        self.application = Echo("application", address=everywhere)
        self.secure = Echo("secure", self.authority.server, address=everywhere)
        self.quiet = Raw(everywhere)
        self.greeting, self.unlisted = (Raw(everywhere, b"220 hello") for _ in range(2))
        self.networks = {name: Network() for name in ("passthrough", "deny")}
        self.pods = {name: self._pod(name, network) for name, network in self.networks.items()}

    def _pod(self, name: str, network: Network) -> PodInside:
        entra = {"authority": self.sts.base, "caFile": str(self.authority.ca)}
        outbound: dict[str, Any] = {"mode": "redirect", "unmatched": name}
        if name == "passthrough":
            outbound["opaquePorts"] = [self.greeting.port]
        application = f"{network.outside}:{self.application.port}"
        return PodInside(
            network,
            self.folder / name,
            {
                "workload": {"name": name, "namespace": "judge"},
                "listeners": {
                    "outbound": outbound,
                    "inbound": {"address": "0.0.0.0", "application": application},
                },
                "issuers": [
                    {"name": "e", "entra": entra | {"tenants": [HOME], "audiences": [CLIENT]}}
                ],
                "routes": [{"path": "/**"}],
                "destinations": [
                    {
                        "name": "billing",
                        "hosts": ["billing.shop"],
                        "address": f"{network.outside}:{self.billing.port}",
                        "credential": {"secretFile": {"file": str(self.folder / "key")}},
                    }
                ],
            },
        )

    def received(self, name: str, token: str) -> dict[str, str]:
        """What the application was given with a caller's request."""
        pod, address = self.pods[name], self.networks[name].inside
        headers = {"authorization": f"Bearer {token}"}
        return ask(pod.inbound, "/x", "api.judge", headers, address=address).seen

    def http(self, name: str, host: str, headers: dict[str, str], address: str = "") -> Got:
        """The application's plain http request for *host*, to *address* where it believes it is."""
        network = self.networks[name]
        lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        text = f"GET /y HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{lines}\r\n"
        said, _ = network.talk(address or network.outside, self.elsewhere.port, text)
        head, _, body = said.partition("\r\n\r\n")
        fields = [line.partition(": ") for line in head.split("\r\n")[1:]]
        return Got(int(head[9:12]), {k.lower(): v for k, _, v in fields}, json.loads(body))

    def raw(self, name: str, server: Any, text: str = "", **how: Any) -> tuple[str, str]:
        """What the application hears on a connection that is no plain http."""
        network = self.networks[name]
        return network.talk(network.outside, server.port, text, **how)

    def envoy_log(self, name: str) -> str:
        return (self.folder / name / "envoy.log").read_text(errors="replace")

    def stop(self) -> None:
        for pod in self.pods.values():
            pod.stop()
        for network in self.networks.values():
            network.stop()
        ends = (self.billing, self.elsewhere, self.application, self.secure, self.quiet)
        for server in (*ends, self.greeting, self.unlisted, self.sts):
            server.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("pass"))
    yield made
    made.stop()


# plain http


@pytest.mark.must(25)
@pytest.mark.parametrize("name", ["passthrough", "deny"])
def test_a_destination_is_known_by_its_host_wherever_the_packets_went(
    world: World, name: str
) -> None:
    got = world.http(name, "billing.shop", {"authorization": "Basic YTpi"}, "10.9.9.9")
    assert (got.by, got.bearer) == ("billing", KEY)


def test_to_an_unlisted_host_nothing_of_the_callers_goes(world: World) -> None:
    token = world.sts.issue("u-1")
    given = world.received("passthrough", token)
    relayed = {k: v for k, v in given.items() if k.startswith(("x-", "baggage", "trace"))}
    relayed["authorization"] = f"Bearer {token}"
    assert relayed["x-attache-context"]
    got = world.http("passthrough", "elsewhere.test", relayed | {"x_auth_subject": "me"})
    assert got.by == "elsewhere"
    seen = got.seen
    assert [k for k in seen if k.replace("_", "-").startswith("x-auth-")] == []
    assert "authorization" not in seen
    assert "x-attache-context" not in seen
    assert relayed["x-attache-context"] not in json.dumps(seen)
    assert token not in json.dumps(seen)
    got = world.http("passthrough", "elsewhere.test", {"authorization": "Basic YTpi"})
    assert got.seen["authorization"] == "Basic YTpi"  # its own credential passes


@pytest.mark.must(21)
def test_where_the_rest_is_denied_an_unlisted_host_is_a_403(world: World) -> None:
    got = world.http("deny", "elsewhere.test", {})
    assert got.denial == (403, "destination_not_allowed")


# anything else

REQUEST = "GET /y HTTP/1.1\r\nhost: other.test\r\nconnection: close\r\nx-mine: 1\r\n\r\n"


@pytest.mark.parametrize("server_name", ["other.test", ""], ids=["named", "no name"])
def test_tls_goes_on_unread_whatever_it_speaks(world: World, server_name: str) -> None:
    said, _ = world.raw("passthrough", world.secure, REQUEST, tls=server_name)
    body = json.loads(said.partition("\r\n\r\n")[2])
    assert body["name"] == "secure"
    assert body["headers"]["x-mine"] == "1"


@pytest.mark.parametrize(
    "text", ["PING\r\n", "PING", "hello there", "\x00\x01\x02", "SSH-2.0-x\r\n"]
)
def test_other_protocols_go_on_unread_also_where_they_begin_as_http_might(
    world: World, text: str
) -> None:
    said, _ = world.raw("passthrough", world.quiet, text, enough=text)
    assert said == f"echo {text}"


@pytest.mark.parametrize("server", ["greeting", "unlisted"])
def test_where_the_server_speaks_first_its_greeting_arrives(world: World, server: str) -> None:
    server_of = getattr(world, server)
    said, _ = world.raw("passthrough", server_of, "EHLO", listen=True, enough="EHLO")
    assert said == "220 helloecho EHLO"


@pytest.mark.must(25)
@pytest.mark.parametrize("server_name", ["billing.shop", "BILLING.Shop"])
def test_tls_is_no_way_round_a_destinations_rules(world: World, server_name: str) -> None:
    said, ended = world.raw("passthrough", world.secure, REQUEST, tls=server_name)
    assert said == ""
    assert ended != "closed"  # there was no handshake
    line = until(
        lambda: [x for x in world.envoy_log("passthrough").splitlines() if "serverName" in x],
        "a line in Envoy's log",
    )[-1]
    record = json.loads(line)
    assert record["serverName"] == "billing.shop"
    assert "by http://" in record["message"]


@pytest.mark.must(21)
@pytest.mark.parametrize("tls", [None, "other.test", "billing.shop", ""])
def test_where_the_rest_is_denied_nothing_but_http_gets_out(world: World, tls: str | None) -> None:
    server = world.quiet if tls is None else world.secure
    before = list(world.quiet.heard)
    said, ended = world.raw("deny", server, "PING\r\n\r\n", tls=tls)
    assert "echo" not in said
    assert "secure" not in said
    assert ended != "silence"
    assert world.quiet.heard == before
