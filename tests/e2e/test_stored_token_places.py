"""A token in a real Redis and in a Secret of a real API server: one writer, and clear words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.config.stored_tokens import KubernetesSecretStore, RedisStore
from agent.credentials.stored import redis_store, secret_store
from agent.credentials.stored.store import NotUsable, Store
from bench.rotating import Rotating
from tests.e2e.contract_revocation_tools import Redis, needs_redis
from tests.e2e.peers.apiserver import ApiServer
from tests.e2e.peers.oidc_provider import OidcProvider
from tests.e2e.stored_bench import Bench

pytestmark = [pytest.mark.e2e, pytest.mark.must(31)]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    made = Redis(tmp_path_factory.mktemp("redis") / "data")
    yield made
    made.kill()


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    made = ApiServer(tmp_path_factory.mktemp("kube") / "server")
    yield made
    made.stop()


def in_redis(redis: Redis, **more: Any) -> Store:
    place = {"url": f"redis://127.0.0.1:{redis.port}", "keyFile": "/none", **more}
    return redis_store.RedisStore(RedisStore.model_validate(place), "crm")


def in_secret(server: ApiServer, token: Path, **more: Any) -> Store:
    place = {"name": "tokens", "namespace": "shop", "keyFile": "/none", "server": server.url}
    place |= {"tokenFile": str(token), "caFile": str(server.ca_file), **more}
    return secret_store.SecretStore(KubernetesSecretStore.model_validate(place), "crm", {})


def swaps(stores: list[Store]) -> None:
    """What every place has to do."""
    store, other = stores
    assert store.read() is None
    assert not store.swap(b"not there", b"x")
    assert store.swap(None, b"\x00one\xff")
    assert not other.swap(None, b"two")
    assert other.read() == b"\x00one\xff"
    assert other.swap(b"\x00one\xff", b"two")
    assert store.read() == b"two"
    with ThreadPoolExecutor(2) as pool:  # both at once, and one of them wins
        won = list(
            pool.map(lambda s: s.swap(b"two", s.name.encode() + bytes([id(s) % 256])), stores)
        )
    assert sorted(won) == [False, True]


@needs_redis
def test_redis_compares_and_sets(redis: Redis) -> None:
    swaps([in_redis(redis, key="k"), in_redis(redis, key="k")])


@needs_redis
def test_agents_share_a_token_in_redis(
    redis: Redis, tmp_path: Path, oidc_provider: OidcProvider
) -> None:
    url = f"redis://127.0.0.1:{redis.port}"
    bench = Bench(tmp_path, oidc_provider, {"redis": {"url": url}})
    ends = [process.end() for process in [Rotating(bench.file, times=5) for _ in range(3)]]
    assert [code for code, _ in ends] == [0, 0, 0], ends
    assert len(bench.relay.sent) == len(set(bench.relay.sent))
    assert redis.ask("GETRANGE", "attache:token:crm", "0", "13") == "attache-sealed"
    bench.relay.stop()


@needs_redis
def test_a_redis_that_went_away_costs_no_token(tmp_path: Path, oidc_provider: OidcProvider) -> None:
    redis = Redis(tmp_path / "redis")
    bench = Bench(tmp_path, oidc_provider, {"redis": {"url": f"redis://127.0.0.1:{redis.port}"}})
    redis.kill()
    code, said = Rotating(bench.file).end()
    assert (code, "cannot be reached" in said[-1], bench.relay.sent) == (1, True, [])
    bench.relay.stop()


def test_kubernetes_compares_and_sets_and_leaves_other_entries_alone(
    kubernetes: ApiServer,
) -> None:
    account = kubernetes.account("shop", "agent", "get", "patch", "create")
    swaps([in_secret(kubernetes, account), in_secret(kubernetes, account)])
    path = "/api/v1/namespaces/shop/secrets/tokens"
    patch = {"data": {"erp": base64.b64encode(b"theirs").decode()}}
    found = kubernetes.ask("GET", path).json()
    found["data"] |= patch["data"]
    assert kubernetes.ask("PUT", path, found).status_code == 200
    store = in_secret(kubernetes, account)
    assert store.swap(store.read(), b"ours again")
    data = kubernetes.ask("GET", path).json()["data"]
    assert {name: base64.b64decode(value) for name, value in data.items()} == {
        "crm": b"ours again",
        "erp": b"theirs",
    }


def test_agents_share_a_token_in_a_secret(
    kubernetes: ApiServer, tmp_path: Path, oidc_provider: OidcProvider
) -> None:
    account = kubernetes.account("crowd", "agent", "get", "patch", "create")
    place = {"name": "tokens", "namespace": "crowd", "server": kubernetes.url}
    place |= {"tokenFile": str(account), "caFile": str(kubernetes.ca_file)}
    bench = Bench(tmp_path, oidc_provider, {"kubernetesSecret": place})
    ends = [process.end() for process in [Rotating(bench.file, times=3) for _ in range(2)]]
    assert [code for code, _ in ends] == [0, 0], ends
    assert len(bench.relay.sent) == len(set(bench.relay.sent))
    bench.relay.stop()


def test_what_the_api_server_forbids_is_said_with_its_remedy(kubernetes: ApiServer) -> None:
    reader = in_secret(
        kubernetes, kubernetes.account("strict", "reader", "get"), namespace="strict"
    )
    assert reader.read() is None
    with pytest.raises(NotUsable, match="allow the service account get, patch and create"):
        reader.swap(None, b"x")
    stranger = kubernetes.folder / "stranger"
    stranger.write_text("no token of anybody")
    with pytest.raises(NotUsable, match="does not accept our token"):
        in_secret(kubernetes, stranger).read()
    with pytest.raises(NotUsable, match="correct caFile"):
        in_secret(kubernetes, stranger, caFile="/etc/ssl/certs/ca-certificates.crt").read()
