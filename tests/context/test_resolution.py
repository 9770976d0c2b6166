"""Who caused this outbound call? Every combination of carriers, and random interleavings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.context.caller import Caller
from agent.context.carriers import Carried
from agent.context.resolution import resolve
from agent.context.store import LINGER, ContextStore, same_principal
from agent.errors import Denial, Reason
from agent.identity.principal import Verified

NOW = 1000.0
MakeCaller = Callable[..., Caller]


@dataclass
class World:
    """Live requests and one that has expired, under the names that the tables use."""

    callers: dict[str, Caller]
    store: ContextStore = field(default_factory=lambda: ContextStore(100))

    def __post_init__(self) -> None:
        for one in self.callers.values():
            self.store.remember(one)

    def resolve(
        self, handles: tuple[str, ...] = (), token: str = "", request: str = "", trace: str = ""
    ) -> Caller | Denial | None:
        """Resolve a call by callers' names; a name that is unknown makes an unknown carrier."""
        known = self.callers
        return resolve(
            Carried(
                tuple(known[h].handle if h in known else f"{h}-handle" for h in handles),
                known[request].request_id if request in known else request,
                known[trace].trace_id if trace in known else trace,
            ),
            (known[token].given if token in known else token.encode()) if token else None,
            self.store,
            NOW,
        )

    def name(self, answer: Caller | Denial | None) -> str:
        if answer is None:
            return "nobody"
        if isinstance(answer, Denial):
            assert answer.status == 403
            return answer.reason.value
        return next(name for name, one in self.callers.items() if one is answer)


@pytest.fixture(scope="module")
def world(caller: MakeCaller) -> World:
    return World(
        {
            "anna": caller("anna", 1),
            "bob": caller("bob", 2),
            "anon": caller("", 3),
            # two users and an anonymous caller under one trace, one user twice under another
            "carl": caller("carl", 4, trace="c" * 32),
            "dora": caller("dora", 5, trace="c" * 32),
            "emil": caller("emil", 6, trace="e" * 32),
            "emil2": caller("emil", 7, trace="e" * 32),
            "fay": caller("fay", 8, trace="f" * 32),
            "fanon": caller("", 9, trace="f" * 32),
            "old": caller("old", 10, expires_at=NOW),
        }
    )


A = ("anna",)
#    handles,        token,  request, trace, who
CASES = [
    ((), "", "", "", "nobody"),
    (A, "", "", "", "anna"),
    ((), "anna", "", "", "anna"),
    ((), "", "anna", "", "anna"),
    ((), "", "", "anna", "anna"),
    (A, "anna", "anna", "anna", "anna"),
    # what is unknown says nothing, except a handle: those are ours alone
    (A, "alien", "alien", "alien", "anna"),
    ((), "anna", "alien", "alien", "anna"),
    ((), "alien", "anna", "alien", "anna"),
    ((), "alien", "alien", "anna", "anna"),
    ((), "alien", "alien", "alien", "nobody"),
    (("forged",), "", "", "", "no_subject"),
    (("forged",), "anna", "anna", "anna", "no_subject"),
    (("",), "anna", "", "", "no_subject"),
    # two handles
    (("anna", "bob"), "", "", "", "ambiguous_subject"),
    (("anna", "forged"), "anna", "anna", "anna", "ambiguous_subject"),
    (("emil", "emil2"), "", "", "", "ambiguous_subject"),
    # disagreement, each with each
    (A, "bob", "", "", "ambiguous_subject"),
    (A, "", "bob", "", "ambiguous_subject"),
    (A, "", "", "bob", "ambiguous_subject"),
    ((), "anna", "bob", "", "ambiguous_subject"),
    ((), "anna", "", "bob", "ambiguous_subject"),
    ((), "", "anna", "bob", "ambiguous_subject"),
    (A, "anna", "anna", "bob", "ambiguous_subject"),
    (A, "anna", "bob", "anna", "ambiguous_subject"),
    (A, "bob", "anna", "anna", "ambiguous_subject"),
    # an anonymous caller is somebody else, too
    (("anon",), "", "", "", "anon"),
    (("anon",), "anna", "", "", "ambiguous_subject"),
    (A, "", "anon", "", "ambiguous_subject"),
    (A, "", "", "anon", "ambiguous_subject"),
    # several under one trace
    ((), "", "", "carl", "ambiguous_subject"),
    (("carl",), "", "", "carl", "carl"),
    ((), "carl", "", "carl", "carl"),
    ((), "", "dora", "dora", "dora"),
    (A, "", "", "carl", "ambiguous_subject"),
    ((), "", "", "fay", "ambiguous_subject"),
    (("fay",), "", "", "fay", "fay"),
    (("fanon",), "", "", "fay", "fanon"),
    # one user with two requests is one principal: the handle says which request
    ((), "", "", "emil", "emil2"),
    (("emil",), "", "", "emil", "emil"),
    (("emil",), "emil", "emil2", "emil", "emil"),
    # expired
    (("old",), "", "", "", "no_subject"),
    ((), "old", "", "", "nobody"),
    ((), "", "old", "", "nobody"),
    ((), "", "", "old", "no_subject"),
    (("old",), "old", "old", "old", "no_subject"),
    (A, "", "", "old", "ambiguous_subject"),
]


