"""Gateway: Entra's tokens end there, internal ones narrow behind it (make demo, journey 2)."""

from __future__ import annotations

import pytest

from demo.journeys import gateway
from demo.journeys.gateway import Gateway, actors
from demo.stage import Stage

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def found(stage: Stage) -> Gateway:
    return gateway.run(stage)


def test_every_check_of_the_journey_holds(found: Gateway) -> None:
    assert len(found.checks) >= 10
    assert [check for check in found.checks if not check.ok] == []


@pytest.mark.must(30)
def test_scopes_narrow_and_subject_tenant_and_transaction_stay(found: Gateway) -> None:
    first, second = found.orders, found.inventory
    assert set(second["scope"].split()) < set(first["scope"].split())
    for name in ("sub", "tid", "txn"):
        assert first[name] == second[name]
    assert actors(second) == [second["client_id"], first["client_id"]]
    assert second["exp"] - second["iat"] <= 300


@pytest.mark.must(30)
def test_a_call_back_into_the_start_of_the_chain_is_a_loop(found: Gateway) -> None:
    assert (found.loop.status, found.loop.reason) == (403, "call_loop")


@pytest.mark.must(11)
def test_an_external_token_is_not_accepted_where_an_internal_one_is_due(found: Gateway) -> None:
    assert (found.refused.status, found.refused.reason) == (401, "untrusted_issuer")


def test_the_chain_is_in_the_audit_log_of_the_last_service(found: Gateway) -> None:
    last = next(r for r in found.records if (r["at"], r["direction"]) == ("inventory", "inbound"))
    assert list(last["actors"]) == ["shop/orders", "shop/gateway"]
    assert last["kind"] == "user"
