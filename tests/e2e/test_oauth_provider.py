"""Do our tokens satisfy a certified provider, and we its? Agent, Envoy and oidc-provider, all real.

Its token exchange (peers/oidc/exchange.mjs) is written apart from ours, and is stricter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.contract_outbound_sts import Signing
from tests.e2e.contract_outbound_tools import Echo, Got, Pod, until
from tests.e2e.peers.oidc_provider import RESOURCES, SECRET, OidcProvider

pytestmark = pytest.mark.e2e

US, OPAQUE = "https://api.example/us", "https://api.example/opaque"
METHODS = {
    "basic": {"clientId": "us"},
    "odd": {"clientId": "us:%+ basic"},
    "post": {"clientId": "us-post", "authMethod": "client_secret_post"},
    **{
        name.lower(): {"clientId": f"us-{name}", "keyId": f"key-{name}", "algorithm": name}
        for name in ("RS256", "PS256", "ES256", "ES384", "EdDSA")
    },
    "discovered": {"clientId": "us-ES256"},
    "audience": {"clientId": "us-ES256"},
    "mtls": {"clientId": "us-mtls"},
}
# destination → its token exchange, as identity `basic` unless another is named
EXCHANGES: dict[str, dict[str, Any]] = {
    "billing": {"audience": "billing", "scopes": ["billing.read"]},
    "resource": {"resource": "https://api.example/billing"},
    "vault": {"audience": "vault", "scopes": ["vault.open"]},  # opaque
    "signed": {"identity": "es256", "audience": "billing", "actor": {"clientCredentials": {}}},
    "acting": {
        "audience": "billing",
        "actor": {"clientCredentials": {"resource": US, "scopes": ["tasks.read"]}},
    },
    "minted": {"audience": "billing", "actor": {"internal": {"audience": "sso"}}},
    "stranger": {"audience": "billing", "actor": {"internal": {"audience": "else"}}},
    "either": {"resource": "https://api.example/vault", "subject": "either"},
    "ourselves": {
        "audience": "billing",
        "subject": "app",
        "own": {"clientCredentials": {"resource": US}},
    },
    "nowhere": {"audience": "nowhere"},
    "greedy": {"audience": "billing", "scopes": ["tasks.write"]},
    "uninvited": {"identity": "post", "audience": "billing"},
}


class World:
    """One pod whose callers come from the provider, and whose calls are proven by it."""

    def __init__(self, tmp: pytest.TempPathFactory) -> None:
        folder = tmp.mktemp("oauth")
        signing = Signing(folder / "keys", "judge/front")
        trusted = {"issuer": "https://front.judge", "audience": "sso"}
        trusted |= {"jwks": {"keys": [signing.jwk]}}
        self.provider = OidcProvider(folder / "provider", trusted=[trusted])
        self.echo = Echo("shared")
        try:
            self.pod = Pod(folder / "pod", self.configuration(str(signing.folder)))
        except BaseException:
            self.provider.stop()
            raise

    def identity(self, name: str, written: dict[str, str]) -> dict[str, Any]:
        provider, client = self.provider, written["clientId"]
        oauth: dict[str, Any] = {"caFile": str(provider.ca_file), **written}
        if client.removeprefix("us-") in provider.keys:
            oauth["keyFile"] = str(provider.keys[client.removeprefix("us-")].file)
        elif name == "mtls":
            oauth["keyFile"] = oauth["certificateFile"] = str(provider.certificate_file)
        else:
            oauth["secretFile"] = str(provider.secret_file)
        if name == "discovered":
            oauth["issuer"] = provider.issuer
        else:
            oauth["tokenUrl"] = provider.token_url
        if name == "audience":
            oauth["assertionAudience"] = provider.issuer
        return {"name": name, "oauth": oauth}

    def configuration(self, keys: str) -> dict[str, Any]:
        own = {
            f"cc-{name}": {"clientCredentials": {"identity": name, "resource": OPAQUE}}
            | {"subject": "app"}
            for name in METHODS
        }
        own["cc-scoped"] = {
            "clientCredentials": {"identity": "basic", "resource": US, "scopes": ["tasks.read"]}
        }
        exchanges = {
            name: {"tokenExchange": {"identity": "basic", **written}}
            for name, written in EXCHANGES.items()
        }
        ca = str(self.provider.ca_file)
        return {
            "workload": {"name": "front", "namespace": "judge"},
            "issuers": [
                {
                    "name": "peer",
                    "oidc": {
                        "issuer": self.provider.issuer,
                        "caFile": ca,
                        "audiences": [name for name in RESOURCES if name != OPAQUE],
                        "algorithms": ["RS256", "ES256", "EdDSA"],
                    },
                }
            ],
            "routes": [
                {"path": "/write", "require": {"caller": "user", "scopes": ["tasks.write"]}},
                {"path": "/x/**"},
            ],
            "identities": [self.identity(name, written) for name, written in METHODS.items()],
            "destinations": [
                {
                    "name": name,
                    "hosts": [f"{name}.judge"],
                    "address": f"127.0.0.1:{self.echo.port}",
                    "credential": credential,
                }
                for name, credential in {**own, **exchanges}.items()
            ],
            "internalTokens": {
                "issuer": "https://front.judge",
                "trustDomain": "judge",
                "keys": keys,
            },
        }

    def call(self, host: str, token: str = "") -> Got:
        """The application's call to *host* because of a request that brought *token*."""
        headers = {}
        if token:
            seen = self.pod.receive(token, "/x/y").seen
            headers = {"baggage": seen["baggage"]}
        return self.pod.call(f"{host}.judge", headers)

    def stop(self) -> None:
        self.pod.stop()
        self.echo.stop()
        self.provider.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def alice(world: World) -> str:
    return str(world.provider.sign_in("alice", "tasks.read tasks.write")["access_token"])


