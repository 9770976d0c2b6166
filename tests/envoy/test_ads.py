"""ADS over a real gRPC connection: who is connected, who is told, and that all ends promptly."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from agent.envoy.ads import STREAMS, Ads
from agent.envoy.server import serve_ads
from agent.envoy.snapshot import CLUSTER, ROUTE, Snapshot
from agent.envoy.tls import BUNDLES


@pytest.fixture
def refusals() -> list[str]:
    return []


@pytest.fixture(params=["lean", "grpcio"])
def ads(request, place, refusals) -> Iterator[Ads]:
    ads = Ads(lambda: 1_000.0, on_refusal=refusals.append)
    server = serve_ads(request.param, place / "ads.sock", ads)
    yield ads
    ads.close()
    server.stop(5)


@pytest.fixture
def stub(ads, place) -> Iterator[Any]:
    with grpc.insecure_channel(f"unix:{place}/ads.sock") as channel:
        yield ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)


class FakeEnvoy:
    """One stream, with requests written by hand."""

    def __init__(self, stub: Any) -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self.responses = stub.StreamAggregatedResources(iter(self._requests.get, None))

    def ask(self, type_url: str, nonce: str = "", error: str = "", *names: str) -> None:
        request = discovery_pb2.DiscoveryRequest(
            type_url=type_url, response_nonce=nonce, resource_names=names
        )
        if error:
            request.error_detail.message = error
        self._requests.put(request)

    def end(self) -> None:
        self._requests.put(None)


def snapshot(configure: Any, **changes: Any) -> Snapshot:
    return Snapshot.of(configure(**changes), BUNDLES[0])


def test_a_publication_wakes_every_stream(ads, stub, configure):
    first, second = FakeEnvoy(stub), FakeEnvoy(stub)
    for envoy in (first, second):
        envoy.ask(CLUSTER)
    ads.publish(snapshot(configure))
    versions = [next(envoy.responses).version_info for envoy in (first, second)]
    ads.publish(snapshot(configure, destinations=[]))
    later = [next(envoy.responses).version_info for envoy in (first, second)]
    assert versions[0] == versions[1] != later[0] == later[1]


def test_a_refusal_is_logged_counted_and_kept(ads, stub, configure, caplog, wait, refusals):
    ads.publish(snapshot(configure))
    envoy = FakeEnvoy(stub)
    envoy.ask(CLUSTER)
    nonce = next(envoy.responses).nonce
    with caplog.at_level(logging.ERROR, "attache.ads"):
        envoy.ask(CLUSTER, nonce, "cluster billing: no")
        types = lambda: {one.kind: one for one in ads.status().types}  # noqa: E731
        wait(lambda: types()["clusters"].refusals, "the refusal is counted")
    clusters = types()["clusters"]
    assert clusters.last_refusal.reason == "cluster billing: no"
    assert clusters.last_refusal.at == 1_000.0
    assert (clusters.accepted, clusters.refusals) == ("", 1)
    assert clusters.sent == clusters.last_refusal.version
    assert "Envoy refused our clusters" in caplog.text
    assert refusals == ["clusters"]
    assert types()["routes"].refusals == 0
    assert not ads.status().in_step


def test_an_unknown_name_is_logged_as_a_sentence(ads, stub, configure, caplog, wait):
    ads.publish(snapshot(configure))
    with caplog.at_level(logging.WARNING, "attache.ads"):
        envoy = FakeEnvoy(stub)
        envoy.ask(ROUTE, "", "", "stranger")
        wait(lambda: "stranger" in caplog.text, "it is logged")
    assert "asks for routes that are not configured: stranger" in caplog.text


def test_the_oldest_stream_beyond_the_bound_is_ended(ads, stub, configure):
    ads.publish(snapshot(configure))
    envoys = []
    for _ in range(STREAMS + 1):
        envoys.append(FakeEnvoy(stub))
        envoys[-1].ask(CLUSTER)
        next(envoys[-1].responses)
    assert list(envoys[0].responses) == []
    assert envoys[0].responses.code() is grpc.StatusCode.OK
    assert ads.status().streams == STREAMS
    ads.publish(snapshot(configure, destinations=[]))
    assert all(next(envoy.responses).type_url == CLUSTER for envoy in envoys[1:])


def test_a_stream_that_envoy_ends_or_breaks_is_forgotten(ads, stub, configure, wait):
    ads.publish(snapshot(configure))
    ended, broken = FakeEnvoy(stub), FakeEnvoy(stub)
    for envoy in (ended, broken):
        envoy.ask(CLUSTER)
        next(envoy.responses)
    ended.end()
    broken.responses.cancel()
    wait(lambda: ads.status().streams == 0, "both are forgotten")


def test_close_ends_all_streams_and_takes_no_more(ads, stub, configure):
    ads.publish(snapshot(configure))
    envoy = FakeEnvoy(stub)
    envoy.ask(CLUSTER)
    next(envoy.responses)
    ads.close()
    assert list(envoy.responses) == []
    late = FakeEnvoy(stub)
    late.ask(CLUSTER)
    with pytest.raises(grpc.RpcError) as refused:
        next(late.responses)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_delta_is_unimplemented(stub):
    call = stub.DeltaAggregatedResources(iter([discovery_pb2.DeltaDiscoveryRequest()]))
    with pytest.raises(grpc.RpcError) as refused:
        next(call)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
