"""Does a real Keycloak accept our proofs and our exchanges, and we its tokens? (see its peer)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.contract_outbound_tools import Echo, Got, Pod, until
from tests.e2e.peers.keycloak import ALGORITHMS, Keycloak

pytestmark = pytest.mark.e2e

EXCHANGES: dict[str, dict[str, Any]] = {
    "billing": {"identity": "us", "audience": "billing"},
    "signed": {"identity": "ES256", "audience": "billing"},
    "acting": {"identity": "us", "audience": "billing", "actor": {"clientCredentials": {}}},
    "either": {"identity": "us", "audience": "billing", "subject": "either"},
    "unknown": {"identity": "us", "audience": "zzz"},
    "forbidden": {"identity": "us", "audience": "nobody"},
    "greedy": {"identity": "us", "audience": "billing", "scopes": ["zzz"]},
    "closed": {"identity": "nobody", "audience": "billing"},
    "typed": {"identity": "us", "audience": "billing", "subjectTokenType": "jwt"},
}


class World:
    """One pod in front of a realm."""

    def __init__(self, tmp: pytest.TempPathFactory) -> None:
        folder = tmp.mktemp("keycloak")
        self.keycloak = Keycloak(folder / "keycloak")
        self.echo = Echo("shared")
        try:
            self.pod = Pod(folder / "pod", self._configuration())
        except BaseException:
            self.keycloak.stop()
            raise

    def _configuration(self) -> dict[str, Any]:
        server = self.keycloak
        secret = {"secretFile": str(server.secret_file)}
        clients: dict[str, dict[str, Any]] = {
            "us": {"tokenUrl": server.token_url, "clientId": "task-api", **secret},
            "found": {"issuer": server.issuer, "clientId": "task-api", **secret},
            "nobody": {"tokenUrl": server.token_url, "clientId": "nobody", **secret},
            **{
                name: {
                    "issuer": server.issuer,
                    "clientId": f"us-{name}",
                    "keyFile": str(key.file),
                    "keyId": key.kid,
                    "algorithm": name,
                }
                for name, key in server.keys.items()
            },
        }
        clients["url"] = {k: v for k, v in clients["ES256"].items() if k != "issuer"}
        clients["url"]["tokenUrl"] = server.token_url
        credentials = {
            f"cc-{name.lower()}": {"clientCredentials": {"identity": name.lower()}}
            for name in ("us", "found", "url", *ALGORITHMS)
        }
        credentials |= {
            name: {"tokenExchange": {**written, "identity": written["identity"].lower()}}
            for name, written in EXCHANGES.items()
        }
        return {
            "workload": {"name": "task-api", "namespace": "shop"},
            "issuers": [
                {
                    "name": "sso",
                    "oidc": {"issuer": server.issuer, "audiences": ["task-api", "nobody"]},
                }
            ],
            "routes": [{"path": "/x/**"}],
            "identities": [{"name": n.lower(), "oauth": w} for n, w in clients.items()],
            "destinations": [
                {
                    "name": name,
                    "hosts": [f"{name}.judge"],
                    "address": f"127.0.0.1:{self.echo.port}",
                    "credential": credential,
                }
                for name, credential in credentials.items()
            ],
        }

    def call(self, host: str, token: str = "") -> Got:
        headers = {"baggage": self.pod.receive(token, "/x/y").seen["baggage"]} if token else {}
        return self.pod.call(f"{host}.judge", headers)

    def stop(self) -> None:
        self.pod.stop()
        self.echo.stop()
        self.keycloak.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory)
    yield made
    made.stop()


def test_its_users_tokens_are_accepted(world: World) -> None:
    seen = world.pod.receive(world.keycloak.sign_in(), "/x/y").seen
    assert (seen["x-auth-kind"], seen["x-auth-client"]) == ("user", "web")
    assert seen["x-auth-name"] == "Alice Example"


@pytest.mark.parametrize("name", ["us", "found", "url", *(name.lower() for name in ALGORITHMS)])
def test_it_accepts_each_proof_of_ours(world: World, name: str) -> None:
    claims = world.keycloak.claims(world.call(f"cc-{name}").bearer)
    wanted = {"us": "task-api", "found": "task-api", "url": "us-ES256"}
    known = wanted.get(name) or f"us-{next(a for a in ALGORITHMS if a.lower() == name)}"
    assert claims["azp"] == known


@pytest.mark.parametrize("name", ["billing", "signed", "acting", "either"])
def test_it_exchanges_the_callers_token(world: World, name: str) -> None:
    token = world.keycloak.sign_in()
    claims = world.keycloak.claims(world.call(name, token).bearer)
    assert claims["aud"] == "billing"
    assert claims["sub"] == world.keycloak.claims(token)["sub"]
    assert world.pod.record(destination=name)["credential"] == "tokenExchange:user"


@pytest.mark.parametrize(
    ("name", "client", "told"),
    [
        ("billing", "other", "does not exchange the caller's token for client 'task-api'"),
        ("unknown", "web", "does not know the audience 'zzz'"),
        ("forbidden", "web", "does not issue tokens for 'nobody'"),
        ("greedy", "web", "does not grant the scopes 'zzz'"),
        ("closed", "other", "does not let client 'nobody' exchange tokens"),
        ("typed", "web", "does not take this type of subject token"),
    ],
)
def test_its_refusals_are_explained(world: World, name: str, client: str, told: str) -> None:
    token = world.keycloak.sign_in(client)
    assert world.call(name, token).denial == (500, "internal_error")
    sentence = f"destination '{name}': '{world.keycloak.token_url}' {told}"
    until(lambda: sentence in world.pod.logged(), sentence)


def test_a_user_who_signed_out_is_asked_to_sign_in_again(world: World) -> None:
    token = world.keycloak.sign_in()
    world.keycloak.end_session(token)
    assert world.call("billing", token).denial == (401, "invalid_token")