# Inbound: its access tokens (RFC 9068) by our issuer `oidc`


@pytest.mark.parametrize("resource", [name for name in RESOURCES if "alg" in RESOURCES[name]])
def test_its_tokens_are_accepted_under_each_algorithm(world: World, resource: str) -> None:
    scope = RESOURCES[resource]["scope"].split()[0]
    token = world.provider.sign_in("bob", scope, resource)["access_token"]
    seen = world.pod.receive(token, "/x/y").seen
    assert (seen["x-auth-kind"], seen["x-auth-subject"]) == ("user", "bob")
    assert (seen["x-auth-client"], seen["x-auth-scopes"]) == ("web", scope)
    assert seen["x-auth-issuer"] == world.provider.issuer


def test_scopes_and_kinds_of_its_tokens_count(world: World, alice: str) -> None:
    assert world.pod.receive(alice, "/write").status == 200
    less = world.provider.sign_in("alice", "tasks.read")["access_token"]
    assert world.pod.receive(less, "/write").denial == (403, "insufficient_scope")
    form = {"grant_type": "client_credentials", "resource": US, "scope": "tasks.write"}
    app = world.provider.post(world.provider.token_url, form, "us").json()["access_token"]
    assert world.pod.receive(app, "/write").denial == (403, "user_required")
    assert world.pod.receive(app, "/x/y").seen["x-auth-kind"] == "app"


def test_its_id_tokens_and_opaque_tokens_are_no_access_tokens(world: World) -> None:
    tokens = world.provider.sign_in("alice", "tasks.read", OPAQUE)
    assert world.pod.receive(tokens["access_token"], "/x/y").status == 401
    assert world.pod.receive(tokens["id_token"], "/x/y").status == 401


# Client credentials, by every proof


@pytest.mark.parametrize("name", METHODS)
def test_the_provider_accepts_each_proof_of_ours(world: World, name: str) -> None:
    got = world.call(f"cc-{name}")
    told = world.provider.introspect(got.bearer)
    assert (told["active"], told["client_id"]) == (True, METHODS[name]["clientId"])
    assert told["aud"] == OPAQUE
    record = world.pod.record(destination=f"cc-{name}")
    assert record["credential"] == "clientCredentials:app"


