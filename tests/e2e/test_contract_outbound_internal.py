"""Do internal tokens between real agents keep what the contract promises (DESIGN.md §7)?"""

from __future__ import annotations

import base64
import json
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.contract_outbound_sts import CLIENT, HOME, Authority, Signing, Sts
from tests.e2e.contract_outbound_tools import Echo, Got, Pod, peek, until

pytestmark = pytest.mark.e2e


PURPOSE = {"scopes": ["l.read"], "claims": ["name"]}


class Chain:
    """edge → middle → last: the middle trusts by url, the last by a mounted file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.sts = Sts(self.authority)
        self.plain = Echo("plain")
        self.keys = {n: Signing(folder / n, f"shop/{n}") for n in ("edge", "middle", "last")}
        self.trust = folder / "trust.json"
        self.trust.write_text(json.dumps({"keys": [k.jwk for k in self.keys.values()]}))
        entra = {"authority": self.sts.base, "caFile": str(self.authority.ca)}
        self.edge = self.pod(
            "edge",
            [{"name": "e", "entra": {**entra, "tenants": [HOME], "audiences": [CLIENT]}}],
            {"middle": ["m.read", "l.read", "m.write"]},
            publish=True,
        )
        jwks = f"http://127.0.0.1:{self.edge.inbound}/.well-known/jwks.json"
        self.middle = self.pod(
            "middle",
            [self.mesh("middle", {"url": jwks})],
            {"last": ["l.read", "l.write"], "none": ["x"]},
            mode="redirect",
        )
        self.last = self.pod(
            "last",
            [self.mesh("last", {"file": str(self.trust)})],
            {"edge": [], "last": [], "middle": []},
            static=True,
            unmatched="passthrough",
            max_hops=2,
        )
        self.pods = [self.edge, self.middle, self.last]

    def mesh(self, audience: str, jwks: dict[str, str]) -> dict[str, Any]:
        issuers = [f"https://{n}.shop" for n in ("edge", "middle", "last")]
        body = {"trustDomain": "shop", "issuers": issuers, "audience": audience, "jwks": jwks}
        body["txnToken"] = "accept"
        return {"name": "mesh", "internal": body}

    def pod(
        self,
        name: str,
        issuers: list[dict[str, Any]],
        destinations: dict[str, list[str]],
        publish: bool = False,
        static: bool = False,
        max_hops: int = 8,
        **outbound: str,
    ) -> Pod:
        return Pod(
            self.folder / f"pod-{name}",
            {
                "workload": {"name": name, "namespace": "shop"},
                "listeners": {"outbound": outbound},
                "issuers": issuers,
                "routes": [{"path": "/open", "anonymous": True}, {"path": "/**"}],
                "destinations": [
                    {
                        "name": to,
                        "hosts": [f"{to}.shop"],
                        "address": f"127.0.0.1:{self.plain.port}",
                        "credential": {
                            "internal": {"audience": to, "scopes": scopes, "claims": ["name"]}
                            | ({"txnToken": PURPOSE} if to in ("middle", "last") else {}),
                            "subject": "user",
                        },
                    }
                    for to, scopes in destinations.items()
                ],
                "internalTokens": {
                    "issuer": f"https://{name}.shop",
                    "trustDomain": "shop",
                    "keys": str(self.folder / name),
                    "lifetime": "4m",
                    "publish": publish,
                    "publishDelay": "4s",
                    "maxHops": max_hops,
                },
            },
            static=static,
        )

    def hop(self, pod: Pod, token: str, to: str, **headers: str) -> Got:
        """The application of *pod* is called with *token*, and calls on."""
        seen = pod.receive(token, **headers).seen
        relayed = ("baggage", "traceparent", "txn-token")
        return pod.call(f"{to}.shop", {k: seen[k] for k in relayed if k in seen})

    def stop(self) -> None:
        for pod in self.pods:
            pod.stop()
        self.plain.stop()
        self.sts.stop()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    yield made
    made.stop()


@pytest.mark.must(30)
def test_a_token_narrows_and_its_chain_grows_along_real_hops(chain: Chain) -> None:
    txn = f"txn-{uuid.uuid4()}"
    user = chain.sts.issue("u-1", life=200)
    first = chain.hop(chain.edge, user, "middle", x_correlation_id=txn).bearer
    second = chain.hop(chain.middle, first, "last").bearer
    third = chain.hop(chain.last, second, "middle")
    one, two = peek(first), peek(second)
    assert (one["scope"], two["scope"]) == ("m.read l.read m.write", "l.read")
    assert (one["aud"], two["aud"]) == ("middle", "last")
    assert (one["iss"], two["iss"]) == ("https://edge.shop", "https://middle.shop")
    assert (one["client_id"], two["client_id"]) == ("shop/edge", "shop/middle")
    assert one["act"] == {"sub": "shop/edge"}
    assert two["act"] == {"sub": "shop/middle", "act": {"sub": "shop/edge"}}
    assert (one["hops"], two["hops"]) == (1, 2)
    assert one["txn"] == two["txn"] == txn
    for name in ("sub", "tid", "oid", "name"):
        assert one[name] == two[name]
    assert one["jti"] != two["jti"]
    assert two["exp"] <= one["exp"] <= peek(user)["exp"]
    again = peek(chain.hop(chain.edge, chain.sts.issue("u-1"), "middle").bearer)
    assert (again["sub"], again["tid"]) == (one["sub"], one["tid"])
    assert again["exp"] - again["iat"] <= 240
    other = peek(chain.hop(chain.edge, chain.sts.issue("u-2"), "middle").bearer)
    assert other["sub"] != one["sub"]
    assert third.denial == (403, "call_loop"), "maxHops is 2"
    denied = chain.hop(chain.middle, first, "none")
    assert denied.denial == (403, "insufficient_scope")
    record = chain.last.record(direction="inbound", txn=txn)
    assert record["actors"] == ["shop/middle", "shop/edge"]
    assert record["client"] == "shop/middle"


@pytest.mark.must(30)
def test_a_chain_does_not_enter_a_workload_twice(chain: Chain) -> None:
    first = chain.hop(chain.edge, chain.sts.issue("u-1"), "middle").bearer
    claims = peek(first) | {"hops": 1}
    claims["act"] = {"sub": "shop/edge", "act": {"sub": "shop/last"}}
    claims["aud"] = "last"
    got = chain.last.receive(chain.keys["edge"].sign(claims))
    assert got.denial == (403, "call_loop")


@pytest.mark.must(11, 30)
def test_a_transaction_token_is_made_at_the_edge_and_goes_on_unchanged(chain: Chain) -> None:
    stray = {"txn_token": "a.b.c"}
    first = chain.hop(chain.edge, chain.sts.issue("u-1"), "middle", **stray).seen
    bearer, txn_token = first["authorization"].removeprefix("Bearer "), first["txn-token"]
    made = peek(txn_token)
    assert (made["aud"], made["req_wl"], made["scope"]) == ("shop", "shop/edge", "l.read")
    assert {name: made[name] for name in ("txn", "sub")} == {
        name: peek(bearer)[name] for name in ("txn", "sub")
    }
    assert made["tctx"] == {"name": "Name u-1"}
    assert made["exp"] <= peek(bearer)["exp"] + 1
    along = chain.hop(chain.middle, bearer, "last", txn_token=txn_token).seen
    assert along["txn-token"] == txn_token
    assert along["authorization"] != first["authorization"]
    seen = chain.last.receive(
        along["authorization"].removeprefix("Bearer "), **{"txn-token": txn_token}
    ).seen
    assert seen["txn-token"] == txn_token
    # another's, a made-up one, and a bearer in its place; and it opens no route itself
    other = chain.hop(chain.edge, chain.sts.issue("u-2"), "middle").seen["txn-token"]
    for bad in (other, f"{txn_token[:-4]}AAAA", bearer):
        got = chain.middle.receive(bearer, txn_token=bad)
        assert got.denial[0] == 401, bad
    assert chain.middle.receive(txn_token).denial == (401, "wrong_audience")
    # nothing of it goes where it was not asked for
    direct = chain.keys["edge"].sign(peek(bearer) | {"aud": "last"})
    assert "txn-token" not in chain.hop(chain.last, direct, "edge", txn_token=txn_token).seen


@pytest.mark.must(11)
def test_a_stolen_key_speaks_as_nobody_else(chain: Chain) -> None:
    first = chain.hop(chain.edge, chain.sts.issue("u-1"), "middle").bearer
    claims = peek(first) | {"aud": "last"}
    edge, middle = chain.keys["edge"], chain.keys["middle"]
    assert chain.last.receive(edge.sign(claims)).status == 200
    posing = claims | {"client_id": "shop/middle", "act": {"sub": "shop/middle"}}
    for bad, reason in (
        (edge.sign(posing), "invalid_token"),
        (middle.sign(claims), "invalid_token"),
        (edge.sign(posing | {"iss": "https://middle.shop"}), "invalid_token"),
        (edge.sign(claims | {"aud": "middle"}), "wrong_audience"),
        (edge.sign(claims | {"iss": "https://else.shop"}), "untrusted_issuer"),
        (edge.sign(claims | {"exp": claims["iat"] + 90_000}), "invalid_token"),
        (chain.sts.issue("u-1"), "untrusted_issuer"),
    ):
        assert chain.last.receive(bad).denial == (401, reason)
    assert chain.edge.receive(first).denial == (401, "untrusted_issuer")


@pytest.mark.must(33)
def test_a_new_key_is_published_before_it_signs(chain: Chain) -> None:
    def published() -> set[str]:
        documents = [
            requests.get(f"http://127.0.0.1:{port}/.well-known/jwks.json", timeout=5).json()
            for port in (chain.edge.admin, chain.edge.inbound)
        ]
        assert all("d" not in k and k["workload"] == "shop/edge" for k in documents[0]["keys"])
        kids = [{k["kid"] for k in document["keys"]} for document in documents]
        return kids[0] & kids[1]

    def kid() -> str:
        token = chain.hop(chain.edge, chain.sts.issue(uuid.uuid4().hex), "middle").bearer
        assert chain.middle.receive(token).status == 200
        return json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"]

    old = chain.keys["edge"].kid
    assert published() == {old}
    assert kid() == old
    new = Signing(chain.folder / "edge", "shop/edge", "two.pem").kid
    until(lambda: new in published(), "the new key is published")
    until(lambda: kid() == new, "the new key signs")
    (chain.folder / "edge" / "one.pem").unlink()
    assert published() == {old, new}


# Restart and the other ways to start


@pytest.mark.must(37)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_the_agent_under_load_fails_no_request(
    chain: Chain, how: signal.Signals
) -> None:
    token, over = chain.sts.issue("u-1"), threading.Event()
    results: list[tuple[int, str]] = []

    def load() -> None:
        while not over.is_set():
            got = chain.edge.receive(token)
            results.append((got.status, "" if got.status == 200 else str(got.body)))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(results) > 50, "load")
    old = chain.edge.agent
    old.send_signal(how)
    code = old.wait(10)
    chain.edge.start_agent()
    before = len(results)
    until(lambda: len(results) > before + 100, "load after the restart")
    over.set()
    for thread in threads:
        thread.join()
    assert [r for r in results if r[0] != 200] == []
    assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL)


def test_a_static_envoy_passes_the_unmatched_on_without_what_is_ours(chain: Chain) -> None:
    first = chain.hop(chain.edge, chain.sts.issue("u-1"), "middle").bearer
    second = chain.hop(chain.middle, first, "last").bearer
    seen = chain.last.receive(second).seen
    assert seen["x-auth-client"] == "shop/middle"
    host = f"127.0.0.1:{chain.plain.port}"
    got = chain.last.call(host, seen, absolute=True).seen
    assert "authorization" not in got
    assert [k for k, v in got.items() if "x-auth" in k or seen["x-attache-context"] in v] == []
    assert got["x-correlation-id"] == seen["x-correlation-id"]
    mine = chain.last.call(host, {"authorization": "Basic YTpi"}, absolute=True).seen
    assert mine["authorization"] == "Basic YTpi", "the application's own secret is its own affair"
