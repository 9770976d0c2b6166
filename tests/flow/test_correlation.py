"""Under which ids does a request travel? Continued among us, new at the edge, unique always."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.context.carriers import trace_id, well_formed
from agent.flow.correlation import inbound_correlation, outbound_correlation
from agent.flow.request import Request
from agent.identity.claims import transaction

Asks = Callable[..., Request]
Random = Callable[[int], bytes]
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
THEIRS = {
    "traceparent": f"00-{TRACE}-{SPAN}-00",
    "tracestate": "vendor=1",
    "baggage": "tenant=7",
    "x-correlation-id": "order-4711",
    "x-request-id": "theirs",
}


def test_among_us_the_trace_the_baggage_and_the_transaction_go_on(
    asks: Asks, random: Random
) -> None:
    ids = inbound_correlation(asks(THEIRS), random, edge=False)
    assert (ids.txn, ids.trace_id) == ("order-4711", TRACE)
    assert (ids.traceparent, ids.tracestate, ids.baggage) == (
        THEIRS["traceparent"],
        "vendor=1",
        "tenant=7",
    )


@pytest.mark.must(29)
def test_the_request_id_is_always_ours(asks: Asks, random: Random) -> None:
    ids = inbound_correlation(asks(THEIRS), random, edge=False)
    assert uuid.UUID(ids.request_id).version == 4


@pytest.mark.must(29)
def test_at_the_edge_everything_is_replaced(asks: Asks, random: Random) -> None:
    ids = inbound_correlation(asks(THEIRS), random, edge=True)
    assert ids.txn == ids.request_id
    assert (ids.baggage, ids.tracestate) == ("", "")
    assert trace_id(ids.traceparent) == ids.trace_id != TRACE
    assert not set(THEIRS.values()) & {ids.txn, ids.request_id, ids.traceparent}


@pytest.mark.parametrize("edge", [True, False])
def test_a_trace_is_started_where_there_is_none(asks: Asks, random: Random, edge: bool) -> None:
    ids = inbound_correlation(asks(), random, edge)
    assert re.fullmatch(rf"00-{ids.trace_id}-[0-9a-f]{{16}}-01", ids.traceparent)
    assert ids.txn == ids.request_id


def test_a_state_without_its_trace_belongs_to_nobody(asks: Asks, random: Random) -> None:
    ids = inbound_correlation(asks(THEIRS | {"traceparent": "broken"}), random, edge=False)
    assert ids.tracestate == ""
    assert ids.baggage == "tenant=7"


@pytest.mark.parametrize("control", ["\x00", "\r\n", "\x1b", "\x7f"])
def test_what_could_not_be_written_again_is_not_continued(
    asks: Asks, random: Random, control: str
) -> None:
    theirs = THEIRS | {"baggage": f"a={control}", "tracestate": f"a={control}"}
    ids = inbound_correlation(asks(theirs), random, edge=False)
    assert (ids.baggage, ids.tracestate) == ("", "")


@pytest.mark.must(29)
def test_a_handle_has_128_random_bits_of_its_own(asks: Asks, random: Random) -> None:
    drawn: list[bytes] = []

    def remembering(size: int) -> bytes:
        drawn.append(random(size))
        return drawn[-1]

    made = [inbound_correlation(asks(THEIRS), remembering, edge=False) for _ in range(50)]
    assert len({ids.handle for ids in made}) == 50
    assert len({ids.request_id for ids in made}) == 50
    for ids, entropy in zip(made, drawn, strict=True):
        assert well_formed(ids.handle)
        assert len(bytes.fromhex(ids.handle)) == 16
        assert bytes.fromhex(ids.handle) in entropy
        # what leaves the pod tells nothing of the handle
        assert ids.handle not in ids.request_id.replace("-", "") + ids.traceparent


TRANSACTIONS = [
    ("order-4711", True),
    ("a", True),
    ("A.b:c_d-e", True),
    ("9f8e7d6c-1234-4abc-8def-001122334455", True),
    ("a" * 128, True),
    ("a" * 129, False),
    ("", False),
    ("-a", False),
    ("a b", False),
    ("a,b", False),
    ("a\n", False),
    ("a\x00", False),
    ('a"b', False),
    ("<script>", False),
    ("é", False),
    ("a/../b", False),
]


@pytest.mark.parametrize(("text", "usable"), TRANSACTIONS)
def test_a_transaction_id_is_taken_over_only_if_it_is_harmless(
    asks: Asks, random: Random, text: str, usable: bool
) -> None:
    assert transaction(text) == (text if usable else "")
    ids = inbound_correlation(asks({"x-correlation-id": text}), random, edge=False)
    assert ids.txn == (text if usable else ids.request_id)


#  header,               known txn, what is said
SAID = [
    ({}, "txn-1", "txn-1"),
    ({"x-correlation-id": "mine"}, "txn-1", "txn-1"),
    ({"x-correlation-id": "mine"}, "", "mine"),
    ({"x-correlation-id": "mine", "x-request-id": "r"}, "", "mine"),
    ({"x-request-id": "r"}, "", "r"),
    ({"x-correlation-id": "a b", "x-request-id": "r"}, "", "r"),
]


@pytest.mark.must(30)
@pytest.mark.parametrize(("headers", "txn", "said"), SAID)
def test_a_call_says_the_callers_transaction_before_the_applications(
    asks: Asks, random: Random, headers: dict[str, str], txn: str, said: str
) -> None:
    assert outbound_correlation(asks(headers), random, txn, "")[0] == said


@pytest.mark.parametrize("headers", [{}, {"x-request-id": "a b"}])
def test_a_call_of_nobody_gets_a_transaction_of_its_own(
    asks: Asks, random: Random, headers: dict[str, str]
) -> None:
    first, second = (outbound_correlation(asks(headers), random, "", "")[0] for _ in range(2))
    assert uuid.UUID(first) != uuid.UUID(second)


def test_a_call_keeps_the_applications_trace_else_continues_the_callers_else_starts_one(
    asks: Asks, random: Random
) -> None:
    own = asks({"traceparent": THEIRS["traceparent"]})
    assert outbound_correlation(own, random, "t", "a" * 32)[1:] == (TRACE, THEIRS["traceparent"])
    for headers in ({}, {"traceparent": "broken"}):
        _, trace, traceparent = outbound_correlation(asks(headers), random, "t", "a" * 32)
        assert trace == trace_id(traceparent) == "a" * 32
        _, trace, traceparent = outbound_correlation(asks(headers), random, "t", "")
        assert trace == trace_id(traceparent) != ""


@given(
    st.dictionaries(st.sampled_from(list(THEIRS)), st.text()),
    st.booleans(),
    st.binary(min_size=56, max_size=56),
)
def test_whatever_is_sent_the_ids_are_complete_and_can_be_written(
    asks: Asks, headers: dict[str, str], edge: bool, entropy: bytes
) -> None:
    ids = inbound_correlation(asks(headers), lambda size: entropy[:size], edge)
    assert transaction(ids.txn) == ids.txn != ""
    assert re.fullmatch(r"[0-9a-f]{32}", ids.trace_id)
    assert re.fullmatch(r"[ -~]+", ids.traceparent)
    for value in (ids.baggage, ids.tracestate):
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