@pytest.mark.must(29)
@pytest.mark.parametrize(("handles", "token", "request_id", "trace", "who"), CASES)
def test_carriers_that_agree_name_the_caller_and_others_deny(
    world: World, handles: tuple[str, ...], token: str, request_id: str, trace: str, who: str
) -> None:
    assert world.name(world.resolve(handles, token, request_id, trace)) == who


NAMES = ["", "anna", "bob", "anon", "alien", "old"]
HANDLE_SETS: list[tuple[str, ...]] = [
    (),
    A,
    ("bob",),
    ("anon",),
    ("alien",),
    ("old",),
    ("anna", "bob"),
]
COMBINATIONS = list(product(HANDLE_SETS, NAMES, NAMES, NAMES))


@pytest.mark.must(29)
def test_in_every_combination_a_caller_is_believed_only_if_no_live_carrier_names_another(
    world: World,
) -> None:
    for handles, token, request_id, trace in COMBINATIONS:
        if token == "anon":
            continue  # nobody was given a token
        answer = world.name(world.resolve(handles, token, request_id, trace))
        named = {name for name in (*handles, token, request_id, trace) if name in world.callers}
        live = named - {"old"}
        told = (handles, token, request_id, trace)
        if len(handles) > 1:
            assert answer == "ambiguous_subject", told
        elif set(handles) & {"alien", "old"}:
            assert answer == "no_subject", told
        elif len(live) > 1:
            assert answer == "ambiguous_subject", told
        elif trace == "old":
            assert answer == ("ambiguous_subject" if live else "no_subject"), told
        else:
            assert answer == (live.pop() if live else "nobody"), told


def test_when_one_user_is_meant_by_two_requests_the_handle_decides_which(
    world: World,
) -> None:
    for token, request_id in product(["", "emil"], ["", "emil", "emil2"]):
        assert world.name(world.resolve(("emil",), token, request_id, "emil")) == "emil"


CARRIERS = ("handle", "token", "request", "trace")


@dataclass
class InFlight:
    """A request that the application works on, and the carriers that its libraries copy."""

    caller: Caller
    copies: frozenset[str]

    def call(self, store: ContextStore, now: float) -> Caller | Denial | None:
        mine, copies = self.caller, self.copies
        return resolve(
            Carried(
                (mine.handle,) if "handle" in copies else (),
                mine.request_id if "request" in copies else "made-by-the-application",
                mine.trace_id if "trace" in copies else "",
            ),
            mine.given if "token" in copies and mine.given else None,
            store,
            now,
        )


