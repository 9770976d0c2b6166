"""Tokens of an independent provider, a bad introspection endpoint, keys that change under load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from demo import people
from demo.load import Load
from demo.waiting import until
from tests.e2e.contract_outbound_tools import Answer, Echo, Pod, Server, together
from tests.e2e.peers.oidc_provider import OidcProvider

pytestmark = pytest.mark.e2e

API = "https://api.example"
ROUTES = [
    {"path": "/users", "require": {"caller": "user", "scopes": ["tasks.read"]}},
    {"path": "/apps", "require": {"caller": "app"}},
    {"path": "/**"},
]


# A provider by other hands


@pytest.fixture(scope="module")
def provided(
    oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pod]:
    ca = str(oidc_provider.ca_file)
    suite = Echo("suite")
    config = {
        "workload": {"name": "task-api", "namespace": "shop"},
        "issuers": [
            {
                "name": "jwts",
                "oidc": {
                    "issuer": oidc_provider.issuer,
                    "caFile": ca,
                    "audiences": [f"{API}/us", f"{API}/es", f"{API}/ed"],
                    "algorithms": ["RS256", "ES256", "EdDSA"],
                    "profile": "rfc9068",
                },
            },
            {
                "name": "opaque",
                "introspection": {
                    "url": oidc_provider.introspection_url,
                    "caFile": ca,
                    "clientId": "inspector",
                    "secretFile": str(oidc_provider.secret_file),
                    "issuer": oidc_provider.issuer,
                    "audiences": [f"{API}/opaque"],
                    "cache": "2s",
                },
            },
        ],
        "routes": ROUTES,
        "destinations": [
            {
                "name": "suite",
                "hosts": ["suite.shop"],
                "address": f"127.0.0.1:{suite.port}",
                "credential": "forward",
            }
        ],
    }
    pod = Pod(tmp_path_factory.mktemp("provided"), config)
    yield pod
    pod.stop()
    suite.stop()


def own(provider: OidcProvider, resource: str) -> str:
    """A token that client 'us' gets for itself."""
    form = {"grant_type": "client_credentials", "resource": f"{API}/{resource}"}
    return str(provider.post(provider.token_url, form, "us").json()["access_token"])


@pytest.mark.parametrize("resource", ["us", "es", "ed", "opaque"])
def test_a_person_and_a_program_are_known_whatever_their_tokens_are_made_of(
    provided: Pod, oidc_provider: OidcProvider, resource: str
) -> None:
    tokens = oidc_provider.sign_in("alice", resource=f"{API}/{resource}")
    seen = provided.receive(tokens["access_token"], "/users").seen
    assert (seen["x-auth-kind"], seen["x-auth-subject"]) == ("user", "alice")
    assert (seen["x-auth-client"], seen["x-auth-scopes"]) == ("web", "tasks.read")
    assert seen["x-auth-issuer"] == oidc_provider.issuer
    token = own(oidc_provider, resource)
    seen = provided.receive(token, "/apps").seen
    assert (seen["x-auth-kind"], seen["x-auth-subject"]) == ("app", "us")
    assert provided.receive(token, "/users").denial == (403, "user_required")


@pytest.mark.must(11)
def test_an_id_token_and_what_is_meant_for_others_do_not_pass(
    provided: Pod, oidc_provider: OidcProvider
) -> None:
    tokens = oidc_provider.sign_in("alice", resource=f"{API}/opaque")
    assert provided.receive(tokens["id_token"]).denial == (401, "wrong_audience")
    assert provided.receive(own(oidc_provider, "vault")).denial == (401, "wrong_audience")
    assert provided.receive(own(oidc_provider, "billing")).denial == (401, "wrong_audience")
    assert provided.receive("made-up").denial == (401, "invalid_token")


def test_an_opaque_token_that_its_server_revokes_is_refused_when_the_cache_ends(
    provided: Pod, oidc_provider: OidcProvider
) -> None:
    token = oidc_provider.sign_in("bob", resource=f"{API}/opaque")["access_token"]
    assert provided.receive(token, "/users").status == 200
    answer = oidc_provider.post(oidc_provider.revocation_url, {"token": token, "client_id": "web"})
    assert answer.status_code == 200
    until(lambda: provided.receive(token, "/users").status == 401, "the end of the cache", 20)
    record = provided.record(decision="deny", reason="invalid_token")
    assert token not in str(record)


def test_an_opaque_token_that_the_application_relays_names_its_caller(
    provided: Pod, oidc_provider: OidcProvider
) -> None:
    token = oidc_provider.sign_in("carol", resource=f"{API}/opaque")["access_token"]
    seen = provided.receive(token, "/users").seen
    for carrier in ({"authorization": f"Bearer {token}"}, {"baggage": seen["baggage"]}):
        got = provided.call("suite.shop", carrier)
        assert (got.by, got.bearer) == ("suite", token)
        record = provided.record(destination="suite", txn=got.seen["x-correlation-id"])
        assert (record["subject"], record["kind"]) == ("carol", "user")
    stranger = provided.call("suite.shop", {"authorization": "Bearer somebody-elses"})
    assert stranger.denial == (403, "no_subject")


# An endpoint that fails


class Endpoint:
    """An introspection endpoint that knows every token, and does as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.held = threading.Event()
        self.held.set()
        self.asked = 0
        self.server = Server(self._answer)

    def _answer(self, method: str, path: str, pairs: list[tuple[str, str]], body: bytes) -> Answer:
        self.asked += 1
        self.held.wait(60)
        said = {"active": True, "sub": "dora", "aud": "a", "client_id": "spa", "exp": 4_000_000_000}
        return self.status, self.headers, said


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pod, Endpoint, Path]]:
    folder = tmp_path_factory.mktemp("faulty")
    endpoint, secret = Endpoint(), folder / "secret"
    secret.write_text("canary-introspection-secret")
    config: dict[str, Any] = {
        "workload": {"name": "task-api"},
        "issuers": [
            {
                "name": "opaque",
                "introspection": {
                    "url": f"http://127.0.0.1:{endpoint.server.port}/introspect",
                    "clientId": "task-api",
                    "secretFile": str(secret),
                    "audiences": ["a"],
                },
            }
        ],
        "routes": ROUTES,
    }
    pod = Pod(folder / "pod", config)
    yield pod, endpoint, secret
    endpoint.held.set()
    pod.stop()
    endpoint.server.stop()


