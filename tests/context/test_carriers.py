"""How does a handle travel? Put in, read, scrubbed: and others' members pass untouched."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry import baggage as otel
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from agent.context.carriers import (
    MEMBER,
    read,
    trace_id,
    well_formed,
    with_handle,
    without_handle,
)

OURS = "0123456789abcdef0123456789abcdef"
FORGED = "f" * 32
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def handles(baggage: str = "", tracestate: str = "", header: str = "") -> tuple[str, ...]:
    return read(baggage, tracestate, header, "", "").handles


READ = [
    ("", "", "", ()),
    (f"attache={OURS}", "", "", (OURS,)),
    ("", f"attache={OURS}", "", (OURS,)),
    ("", "", OURS, (OURS,)),
    (f"attache={OURS}", f"attache={OURS}", OURS, (OURS,)),
    (f"a=1,attache={OURS},b=2", "", "", (OURS,)),
    (f" a=1 ,\t attache = {OURS} ", "", "", (OURS,)),
    (f"attache={OURS};secret;p=1", "", "", (OURS,)),
    (f"attache={OURS},attache={OURS}", "", "", (OURS,)),
    (f"attache={OURS},attache={FORGED}", "", "", (OURS, FORGED)),
    (f"attache={OURS}", f"attache={FORGED}", "", (OURS, FORGED)),
    (f"attache={OURS}", "", FORGED, (OURS, FORGED)),
    ("", "", f"{OURS},{FORGED}", (OURS, FORGED)),
    ("", "", f"{OURS}, {OURS}", (OURS,)),
    ("", "", " , ", ()),
    # whatever a library could decode into our member counts as one, so that it cannot hide
    (f"%61ttache={FORGED}", "", "", (FORGED,)),
    (f"attach%65={OURS},attache={FORGED}", "", "", (OURS, FORGED)),
    (f"+attache={FORGED}", "", "", (FORGED,)),
    ("attache=", "", "", ("",)),
    ("attache", "", "", ("",)),
    # neighbours are not ours
    (f"attache2={OURS}", "", "", ()),
    (f"xattache={OURS}", "", "", ()),
    (f"Attache={OURS}", "", "", ()),
    (f"a=attache={OURS}", "", "", ()),
    (f"a=1;attache={OURS}", "", "", ()),
    ("", f"attache@x={OURS}", "", ()),
    ("", f"x@attache={OURS}", "", ()),
]


@pytest.mark.must(29)
@pytest.mark.parametrize(("baggage", "tracestate", "header", "found"), READ)
def test_every_handle_is_found_once(
    baggage: str, tracestate: str, header: str, found: tuple[str, ...]
) -> None:
    assert handles(baggage, tracestate, header) == found


def test_the_other_carriers_are_passed_on() -> None:
    carried = read("", "", "", "r-1", f"00-{TRACE}-{SPAN}-01")
    assert (carried.request_id, carried.trace_id) == ("r-1", TRACE)


TRACEPARENTS = [
    (f"00-{TRACE}-{SPAN}-01", True),
    (f"00-{TRACE}-{SPAN}-00", True),
    (f"00-{TRACE}-{SPAN}-ff", True),
    (f"01-{TRACE}-{SPAN}-01", True),
    (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ("", False),
    (f"00-{TRACE}-{SPAN}", False),
    (f"00-{TRACE}-{SPAN}-1", False),
    (f"00-{TRACE}-{SPAN}-01-", False),
    (f"00-{TRACE}-{SPAN}-01-extra", False),
    (f"00-{TRACE}-{SPAN}-01\n", False),
    (f" 00-{TRACE}-{SPAN}-01", False),
    (f"ff-{TRACE}-{SPAN}-01", False),
    (f"0-{TRACE}-{SPAN}-01", False),
    (f"01-{TRACE}-{SPAN}-01.x", False),
    (f"01-{TRACE}-{SPAN}-01-a\x00b", False),
    (f"01-{TRACE}-{SPAN}-01-é", False),
    (f"00-{TRACE.upper()}-{SPAN}-01", False),
    (f"00-{'0' * 32}-{SPAN}-01", False),
    (f"00-{TRACE}-{'0' * 16}-01", False),
    (f"00-{TRACE[1:]}-{SPAN}-01", False),
    (f"00-{TRACE}g-{SPAN}-01", False),
    (f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01", False),
    ("00-" + "\u0661" * 32 + f"-{SPAN}-01", False),
]


@pytest.mark.parametrize(("traceparent", "valid"), TRACEPARENTS)
def test_a_trace_id_comes_from_a_valid_traceparent_only(traceparent: str, valid: bool) -> None:
    assert trace_id(traceparent) == (TRACE if valid else "")


def test_the_handle_stands_first_and_others_members_follow() -> None:
    assert with_handle(OURS, "a=1,b=2;p", "x=1,y=2") == (
        f"attache={OURS},a=1,b=2;p",
        f"attache={OURS},x=1,y=2",
    )


def test_with_no_others_the_handle_stands_alone() -> None:
    assert with_handle(OURS, "", "") == (f"attache={OURS}", f"attache={OURS}")


@pytest.mark.parametrize(
    "members", ["attache", "attache=1", "%61ttache=1", " attache =1", "a=1,attache=1,attache=2"]
)
def test_a_forged_handle_is_replaced(members: str) -> None:
    baggage, tracestate = with_handle(OURS, members, members)
    assert handles(baggage, tracestate) == (OURS,)
    assert baggage.endswith("a=1") is members.startswith("a=1")


@pytest.mark.must(29)
@pytest.mark.parametrize("forged", ["attache", "%61ttache", "attach%65", "+attache", "%20attache"])
def test_a_tracing_library_hands_on_our_handle_whatever_the_caller_put_beside_it(
    forged: str,
) -> None:
    baggage, _ = with_handle(OURS, f"a=1,{forged}={FORGED}", "")
    seen = W3CBaggagePropagator().extract({"baggage": baggage})
    assert otel.get_all(seen) == {MEMBER: OURS, "a": "1"}
    sent: dict[str, str] = {}
    W3CBaggagePropagator().inject(sent, context=seen)
    assert handles(sent["baggage"]) == (OURS,)
    assert without_handle(sent["baggage"]) == "a=1"


@pytest.mark.must(42)
def test_baggage_that_would_be_too_long_for_others_is_given_up_for_the_handle() -> None:
    room = 8192 - len(f"attache={OURS},a=")
    fits, too_long = "a=" + "x" * room, "a=" + "x" * (room + 1)
    assert with_handle(OURS, fits, "")[0] == f"attache={OURS},{fits}"
    assert with_handle(OURS, too_long, "")[0] == f"attache={OURS}"
    # W3C Baggage counts bytes
    assert with_handle(OURS, "a=" + "é" * (room // 2 + 1), "")[0] == f"attache={OURS}"


@pytest.mark.must(42)
def test_the_oldest_states_are_given_up_for_the_handle() -> None:
    members = [f"v{number}={number}" for number in range(40)]
    assert with_handle(OURS, "", ",".join(members))[1].split(",")[1:] == members[:31]
    long = [f"v{number}={'x' * 100}" for number in range(10)]
    assert with_handle(OURS, "", ",".join(long))[1].split(",")[1:] == long[:4]


WELL_FORMED = [
    (OURS, True),
    ("A-_z" * 4, True),
    ("a" * 64, True),
    ("a" * 15, False),
    ("a" * 65, False),
    ("", False),
    ("a" * 16 + "\n", False),
    ("a" * 16 + "=", False),
    ("é" * 16, False),
]


@pytest.mark.parametrize(("handle", "could_be"), WELL_FORMED)
def test_a_text_could_be_a_handle_or_not(handle: str, could_be: bool) -> None:
    assert well_formed(handle) is could_be


HANDLES = st.binary(min_size=16, max_size=16).map(bytes.hex)
KEYS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-*/", min_size=1, max_size=8)
VALUES = st.text("abcXYZ019!#$%&'()*+-./:<>?@[]^_`{|}~", max_size=12)
OTHERS = st.lists(st.tuples(KEYS, VALUES).filter(lambda m: m[0] != MEMBER), max_size=12).map(
    lambda members: [f"{key}={value}" for key, value in members]
)
FORGERY = st.sampled_from(
    ["attache", "%61ttache", " attache ", "attach%65", "+attache", "\tattache"]
)
FORGERIES = st.lists(st.tuples(FORGERY, VALUES).map("=".join) | st.just(""), max_size=4)


@pytest.mark.must(29)
@given(HANDLES, OTHERS, FORGERIES, st.data())
def test_put_in_and_taken_out_again_leaves_others_members_as_they_were(
    handle: str, others: list[str], forged: list[str], data: st.DataObject
) -> None:
    members = list(others)
    for member in forged:
        members.insert(data.draw(st.integers(0, len(members))), member)
    baggage, tracestate = with_handle(handle, ",".join(members), "")
    assert handles(baggage) == handles(tracestate) == (handle,)
    assert without_handle(baggage) == ",".join(others)
    assert handles(without_handle(baggage)) == ()


@given(HANDLES, OTHERS)
def test_a_state_keeps_a_prefix_of_others_members_and_its_bounds(
    handle: str, others: list[str]
) -> None:
    assume(all(member.partition("=")[2] for member in others))
    _, tracestate = with_handle(handle, "", ",".join(others))
    kept = tracestate.split(",")
    assert kept[0] == f"{MEMBER}={handle}"
    assert kept[1:] == others[: len(kept) - 1]
    assert len(tracestate) <= 512
    assert len(kept) <= 32


@pytest.mark.must(29, 42)
@given(HANDLES, st.text(max_size=60), st.text(max_size=60))
def test_whatever_came_in_nothing_of_ours_but_our_handle_goes_on_and_none_survives_scrubbing(
    handle: str, baggage: str, tracestate: str
) -> None:
    given_baggage, given_state = with_handle(handle, baggage, tracestate)
    assert handles(given_baggage, given_state) == (handle,)
    assert len(given_baggage.encode()) <= 8192
    scrubbed = without_handle(given_baggage), without_handle(given_state)
    assert handles(*scrubbed) == ()
    assert handle not in "".join(scrubbed) or handle in baggage + tracestate
    assert tuple(without_handle(text) for text in scrubbed) == scrubbed


@given(st.text())
def test_no_traceparent_breaks_the_reader(text: str) -> None:
    assert trace_id(text) == "" or len(trace_id(text)) == 32


@pytest.mark.must(17)
@pytest.mark.parametrize("bad", ["\x00", "\x01", "\n", "\r\nx-evil: 1", "\x1f", "\x7f"])
def test_a_value_that_no_header_may_carry_goes_no_further(bad: str) -> None:
    """It would break the answer, and so the request of somebody who did nothing wrong."""
    value = f"a=1{bad},attache={FORGED}"
    assert without_handle(value) == ""
    assert with_handle(OURS, value, value) == (f"attache={OURS}", f"attache={OURS}")
    assert without_handle(f"a=1,\tb=2,attache={FORGED}") == "a=1,b=2"