ARRIVALS = st.tuples(
    st.just("arrive"),
    st.sampled_from(["anna", "bob", ""]),
    st.sampled_from(["t1", "t1", "t2", ""]),
    st.just(frozenset({"trace"})) | st.frozensets(st.sampled_from(CARRIERS)),
    st.sampled_from([50, 100, 500]),
)
STEPS = st.lists(
    ARRIVALS | st.tuples(st.just("wait"), st.sampled_from([20, 60, 300])) | st.just(("sweep",)),
    min_size=3,
    max_size=15,
)


@pytest.mark.must(27, 29)
@settings(max_examples=200)
@given(STEPS)
def test_interleaved_callers_are_never_taken_for_one_another(
    caller: MakeCaller, verified: Callable[..., Verified], steps: list[tuple[object, ...]]
) -> None:
    """After each step every request in flight calls, up to `LINGER` after its token has expired."""
    store, now, flights = ContextStore(1000), NOW, []
    for number, step in enumerate(steps):
        match step:
            case ("arrive", str(name), str(trace), frozenset() as copies, int(life)):
                proof = verified(name, token=f"{name}-{number % 3}") if name else None
                hash_ = proof.token_hash if proof else b""
                ids = {"verified": proof, "given": hash_, "expires_at": now + life}
                one = caller(name, number, trace, **ids)
                store.remember(one)
                flights.append(InFlight(one, copies))
            case ("wait", int(seconds)):
                now += seconds
            case _:
                store.drop_expired(now)
        for flight in flights:
            if now < flight.caller.expires_at + LINGER:
                judge(flight, flight.call(store, now), now)


def judge(flight: InFlight, answer: Caller | Denial | None, now: float) -> None:
    """The right caller, alive, or nobody; by the handle and alive, this very request or a doubt."""
    if isinstance(answer, Denial):
        assert answer.reason in (Reason.AMBIGUOUS_SUBJECT, Reason.NO_SUBJECT)
    elif answer is not None:
        assert same_principal(answer, flight.caller)
        assert answer.expires_at > now
    if "handle" in flight.copies and flight.caller.expires_at > now:
        assert answer is flight.caller


@pytest.mark.must(27, 29)
@settings(max_examples=100)
@given(st.lists(st.sampled_from(["anna", "bob", "carl", ""]), min_size=2, max_size=8))
def test_a_live_caller_whose_own_carriers_all_arrive_is_never_denied(
    caller: MakeCaller, names: list[str]
) -> None:
    store = ContextStore(1000)
    flights = [
        InFlight(caller(name, number, trace="t"), frozenset(CARRIERS))
        for number, name in enumerate(names)
    ]
    for flight in flights:
        store.remember(flight.caller)
    for flight in flights:
        assert flight.call(store, NOW) is flight.caller


@pytest.mark.must(29)
def test_in_a_crowd_under_one_trace_the_handle_still_decides(caller: MakeCaller) -> None:
    store = ContextStore(1000)
    crowd = [caller(f"user-{n}", n, trace="t") for n in range(50)]
    for one in crowd:
        store.remember(one)
    for one in crowd:
        assert InFlight(one, frozenset({"handle", "trace"})).call(store, NOW) is one
        alone = InFlight(one, frozenset({"trace"})).call(store, NOW)
        assert isinstance(alone, Denial)
        assert alone.reason is Reason.AMBIGUOUS_SUBJECT


@pytest.mark.must(29)
def test_a_trace_alone_is_nobodys_once_anothers_request_under_it_was_pushed_out(
    caller: MakeCaller,
) -> None:
    store = ContextStore(3)
    anna, bob = caller("anna", 1, trace="t" * 32), caller("bob", 9, trace="t" * 32)
    for one in (anna, *(caller("zoe", number) for number in (2, 3, 4)), bob):
        store.remember(one)
    alone = InFlight(anna, frozenset({"trace"})).call(store, NOW)  # Anna's late call
    assert isinstance(alone, Denial)
    assert alone.reason is Reason.AMBIGUOUS_SUBJECT
    assert InFlight(bob, frozenset({"handle", "trace"})).call(store, NOW) is bob
    late = InFlight(anna, frozenset({"handle", "trace"})).call(store, NOW)
    assert isinstance(late, Denial)
    assert late.reason is Reason.NO_SUBJECT
