"""What becomes of handles that are forged, stolen, another pod's, or chosen by a client?"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.contract_outbound_sts import Signing
from tests.e2e.contract_outbound_tools import Got, Pod, peek, until
from tests.e2e.contract_outbound_world import World, pick

pytestmark = [pytest.mark.e2e, pytest.mark.must(29)]

A, B = "u-a", "u-b"
# Each alone leads from the application's call to the caller.
WAYS = ("baggage", "tracestate", "x-attache-context", "x-request-id", "traceparent")
NO_SUBJECT = (403, "no_subject")


@dataclass(frozen=True)
class Two:
    """A world with a second pod beside the first, which mints for the application too."""

    world: World
    other: Pod

    @property
    def front(self) -> Pod:
        return self.world.front

    def came(self, user: str, **headers: str) -> dict[str, str]:
        """What the application sees of a request of *user*."""
        return self.front.receive(self.world.sts.issue(user), **headers).seen


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("misuse")
    Signing(folder / "keys", "judge/front")
    world = World(folder)
    yield Two(world, world.pod(world.configuration(inbound={"forward": "internal"})))
    world.stop()


def who(got: Got) -> str:
    return peek(got.bearer)["oid"]


@pytest.mark.parametrize("way", WAYS)
def test_what_another_pod_gave_out_means_nothing_here(two: Two, way: str) -> None:
    theirs = two.other.receive(two.world.sts.issue(A)).seen
    assert who(two.other.call("minted.alias", pick(theirs, way))) == A
    assert two.front.call("minted.alias", pick(theirs, way)).denial == NO_SUBJECT


@pytest.mark.parametrize("way", ["baggage", "tracestate", "x-attache-context"])
def test_another_pods_handle_beside_our_own_is_a_doubt(two: Two, way: str) -> None:
    theirs = two.other.receive(two.world.sts.issue(A)).seen
    ours = two.came(A)
    same = {"baggage", "tracestate", "x-attache-context"} - {way}
    got = two.front.call("minted.alias", pick(ours, *same) | pick(theirs, way))
    assert got.denial == (403, "ambiguous_subject")


def test_a_stolen_handle_ends_with_its_users_token(two: Two) -> None:
    token = two.world.sts.issue(A, life=4)
    seen = two.front.receive(token).seen
    before = two.front.call("minted.alias", pick(seen, "baggage"))
    assert who(before) == A
    assert peek(before.bearer)["exp"] <= peek(token)["exp"]
    until(lambda: time.time() > peek(token)["exp"], "the token's expiry")
    for way in WAYS:
        assert two.front.call("minted.alias", pick(seen, way)).denial == NO_SUBJECT, way
    every = pick(seen, *WAYS) | {"authorization": f"Bearer {token}"}
    for host in ("minted.alias", "suite.alias", "behalf.alias", "minted-any.alias"):
        assert two.front.call(host, every).denial == NO_SUBJECT, host


def test_a_client_who_knows_anothers_handle_is_still_itself(two: Two) -> None:
    victim = two.came(A)
    taken = {
        name.replace("-", "_"): victim[name]
        for name in (*WAYS, "x-correlation-id")
        if name in victim
    }
    seen = two.came(B, **taken)
    assert not {seen[name] for name in ("x-attache-context", "x-request-id")} & {
        victim["x-attache-context"],
        victim["x-request-id"],
    }
    assert victim["x-attache-context"] not in seen["baggage"] + seen["tracestate"]
    assert seen["traceparent"] == victim["traceparent"], "a trace may be shared; it decides nothing"
    for way in ("baggage", "tracestate", "x-attache-context", "x-request-id"):
        assert who(two.front.call("minted.alias", pick(seen, way, "traceparent"))) == B, way
    alone = two.front.call("minted.alias", pick(seen, "traceparent"))
    assert alone.denial == (403, "ambiguous_subject")


def test_what_a_client_makes_up_is_replaced(two: Two) -> None:
    forged = uuid.uuid4().hex
    seen = two.came(
        B,
        traceparent=f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01",
        baggage=f"attache={forged},%61ttache={forged},tenant=1",
        tracestate=f"attache={forged},vendor=1",
        x_attache_context=forged,
        x_attache_tracestate=f"attache={forged}",
        x_request_id=forged,
    )
    assert not [name for name, value in seen.items() if forged in value]
    assert (seen["baggage"].count("attache"), seen["tracestate"].count("attache")) == (1, 1)
    assert who(two.front.call("minted.alias", pick(seen, *WAYS))) == B


def test_an_application_relays_whatever_authorization_it_was_given(two: Two) -> None:
    """No instrumentation, no header but this: the caller's own token, or one of ours."""
    for pod in (two.front, two.other):
        given = {user: pod.receive(two.world.sts.issue(user)).seen for user in (A, B)}
        for user, seen in given.items():
            got = pod.call("minted.alias", pick(seen, "authorization"))
            assert who(got) == user
            assert got.bearer != seen["authorization"].removeprefix("Bearer ")
    # one that this application was never given
    assert (
        two.front.call("minted.alias", {"authorization": f"Bearer {two.world.sts.issue(A)}"}).denial
        == NO_SUBJECT
    )


@pytest.mark.must(45)
def test_each_miss_is_counted_and_written_down(two: Two) -> None:
    def counted() -> dict[str, float]:
        lines = two.front._admin("/metrics").text.splitlines()
        rows = [line.rsplit(" ", 1) for line in lines if line.startswith("attache_link_total")]
        return {name.split('"')[1]: float(value) for name, value in rows}

    before, mark = counted(), f"miss-{uuid.uuid4()}"
    a, b = two.came(A), two.came(B)
    for headers in (
        {},
        {"x-attache-context": "0" * 32},
        pick(a, "baggage") | pick(b, "x-attache-context"),
        pick(a, "baggage"),
    ):
        two.front.call("minted.alias", {"x-correlation-id": mark} | headers)
    after = counted()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown == {"resolved": 1, "none": 1, "no_subject": 1, "ambiguous_subject": 1}
    until(lambda: len(two.front.audit(txn=mark)) == 3, "records of the three without a caller")
    reasons = [record["reason"] for record in two.front.audit(txn=mark)]
    assert reasons == ["no_subject", "no_subject", "ambiguous_subject"]