def test_a_token_of_our_own_is_for_the_resource_and_scopes_that_are_written(world: World) -> None:
    claims = world.provider.claims(world.call("cc-scoped").bearer, US)
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("us", "us", "tasks.read")


def test_our_own_tokens_are_asked_for_once(world: World) -> None:
    asked = world.provider.counts()["/token"]
    assert len({world.call("cc-basic").bearer for _ in range(20)}) == 1
    assert world.provider.counts()["/token"] <= asked + 1


# Token exchange


@pytest.mark.must(28)
@pytest.mark.parametrize("name", ["billing", "resource", "signed"])
def test_the_callers_token_is_exchanged_for_one_to_the_destination(
    world: World, alice: str, name: str
) -> None:
    claims = world.provider.claims(world.call(name, alice).bearer, "https://api.example/billing")
    assert claims["sub"] == "alice"
    assert claims.get("scope") == ("billing.read" if name == "billing" else None)
    record = world.pod.record(destination=name, decision="allow")
    assert (record["credential"], record["subject"]) == ("tokenExchange:user", "alice")


def test_an_opaque_token_may_come_of_it(world: World, alice: str) -> None:
    told = world.provider.introspect(world.call("vault", alice).bearer)
    assert (told["active"], told["sub"], told["scope"]) == (True, "alice", "vault.open")


@pytest.mark.parametrize(
    ("name", "actor", "issuer"),
    [("acting", "us", "peer"), ("signed", "us-ES256", "peer"), ("minted", "judge/front", "ours")],
)
def test_the_actor_in_the_new_token_is_us(
    world: World, alice: str, name: str, actor: str, issuer: str
) -> None:
    claims = world.provider.claims(world.call(name, alice).bearer, "https://api.example/billing")
    theirs = {"peer": world.provider.issuer, "ours": "https://front.judge"}[issuer]
    assert (claims["sub"], claims["act"]) == ("alice", {"sub": actor, "iss": theirs})


@pytest.mark.must(27)
def test_two_users_have_each_a_token_of_their_own(world: World, alice: str) -> None:
    bob = world.provider.sign_in("bob")["access_token"]
    for _ in range(3):
        for token, who in ((alice, "alice"), (bob, "bob")):
            got = world.provider.claims(
                world.call("billing", token).bearer, "https://api.example/billing"
            )
            assert got["sub"] == who


@pytest.mark.must(28)
def test_without_a_user_only_either_and_app_go_on(world: World, alice: str) -> None:
    assert world.call("billing").denial == (403, "no_subject")
    told = world.provider.introspect(world.call("either").bearer)
    assert (told["client_id"], "sub" in told and told["sub"] == "alice") == ("us", False)
    assert world.pod.record(destination="either")["credential"] == "tokenExchange:app"
    told = world.provider.introspect(world.call("either", alice).bearer)
    assert told["sub"] == "alice"
    claims = world.provider.claims(world.call("ourselves").bearer, "https://api.example/billing")
    assert (claims["sub"], claims["client_id"]) == ("us", "us")


@pytest.mark.parametrize(
    ("name", "denial", "told"),
    [
        ("nowhere", (500, "internal_error"), "does not issue tokens for 'nowhere'"),
        ("greedy", (500, "internal_error"), "does not grant the scopes 'tasks.write'"),
        ("uninvited", (500, "internal_error"), "does not exchange the caller's token for client"),
        ("stranger", (500, "internal_error"), "does not accept the exchange for 'billing'"),
    ],
)
def test_a_refusal_of_the_provider_is_explained(
    world: World, alice: str, name: str, denial: tuple[int, str], told: str
) -> None:
    assert world.call(name, alice).denial == denial
    sentence = f"destination '{name}': '{world.provider.token_url}' {told}"
    until(lambda: sentence in world.pod.logged(), sentence)


@pytest.mark.must(45)
def test_nothing_secret_was_written_anywhere(world: World, alice: str) -> None:
    token = world.call("billing", alice).bearer
    written = world.pod.logged() + (world.pod.folder / "audit.jsonl").read_text()
    for secret in (SECRET, alice, token, alice.split(".")[2], token.split(".")[2]):
        assert secret not in written
