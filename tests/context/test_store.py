"""Which inbound requests are live? Look-ups, expiry, bounds, and many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.context.caller import Caller
from agent.context.store import LINGER, ContextStore, same_principal
from agent.identity.principal import IssuerKind, Kind, Verified
from demo.waiting import until

NOW = 1000.0
MakeCaller = Callable[..., Caller]
MakeVerified = Callable[..., Verified]


def holding(*callers: Caller, max_entries: int = 100) -> ContextStore:
    store = ContextStore(max_entries)
    for caller in callers:
        store.remember(caller)
    return store


def given(caller: Caller) -> bytes:
    assert caller.given
    return caller.given


def handles(callers: Iterable[Caller]) -> list[str]:
    return sorted(one.handle for one in callers)


def index_sizes(store: ContextStore) -> tuple[int, int, int, int]:
    """Entries by handle, request id, token and trace: what a leak would show in."""
    return (
        len(store._handles),
        len(store._requests),
        len(store._tokens),
        len(store._traces),
    )


def test_a_caller_is_found_by_each_of_its_carriers(caller: MakeCaller) -> None:
    anna, bob = caller("anna", 1), caller("bob", 2)
    store = holding(anna, bob)
    for one in (anna, bob):
        assert store.by_handle(one.handle, NOW) is one
        assert store.by_request_id(one.request_id, NOW) is one
        assert store.by_token(given(one), NOW) is one
        assert store.by_trace(one.trace_id, NOW) == (one,)


@pytest.mark.must(29)
@pytest.mark.parametrize("unknown", ["", "handle", "0" * 32, "handle-" + "0" * 25])
def test_what_was_never_given_out_finds_nobody(caller: MakeCaller, unknown: str) -> None:
    store = holding(caller("anna", 1))
    assert store.by_handle(unknown, NOW) is None
    assert store.by_request_id(unknown, NOW) is None
    assert store.by_token(unknown.encode(), NOW) is None
    assert store.by_trace(unknown, NOW) == ()


@pytest.mark.must(29)
def test_an_anonymous_caller_is_not_found_by_the_empty_token(caller: MakeCaller) -> None:
    nobody = caller("", 1)
    store = holding(nobody)
    assert store.by_handle(nobody.handle, NOW) is nobody
    assert store.by_token(b"", NOW) is None


@pytest.mark.must(29)
@pytest.mark.parametrize(("now", "live"), [(1999.9, True), (2000.0, False), (2000.1, False)])
def test_a_caller_ends_with_its_token(caller: MakeCaller, now: float, live: bool) -> None:
    anna = caller("anna", 1, expires_at=2000.0)
    store = holding(anna)
    expected = anna if live else None
    assert store.by_handle(anna.handle, now) is expected
    assert store.by_request_id(anna.request_id, now) is expected
    assert store.by_token(given(anna), now) is expected


def test_the_latest_request_with_a_token_is_found_by_it(caller: MakeCaller) -> None:
    first, second = caller("anna", 1), caller("anna", 2)
    assert holding(first, second).by_token(given(first), NOW) is second


@pytest.mark.must(29)
def test_under_one_trace_each_principal_is_told_once_by_its_newest_request(
    caller: MakeCaller,
) -> None:
    requests = [caller(name, n, trace="t") for n, name in enumerate(["anna", "bob", "", "anna"])]
    assert handles(holding(*requests).by_trace("t", NOW)) == handles(requests[1:])


@pytest.mark.must(29)
def test_a_newer_request_with_an_older_token_does_not_end_its_user_under_the_trace(
    caller: MakeCaller,
) -> None:
    longer = caller("anna", 1, trace="t", expires_at=2000.0)
    bob = caller("bob", 2, trace="t", expires_at=2000.0)
    shorter = caller("anna", 3, trace="t", expires_at=1100.0)
    store = holding(longer, bob, shorter)
    assert handles(store.by_trace("t", 1000.0)) == handles([shorter, bob])
    assert handles(store.by_trace("t", 1200.0)) == handles([longer, bob])


@pytest.mark.must(29)
def test_who_has_just_expired_still_makes_the_trace_ambiguous(caller: MakeCaller) -> None:
    anna = caller("anna", 1, trace="t", expires_at=1100.0)
    bob = caller("bob", 2, trace="t")
    store = holding(anna, bob)
    assert store.drop_expired(1100.0 + LINGER - 0.1) == 0
    assert handles(store.by_trace("t", 1100.0 + LINGER - 0.1)) == handles([anna, bob])
    assert store.drop_expired(1100.0 + LINGER) == 1
    assert store.by_trace("t", 1100.0 + LINGER) == (bob,)


def test_what_has_expired_is_forgotten_whole(caller: MakeCaller) -> None:
    old = [caller(f"user-{n}", n, expires_at=1100.0) for n in range(5)]
    young = [caller(f"user-{n}", n) for n in range(5, 8)]
    store = holding(*old, *young)
    assert store.drop_expired(1100.0 + LINGER) == 5
    assert store.drop_expired(1100.0 + LINGER) == 0
    assert index_sizes(store) == (3, 3, 3, 3)
    assert len(store) == 3
    assert store.evicted == 0
    assert all(store.by_handle(one.handle, NOW) is one for one in young)


@pytest.mark.must(42)
def test_beyond_its_bound_the_oldest_leave_and_are_counted(caller: MakeCaller) -> None:
    requests = [caller(f"user-{n}", n, trace=f"t{n % 3}") for n in range(50)]
    store = holding(*requests, max_entries=10)
    assert (len(store), store.evicted) == (10, 40)
    assert index_sizes(store) == (10, 10, 10, 3)
    for one in requests[:40]:
        assert store.by_handle(one.handle, NOW) is None
        assert store.by_request_id(one.request_id, NOW) is None
        assert store.by_token(given(one), NOW) is None
        assert one not in store.by_trace(one.trace_id, NOW)
    for one in requests[40:]:
        assert store.by_handle(one.handle, NOW) is one
        assert one in store.by_trace(one.trace_id, NOW)


@pytest.mark.must(42)
def test_one_user_with_one_token_under_one_trace_stays_bounded_too(caller: MakeCaller) -> None:
    requests = [caller("anna", n, trace="t") for n in range(50)]
    store = holding(*requests, max_entries=10)
    assert index_sizes(store) == (10, 10, 1, 1)
    assert store.by_trace("t", NOW) == (requests[-1],)
    assert sum(map(len, store._traces["t"].values())) == 1
    assert store.by_token(given(requests[-1]), NOW) is requests[-1]


@pytest.mark.must(29, 42)
def test_a_crowd_under_one_trace_is_ambiguous_and_stays_so_as_it_leaves(
    caller: MakeCaller,
) -> None:
    crowd = [caller(f"user-{n}", n, trace="t", expires_at=1100.0 + n * LINGER) for n in range(40)]
    store = holding(*crowd)
    for position, one in enumerate(crowd):
        assert len(store.by_trace("t", one.expires_at - 1)) > 1 or position == len(crowd) - 1
        store.drop_expired(one.expires_at + LINGER)
    assert index_sizes(store) == (0, 0, 0, 0)


def test_forgetting_an_older_request_leaves_the_newer_findable_by_the_same_token(
    caller: MakeCaller,
) -> None:
    first = caller("anna", 1, trace="t", expires_at=1100.0)
    second = caller("anna", 2, trace="t")
    store = holding(first, second)
    store.drop_expired(1100.0 + LINGER)
    assert store.by_token(given(second), NOW) is second
    assert store.by_trace("t", NOW) == (second,)


DIFFERENCES = [
    {"subject": "bob"},
    {"tenant": "t2"},
    {"issuer": "https://other.example"},
    {"client": "cli"},
    {"kind": Kind.APP},
    {"scopes": frozenset({"read", "write"})},
    {"scopes": frozenset()},
    {"roles": frozenset({"Admin"})},
    {"actors": ("gateway",)},
    {"auth_contexts": frozenset({"c1"})},
]


@pytest.mark.must(29)
@pytest.mark.parametrize("different", DIFFERENCES, ids=lambda d: next(iter(d)))
def test_another_person_or_other_rights_are_not_the_same_principal(
    caller: MakeCaller, verified: MakeVerified, different: dict[str, object]
) -> None:
    anna = caller("anna", 1)
    other = caller("anna", 2, verified=verified("anna", token="second", **different))
    assert not same_principal(anna, other)
    assert not same_principal(other, anna)


def test_a_refreshed_token_of_the_same_rights_is_the_same_principal(
    caller: MakeCaller, verified: MakeVerified
) -> None:
    anna = caller("anna", 1)
    later = verified("anna", token="second", expires_at=3000.0, claims={"iat": 5}, txn="x")
    assert same_principal(anna, caller("anna", 2, verified=later))
    renamed = verified("anna", issuer_name="other", issuer_kind=IssuerKind.OIDC)
    assert same_principal(anna, caller("anna", 2, verified=renamed))


def test_nobody_is_the_same_as_nobody_and_as_no_one_else(caller: MakeCaller) -> None:
    assert same_principal(caller("", 1), caller("", 2))
    assert not same_principal(caller("", 1), caller("anna", 2))
    assert not same_principal(caller("anna", 2), caller("", 1))


@pytest.mark.must(29, 42)
def test_threads_that_remember_look_up_and_sweep_at_once_never_get_anothers_caller(
    caller: MakeCaller,
) -> None:
    store = ContextStore(200)
    wrong: list[object] = []
    start = threading.Barrier(6)

    def serve(thread: int) -> None:
        start.wait()
        for n in range(400):
            number = thread * 1000 + n
            shared = f"shared-{n % 7}"
            mine = caller(f"user-{number}", number, trace=shared if n % 2 else "")
            store.remember(mine)
            found = (
                store.by_handle(mine.handle, NOW),
                store.by_request_id(mine.request_id, NOW),
                store.by_token(given(mine), NOW),
            )
            wrong.extend((mine, one) for one in found if one is not None and one is not mine)
            under = store.by_trace(mine.trace_id, NOW)
            if {one.trace_id for one in under} - {mine.trace_id}:
                wrong.append((mine, under))

    def sweep() -> None:
        start.wait()
        for n in range(200):
            short = caller(f"short-{n}", 90_000 + n)._replace(expires_at=NOW - LINGER)
            store.remember(short)
            store.drop_expired(NOW)
            if len(store) > 201:
                wrong.append(len(store))

    with ThreadPoolExecutor(6) as pool:
        running = [*(pool.submit(serve, n) for n in range(5)), pool.submit(sweep)]
    for one in running:
        one.result()
    assert wrong == []
    assert len(store) <= 200
    store.drop_expired(1e12)
    assert index_sizes(store) == (0, 0, 0, 0)


@pytest.mark.must(29, 42)
def test_who_had_to_give_up_a_place_still_makes_the_trace_ambiguous(caller: MakeCaller) -> None:
    anna, again, bob = (
        caller("anna", 1, trace="t"),
        caller("anna", 2, trace="t"),
        caller("bob", 3, trace="t"),
    )
    others = [caller("zoe", number) for number in range(4, 12)]
    store = holding(anna, *others, bob, max_entries=8)
    assert store.by_trace("t", NOW) == (bob,)
    assert store.left_by_another(bob, NOW)
    assert not store.left_by_another(again, NOW), "it was Anna herself who left"
    assert not store.left_by_another(others[-1], NOW)
    assert store.left_by_another(bob, anna.expires_at + LINGER - 1)
    assert not store.left_by_another(bob, anna.expires_at + LINGER)


@pytest.mark.must(42)
def test_of_those_who_gave_up_their_places_as_many_are_known_as_there_are_places(
    caller: MakeCaller,
) -> None:
    store = ContextStore(10)
    for number in range(100):
        store.remember(caller(f"user-{number}", number))
    assert len(store._pushed_out) == 10
    for number in range(100, 130):
        store.remember(caller(f"user-{number}", number, trace="t"))
    assert len(store._pushed_out) <= 10
    assert store.left_by_another(caller("user-129", 500, trace="t"), NOW)
    assert store.left_by_another(caller("user-100", 500, trace="t"), NOW), "others left as well"


def test_a_caller_is_found_at_once_and_also_when_many_came_after(caller: MakeCaller) -> None:
    store = ContextStore(1000)
    came = [caller("anna", number) for number in range(100)]
    for number, one in enumerate(came):
        store.remember(one)
        assert store.by_handle(one.handle, NOW) is one
        assert store.by_request_id(came[number // 2].request_id, NOW) is came[number // 2]
    other = ContextStore(1000)
    for one in came:
        other.remember(one)
    assert [other.by_handle(one.handle, NOW) for one in came] == came
    assert len(other) == 100


class Watched:
    """A lock that knows how many wanted it."""

    def __init__(self) -> None:
        self.wanted = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.wanted += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.must(29)
def test_who_is_being_filed_by_another_thread_is_waited_for(
    caller: MakeCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, one = ContextStore(100), caller("anna", 1)
    begun, may_go_on, found = threading.Event(), threading.Event(), []
    file_one = store._file_one

    def slowly(it: Caller) -> None:
        begun.set()
        may_go_on.wait(10)
        file_one(it)

    monkeypatch.setattr(store, "_file_one", slowly)
    monkeypatch.setattr(store, "_lock", lock := Watched())
    store.remember(one)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(len, store)  # files
        assert begun.wait(10)
        threads.submit(lambda: found.append(store.by_handle(one.handle, NOW)))
        until(lambda: lock.wanted == 2 or found, "who looks has looked, or waits")
        may_go_on.set()
    assert found == [one]