@pytest.mark.must(38, 39)
def test_an_endpoint_that_hangs_costs_new_tokens_a_503_and_known_ones_nothing(
    faulty: tuple[Pod, Endpoint, Path],
) -> None:
    pod, endpoint, _ = faulty
    assert pod.receive("known").status == 200
    endpoint.held.clear()
    done = threading.Event()
    late: list[Any] = []

    def crowd() -> None:
        late.extend(together([lambda n=n: pod.receive(f"new-{n}") for n in range(40)]))
        done.set()

    waiting = threading.Thread(target=crowd)
    waiting.start()
    served = 0
    while not done.is_set():
        assert pod.receive("known").status == 200
        served += 1
    waiting.join()
    assert {got.denial for got in late} == {(503, "issuer_unavailable")}
    assert all("retry-after" in got.headers for got in late)
    assert served > 40  # one after the other, while forty others waited
    endpoint.held.set()
    until(lambda: pod.receive("after").status == 200, "recovery", 60)


@pytest.mark.must(38)
@pytest.mark.parametrize(("status", "word"), [(401, "renew the secret"), (429, "limits")])
def test_a_refusal_of_ours_is_never_the_callers_fault_and_the_log_says_what_to_do(
    faulty: tuple[Pod, Endpoint, Path], status: int, word: str
) -> None:
    pod, endpoint, secret = faulty
    assert pod.receive("known").status == 200
    endpoint.status, endpoint.headers = status, {"retry-after": "3"}
    try:
        got = pod.receive(f"refused-{status}")
        assert got.denial == (503, "issuer_unavailable")
        assert 1 <= int(got.headers["retry-after"]) <= 3
        asked = endpoint.asked
        for number in range(5):
            assert pod.receive(f"refused-{status}-{number}").status == 503
        assert endpoint.asked == asked
        assert pod.receive("known").status == 200
        (row,) = pod.admin_json("/status")["issuers"]
        assert str(status) in row["error"]
        until(lambda: word in pod.logged(), "a word in the log", 10)
        assert "canary" not in pod.logged()
    finally:
        endpoint.status, endpoint.headers = 200, {}
        secret.write_text("canary-rotated-secret")
    until(lambda: pod.receive(f"refused-{status}").status == 200, "recovery", 30)


# Keys that change


@pytest.mark.must(33, 34)
def test_an_issuer_that_changes_its_key_under_load_costs_nobody_anything(small: Any) -> None:
    stage = small("profile")
    pod, ed = stage.pods["profile"], stage.people["ed"]
    stage.start_idp()
    pod.start()
    pod.come_up()
    bearers = [stage.idp.person(ed, people.SUITE_SCOPE)]
    turns = cycle(range(1_000_000))

    def one(session: Any) -> Any:
        bearer = bearers[next(turns) % len(bearers)]
        return session.get(f"{pod.url}/me", headers=bearer.headers, timeout=30)

    with Load(one) as load:
        load.more(50)
        # It signs with the new key at once: no agent can have seen it before its first token.
        kid = stage.idp.control("POST", "keys/rotate")["kid"]
        bearers.append(stage.idp.person(ed, people.SUITE_SCOPE))
        load.more(200)
    assert set(load.statuses) == {200}, (load.statuses, load.examples)
    kids = {record["kid"] for record in pod.decisions() if record["decision"] == "allow"} - {None}
    assert kid in kids
    assert len(kids) == 2
    rows = [row for row in pod.admin("/status").json()["issuers"] if kid in row["keys"]]
    assert rows
    assert all(row["source"].startswith(stage.authority) for row in rows)
    assert all(row["ageSeconds"] is not None for row in rows)
