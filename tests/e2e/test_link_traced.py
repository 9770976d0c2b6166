"""Does the link survive Envoy's own tracer, which writes over the headers that we answer?"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from bench.crowd.tracing import traced
from tests.e2e.contract_outbound_sts import Signing
from tests.e2e.contract_outbound_tools import Pod, peek
from tests.e2e.contract_outbound_world import World, pick

pytestmark = [pytest.mark.e2e, pytest.mark.must(29)]

FORGED = "0" * 32


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("traced")
    Signing(folder / "keys", "judge/front")
    made = World(folder)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pod(world: World) -> Pod:
    return world.pod(world.configuration(), static=True, edit=traced)


def test_the_tracer_writes_another_parent_and_the_handle_stays(world: World, pod: Pod) -> None:
    trace = uuid.uuid4().hex
    parent = f"00-{trace}-00f067aa0ba902b7-01"
    seen = pod.receive(world.sts.issue("u-a"), traceparent=parent).seen
    assert seen["traceparent"] != parent  # Envoy's own span stands between
    assert seen["traceparent"].split("-")[1] == trace
    assert seen["baggage"] == f"attache={seen['x-attache-context']}"
    for names in (("baggage",), ("baggage", "traceparent", "tracestate"), ("x-request-id",)):
        assert peek(pod.call("minted.alias", pick(seen, *names)).bearer)["oid"] == "u-a"


def test_a_trace_that_envoy_began_is_no_link_and_harms_none(world: World, pod: Pod) -> None:
    seen = pod.receive(world.sts.issue("u-a")).seen
    got = pod.call("minted.alias", pick(seen, "traceparent"))
    assert got.denial == (403, "no_subject")
    assert peek(pod.call("minted.alias", pick(seen, "traceparent", "baggage")).bearer)["oid"] == (
        "u-a"
    )


def test_a_strangers_handle_does_not_come_in_by_the_tracer(world: World, pod: Pod) -> None:
    seen = pod.receive(
        world.sts.issue("u-a"),
        traceparent=f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01",
        tracestate=f"attache={FORGED},vendor=1",
        x_attache_tracestate=f"attache={FORGED}",
    ).seen
    assert not [name for name, value in seen.items() if FORGED in value]
    assert "x-attache-tracestate" not in seen
    got = pod.call("minted.alias", pick(seen, "baggage", "traceparent", "tracestate"))
    assert peek(got.bearer)["oid"] == "u-a"


def test_no_handle_goes_out_by_the_tracer(world: World, pod: Pod) -> None:
    seen = pod.receive(world.sts.issue("u-a")).seen
    handle = seen["x-attache-context"]
    given = {
        "traceparent": f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01",
        "tracestate": f"attache={handle},vendor=1",
        "baggage": f"attache={handle}",
    }
    got = pod.call("minted.alias", given).seen
    assert peek(got["authorization"])["oid"] == "u-a"
    assert not [name for name, value in got.items() if handle in value]


def test_without_a_tracer_other_states_travel_on(world: World) -> None:
    parent = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"
    seen = world.front.receive(
        world.sts.issue("u-a"), traceparent=parent, tracestate=f"attache={FORGED},vendor=1,w=2"
    ).seen
    assert seen["tracestate"] == f"attache={seen['x-attache-context']},vendor=1,w=2"
    got = world.front.call("minted.alias", pick(seen, "tracestate", "traceparent")).seen
    assert got["tracestate"] == "vendor=1,w=2"
    other = world.front.call("nothing.alias", {"traceparent": parent, "tracestate": "w=2"}).seen
    assert other["tracestate"] == "w=2"
    assert "x-attache-tracestate" not in {*seen, *got, *other}
