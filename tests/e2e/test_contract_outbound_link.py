"""For whom is a call made, whatever the application copied (DESIGN.md §5)?"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.contract_outbound_sts import (
    Signing,
)
from tests.e2e.contract_outbound_tools import peek, until
from tests.e2e.contract_outbound_world import World, pick

pytestmark = pytest.mark.e2e

HANDLED = ("baggage", "tracestate", "x-attache-context")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("judge")
    Signing(folder / "keys", "judge/front")
    made = World(folder)
    yield made
    made.stop()


# The link

A, B = "u-a", "u-b"
CARRIERS = [
    (("authorization",), A),
    (("traceparent",), A),
    (("tracestate",), A),
    (("baggage",), A),
    (("x-request-id",), A),
    (("x-attache-context",), A),
    (("authorization", "traceparent", "tracestate", "baggage", "x-request-id", *HANDLED), A),
    (("x-correlation-id", "x-auth-subject", "x-auth-tenant"), "no_subject"),
    ((), "no_subject"),
]


@pytest.mark.parametrize(("names", "wanted"), CARRIERS, ids=lambda v: "+".join(v) or "none")
def test_any_carrier_that_a_library_copies_leads_to_the_caller(
    world: World, names: tuple[str, ...], wanted: str
) -> None:
    seen = world.front.receive(world.sts.issue(A)).seen
    got = world.front.call("minted.alias", pick(seen, *names))
    if wanted == "no_subject":
        assert got.denial == (403, wanted)
        return
    assert peek(got.bearer)["oid"] == wanted
    handle = seen["x-attache-context"]
    leaked = [k for k, v in got.seen.items() if handle in v or k.startswith("x-auth-")]
    assert leaked == []
    assert seen["x-correlation-id"] == got.seen["x-correlation-id"]


def test_other_members_of_baggage_and_tracestate_travel_on(world: World) -> None:
    trace = uuid.uuid4().hex
    seen = world.front.receive(
        world.sts.issue(A),
        baggage="k=v;p=1;q,other=%20x",
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
        tracestate="vendor=1,t@v=2",
    ).seen
    handle = seen["x-attache-context"]
    mixed = {
        "baggage": f"first=1 , attache={handle};meta=1, k=v;p=1;q",
        "tracestate": f"vendor=1,attache={handle},t@v=2",
        "traceparent": f"00-{trace}-1111111111111111-01",
    }
    got = world.front.call("minted.alias", mixed).seen
    assert peek(got["authorization"])["oid"] == A
    assert [m.strip() for m in got["baggage"].split(",")] == ["first=1", "k=v;p=1;q"]
    assert got["tracestate"].replace(" ", "") == "vendor=1,t@v=2"
    assert got["traceparent"] == mixed["traceparent"]


@pytest.mark.must(29)
def test_carriers_that_disagree_or_are_not_ours_give_nobody(world: World) -> None:
    a, b = (world.front.receive(world.sts.issue(user)).seen for user in (A, B))
    for one in ("authorization", "baggage", "tracestate", "x-attache-context", "x-request-id",
                "traceparent"):  # fmt: skip
        for other in ("authorization", "baggage", "tracestate", "x-attache-context",
                      "x-request-id", "traceparent"):  # fmt: skip
            if one != other and {one, other} != {"authorization", "traceparent"}:
                mixed = pick(a, one) | pick(b, other)
                if one == "traceparent" or other == "traceparent":
                    mixed.pop("tracestate", None) if "tracestate" not in (one, other) else None
                got = world.front.call("minted.alias", mixed)
                assert got.denial == (403, "ambiguous_subject"), (one, other)
    forged = uuid.uuid4().hex
    for carried in (
        {"baggage": f"attache={forged}"},
        {"tracestate": f"attache={forged}", "traceparent": a["traceparent"]},
        {"x-attache-context": forged},
        {"x-attache-context": forged, "x-request-id": a["x-request-id"]},
        {"authorization": f"Bearer {world.sts.issue(A)}"},
    ):
        assert world.front.call("minted.alias", carried).denial == (403, "no_subject"), carried


@pytest.mark.must(29)
def test_two_users_under_one_trace_need_more_than_the_trace(world: World) -> None:
    parent = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"
    a = world.front.receive(world.sts.issue(A), traceparent=parent).seen
    assert peek(world.front.call("minted.alias", pick(a, "traceparent")).bearer)["oid"] == A
    b = world.front.receive(world.sts.issue(B), traceparent=parent).seen
    got = world.front.call("minted.alias", pick(b, "traceparent"))
    assert got.denial == (403, "ambiguous_subject")
    for seen, user in ((a, A), (b, B)):
        got = world.front.call("minted.alias", pick(seen, "traceparent", "baggage"))
        assert peek(got.bearer)["oid"] == user


def test_an_anonymous_request_gives_its_calls_no_user(world: World) -> None:
    seen = world.front.receive("", path="/open").seen
    got = world.front.call("minted.alias", pick(seen, *HANDLED))
    assert got.denial == (403, "no_subject")
    assert (
        peek(world.front.call("minted-any.alias", pick(seen, "baggage")).bearer)["idtyp"] == "app"
    )


@pytest.mark.must(45)
def test_records_of_both_directions_are_joined_by_one_correlation_id(world: World) -> None:
    token, txn = world.sts.issue(A), f"join-{uuid.uuid4()}"
    seen = world.front.receive(token, x_correlation_id=txn).seen
    world.front.call("behalf.alias", pick(seen, "traceparent"))
    world.front.call("log.alias", pick(seen, "traceparent"))
    until(lambda: len(world.front.audit(txn=txn)) == 3, "three records")
    into, behalf, log = world.front.audit(txn=txn)
    assert {r["decision"] for r in (into, behalf, log)} == {"allow"}
    assert [r["direction"] for r in (into, behalf, log)] == ["inbound", "outbound", "outbound"]
    assert (behalf["destination"], behalf["credential"]) == ("behalf", "obo:user")
    assert {into["subject"], behalf["subject"], log["subject"]} == {A}
    assert log["credential"] == "clientCredentials:app"
    out = (world.front.folder / "audit.jsonl").read_text() + world.front.logged()
    for secret in (token, token.rsplit(".")[-1], world.sts.secret, "s&cret"):
        assert secret not in out
