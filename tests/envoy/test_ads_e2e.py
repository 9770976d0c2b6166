"""With a real Envoy: changes arrive without a restart, and nobody's request is lost."""

from __future__ import annotations

import http.client
import socket
import threading
from types import MappingProxyType
from typing import Any

import pytest
from envoy.config.route.v3 import route_components_pb2, route_pb2

from agent.envoy.snapshot import ROUTE, Resources, Snapshot

pytestmark = pytest.mark.e2e


def stat(pod: Any, name: str) -> int:
    for line in pod.envoy.read(f"/stats?filter=^{name}$").decode().splitlines():
        return int(line.rpartition(" ")[2])
    raise AssertionError(f"Envoy has no stat {name}")


def has_cluster(pod: Any, name: str) -> bool:
    return f"destination_{name}::" in pod.envoy.read("/clusters").decode()


def test_a_destination_comes_moves_and_goes_while_others_are_served(pod, load, server):
    pod.start()
    billing, moved = pod.destination("billing", pod.billing), server("moved")
    audit = pod.destination("audit", server("audit"))
    with load(pod.outbound, "billing.shop") as traffic:
        assert pod.call(host="audit.shop").status == 403
        pod.change(destinations=[billing, audit])
        assert pod.call(host="audit.shop").echo["server"] == "audit"
        traffic.more()
        pod.change(destinations=[pod.destination("billing", moved), audit])
        assert pod.call(host="billing.shop").echo["server"] == "moved"
        traffic.more()
        pod.change(destinations=[billing])
        assert pod.call(host="audit.shop").status == 403
        traffic.more()
    assert traffic.failures == []
    assert stat(pod, "listener_manager.listener_create_success") == 2  # no listener was replaced


def test_a_renamed_destination_loses_no_request_and_its_old_cluster_goes(pod, load, wait):
    """Same host, other cluster: the old one must outlive each request that chose its route."""
    pod.agent.restart(pod.snapshot(pod.config()), linger=1.0)
    pod.start()
    with load(pod.outbound, "billing.shop") as traffic:
        for old, new in (("billing", "invoices"), ("invoices", "billing")):
            changed = pod.destination(new, pod.billing) | {"hosts": ["billing.shop"]}
            pod.change(destinations=[changed])
            wait(lambda name=old: not has_cluster(pod, name), "the old cluster is gone")
            traffic.more()
    assert traffic.failures == []


def slow_call(port: int, host: str, answers: list[int]) -> threading.Thread:
    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/slow", headers={"Host": host})
        answers.append(connection.getresponse().status)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_call_in_flight_survives_that_its_destination_moves_and_then_goes(pod, server):
    pod.start()
    answers: list[int] = []
    call = slow_call(pod.outbound, "billing.shop", answers)
    assert pod.billing.arrived.wait(60)
    pod.change(destinations=[pod.destination("billing", server("moved"))])
    pod.change(destinations=[])
    pod.billing.release.set()
    call.join()
    assert answers == [200]


def test_a_listener_that_moves_lets_the_calls_in_flight_end(pod, wait):
    pod.start()
    answers: list[int] = []
    call = slow_call(pod.inbound, "a", answers)
    assert pod.application.arrived.wait(60)
    before, pod.inbound = pod.inbound, 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        pod.inbound = probe.getsockname()[1]
    pod.change()
    assert pod.call().echo["server"] == "application"
    pod.application.release.set()
    call.join()
    assert answers == [200]

    def gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", before)) != 0

    wait(gone, "the old port is closed")


def test_a_refused_change_is_shown_and_the_former_one_keeps_serving(pod, load):
    pod.start()
    good = pod.snapshot(pod.config())
    twice = [route_components_pb2.VirtualHost(name=name, domains=["billing.shop"]) for name in "ab"]
    broken = Resources.pack(
        [
            route_pb2.RouteConfiguration(name="inbound", virtual_hosts=twice),
            route_pb2.RouteConfiguration(name="outbound", virtual_hosts=twice),
        ]
    )
    with load(pod.outbound, "billing.shop") as traffic:
        pod.agent.ads.publish(Snapshot(MappingProxyType({**good.types, ROUTE: broken})))
        refusal = wait_for_refusal(pod)
        traffic.more()
        assert not pod.agent.ads.status().in_step
        pod.change(destinations=[pod.destination("billing", pod.billing, timeout="3s")])
        traffic.more()
    assert traffic.failures == []
    assert "billing.shop" in refusal.reason
    assert refusal.version == broken.version


def wait_for_refusal(pod: Any) -> Any:
    while True:
        for one in pod.agent.ads.status().types:
            if one.last_refusal:
                assert one.refusals == 1
                return one.last_refusal
        pod.envoy.read("/ready")


def test_a_listener_on_a_taken_port_is_refused_and_the_other_listener_is_not(pod):
    pod.start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = pod.config(listeners={"inbound": {"port": taken.getsockname()[1]}})
        pod.agent.ads.publish(pod.snapshot(config))
        refusal = wait_for_refusal(pod)
    assert "inbound" in refusal.reason
    assert pod.call().status == 200
    assert pod.call(host="billing.shop").status == 200
    pod.change()


@pytest.mark.must(37)
def test_the_agent_restarts_under_load_and_nothing_is_lost_or_sent_again(pod, load):
    pod.start()
    same = pod.snapshot(pod.config())
    updates = "cluster_manager.cds.update_attempt"
    with load(pod.outbound, "billing.shop") as traffic:
        for _ in range(3):
            pod.agent.restart(same)
            traffic.more()
            traffic.wait(lambda: pod.agent.ads.status().in_step, "Envoy is back")
            types = {one.kind: one for one in pod.agent.ads.status().types}
            assert all(one.accepted == one.sent for one in types.values())
        before = stat(pod, updates)
        moved = pod.config(destinations=[pod.destination("invoices", pod.billing)])
        assert stat(pod, updates) == before
    assert traffic.failures == []
    pod.agent.restart(pod.snapshot(moved))
    traffic.wait(lambda: pod.agent.ads.status().in_step, "Envoy has what changed meanwhile")
    assert pod.call(host="invoices.shop").status == 200
    assert pod.call(host="billing.shop").status == 403
