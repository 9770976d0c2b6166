"""One flight for a key, nobody else's token, refusals that pass, tokens that outlive an outage."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from agent.credentials.bulkhead import Bulkhead
from agent.credentials.cache import TokenCache
from agent.credentials.token import CacheKey, Token, next_attempt, refresh_at, remembered
from agent.errors import Denial, Reason
from agent.moment import Moment
from tests.credentials.conftest import NOW, FakeClock, FakeExecutor

KEY = CacheKey.of("obo", "https://sts", "tenant", "client", ["b", "a"])
MOMENT = Moment(NOW, 10.0)
REFUSED = Denial(Reason.CONSENT_REQUIRED, "no consent")


def _token(value: str = "t", life: float = 3600.0, refresh: float = 3000.0) -> Token:
    return Token(value, NOW + life, NOW + refresh)


@pytest.fixture
def slow() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def held(clock: FakeClock, slow: FakeExecutor) -> TokenCache:
    """A cache whose flights start when the test says so."""
    return TokenCache(clock=clock, random=lambda: 0.5, executor=slow, bulkhead=Bulkhead(clock))


class Fetches:
    """Counts how often it is asked."""

    def __init__(self, *results: Token | Denial) -> None:
        self.results = results or (_token(),)
        self.asked = 0

    def __call__(self) -> Token | Denial:
        self.asked += 1
        return self.results[min(self.asked, len(self.results)) - 1]


def test_every_part_of_the_key_tells_tokens_apart() -> None:
    parts = [
        ("kind", "authority", "tenant", "client", ("s",), "aud", b"a", "claims"),
        ("KIND", "authority", "tenant", "client", ("s",), "aud", b"a", "claims"),
        ("kind", "AUTHORITY", "tenant", "client", ("s",), "aud", b"a", "claims"),
        ("kind", "authority", "TENANT", "client", ("s",), "aud", b"a", "claims"),
        ("kind", "authority", "tenant", "CLIENT", ("s",), "aud", b"a", "claims"),
        ("kind", "authority", "tenant", "client", ("S",), "aud", b"a", "claims"),
        ("kind", "authority", "tenant", "client", ("s",), "AUD", b"a", "claims"),
        ("kind", "authority", "tenant", "client", ("s",), "aud", b"A", "claims"),
        ("kind", "authority", "tenant", "client", ("s",), "aud", b"a", "CLAIMS"),
    ]
    assert len({CacheKey(*part) for part in parts}) == len(parts)


def test_the_order_of_scopes_makes_no_other_key() -> None:
    assert CacheKey.of("k", "a", "t", "c", ["x", "y"]) == CacheKey.of(
        "k", "a", "t", "c", ["y", "x"]
    )


def test_a_hit_asks_nobody(cache: TokenCache) -> None:
    fetch = Fetches()
    got = [cache.get_or_fetch(KEY, MOMENT, fetch) for _ in range(3)]
    assert got == [_token()] * 3
    assert fetch.asked == 1


@pytest.mark.must(41)
def test_a_thousand_concurrent_misses_make_one_request(
    clock: FakeClock, executor: ThreadPoolExecutor
) -> None:
    cache = TokenCache(
        clock=clock, random=lambda: 0.5, executor=executor, bulkhead=Bulkhead(clock, limit=8)
    )
    asked = count()
    together = threading.Barrier(1000, timeout=30)
    open_gate = threading.Event()

    def fetch() -> Token:
        next(asked)
        open_gate.wait(30)
        return _token("shared")

    def miss() -> Token | Denial:
        if together.wait() == 0:
            open_gate.set()
        return cache.get_or_fetch(KEY, Moment(NOW, 30.0), fetch)

    with ThreadPoolExecutor(1000) as callers:
        results = [future.result() for future in [callers.submit(miss) for _ in range(1000)]]
    assert next(asked) == 1
    # The server was well: every one of them was served, beyond the bulkhead's lasting places too.
    assert Counter(r.value if isinstance(r, Token) else r.reason for r in results) == {
        "shared": 1000
    }


@pytest.mark.must(27)
def test_a_thousand_interleaved_users_never_get_each_others_token(
    clock: FakeClock, executor: ThreadPoolExecutor
) -> None:
    bulkhead = Bulkhead(clock, limit=64, most=64, total=1_000_000)
    cache = TokenCache(clock=clock, random=lambda: 0.5, executor=executor, bulkhead=bulkhead)
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    def obtain(user: str) -> bool:
        def fetch() -> Token:
            with lock:
                asked[user] += 1
            return _token(f"for {user}")

        tenant = f"tenant-{hash(user) % 50}"
        got = cache.get_or_fetch(
            KEY.for_user(user.encode(), tenant), Moment(NOW, 30.0), fetch, ("id", user)
        )
        return isinstance(got, Token) and got.value == f"for {user}"

    users = [f"user-{number % 1000}" for number in range(5000)]
    with ThreadPoolExecutor(32) as callers:
        assert all(callers.map(obtain, users))
    assert len(asked) == 1000
    assert set(asked.values()) == {1}


def test_waiters_share_a_refusal(held: TokenCache, slow: FakeExecutor) -> None:
    fetch = Fetches(REFUSED)
    with ThreadPoolExecutor(8) as callers:
        waiting = [callers.submit(held.get_or_fetch, KEY, MOMENT, fetch) for _ in range(8)]
        while not slow.waiting:
            threading.Event().wait(0.001)
        slow.run()
        assert [future.result() for future in waiting] == [REFUSED] * 8
    assert fetch.asked == 1


@pytest.mark.must(39)
def test_a_waiter_leaves_at_its_own_deadline_and_the_flight_goes_on(
    held: TokenCache, slow: FakeExecutor
) -> None:
    fetch = Fetches()
    for _ in range(3):
        got = held.get_or_fetch(KEY, Moment(NOW, 0.01), fetch)
        assert isinstance(got, Denial)
        assert got.reason is Reason.DEADLINE
    assert slow.run() == 1
    assert held.get_or_fetch(KEY, Moment(NOW, 0.0), fetch) == _token()


def test_no_time_left_starts_nothing(held: TokenCache, slow: FakeExecutor) -> None:
    got = held.get_or_fetch(KEY, Moment(NOW, 0.0), Fetches())
    assert isinstance(got, Denial)
    assert got.reason is Reason.DEADLINE
    assert slow.run() == 0


@pytest.mark.must(41)
def test_a_burst_of_users_waits_for_places_instead_of_being_refused(
    clock: FakeClock, executor: ThreadPoolExecutor
) -> None:
    bulkhead = Bulkhead(clock, most=4)
    cache = TokenCache(clock=clock, random=lambda: 0.5, executor=executor, bulkhead=bulkhead)
    together = threading.Barrier(100, timeout=30)

    def miss(user: int) -> bool:
        together.wait()
        key = KEY.for_user(bytes([user]), "tenant")
        got = cache.get_or_fetch(key, Moment(NOW, 30.0), lambda: _token(f"for {user}"))
        return isinstance(got, Token) and got.value == f"for {user}"

    with ThreadPoolExecutor(100) as callers:
        assert all(callers.map(miss, range(100)))


@pytest.mark.must(38)
def test_behind_a_server_that_hangs_only_so_many_wait(clock: FakeClock, slow: FakeExecutor) -> None:
    bulkhead = Bulkhead(clock, limit=3)
    cache = TokenCache(clock=clock, random=lambda: 0.5, executor=slow, bulkhead=bulkhead)
    release = threading.Event()
    outcomes: list[Token | Denial] = []
    fetch = Fetches()
    started = Moment(NOW, 0.0001)
    assert isinstance(cache.get_or_fetch(KEY, started, fetch, ("id", "hung")), Denial)
    clock.now += 4  # the one request under way is older than the grace now
    with ThreadPoolExecutor(3) as callers:
        waiting = [
            callers.submit(cache.get_or_fetch, KEY, MOMENT, fetch, ("id", "hung")) for _ in range(3)
        ]
        while bulkhead._lanes["id", "hung"].waiting < 3:
            release.wait(0.001)
        for user in range(100):
            key = KEY if user % 2 else KEY.for_user(bytes([user]), "hung")
            outcomes.append(cache.get_or_fetch(key, MOMENT, fetch, ("id", "hung")))
        slow.run()
        assert all(isinstance(future.result(), Token) for future in waiting)
    refused = [got for got in outcomes if isinstance(got, Denial)]
    assert len(refused) == 100
    assert {(got.reason, got.retry_after) for got in refused} == {(Reason.ISSUER_UNAVAILABLE, 1)}


@pytest.mark.must(38)
def test_past_its_refresh_time_a_token_serves_and_is_renewed_once(
    held: TokenCache, slow: FakeExecutor, clock: FakeClock
) -> None:
    fetch = Fetches(_token("old"), Token("new", NOW + 7200, NOW + 7000))
    held.get_or_fetch(KEY, Moment(NOW, 0.001), fetch)
    slow.run()
    clock.now = NOW + 3001
    late = Moment(clock.now, 10.0)
    got = [held.get_or_fetch(KEY, late, fetch) for _ in range(20)]
    assert {token.value for token in got if isinstance(token, Token)} == {"old"}
    assert slow.run() == 1
    renewed = held.get_or_fetch(KEY, late, fetch)
    assert isinstance(renewed, Token)
    assert (renewed.value, fetch.asked) == ("new", 2)


@pytest.mark.must(38)
def test_a_failed_renewal_leaves_the_token_until_it_expires_and_is_tried_again(
    held: TokenCache, slow: FakeExecutor, clock: FakeClock
) -> None:
    down = Denial(Reason.ISSUER_UNAVAILABLE, "down")
    fetch = Fetches(_token("old"), down, down, down, _token("new", 9000.0, 8000.0))
    held.get_or_fetch(KEY, Moment(NOW, 0.001), fetch)
    slow.run()
    for second in range(3000, 3600):
        clock.now = NOW + second
        got = held.get_or_fetch(KEY, Moment(clock.now, 0.001), fetch)
        assert isinstance(got, Token)
        slow.run()
    assert fetch.asked == 5  # the fourth attempt succeeded; no storm before it
    assert isinstance(got, Token)
    assert got.value == "new"


def test_an_expired_token_is_not_served_even_if_nobody_answers(
    held: TokenCache, slow: FakeExecutor, clock: FakeClock
) -> None:
    down = Denial(Reason.ISSUER_UNAVAILABLE, "down")
    fetch = Fetches(_token("old"), down)
    held.get_or_fetch(KEY, Moment(NOW, 0.001), fetch)
    slow.run()
    clock.now = NOW + 3600
    held.get_or_fetch(KEY, Moment(clock.now, 0.001), fetch)
    slow.run()
    assert held.get_or_fetch(KEY, Moment(clock.now, 0.001), fetch) == down


def test_a_refusal_is_remembered_briefly_and_never_for_another_user(
    cache: TokenCache, clock: FakeClock
) -> None:
    alice, ed = KEY.for_user(b"alice", "t"), KEY.for_user(b"ed", "t")
    refuses, gives = Fetches(REFUSED), Fetches()
    assert [cache.get_or_fetch(alice, MOMENT, refuses) for _ in range(5)] == [REFUSED] * 5
    assert refuses.asked == 1
    assert cache.get_or_fetch(ed, MOMENT, gives) == _token()
    clock.now += 5
    assert cache.get_or_fetch(alice, Moment(clock.now, 10.0), gives) == _token()


def test_retry_after_is_honoured_and_counted_down(cache: TokenCache, clock: FakeClock) -> None:
    limited = Denial(Reason.RATE_LIMITED, "slower", retry_after=30)
    fetch = Fetches(limited, _token())
    cache.get_or_fetch(KEY, MOMENT, fetch)
    clock.now += 29
    got = cache.get_or_fetch(KEY, Moment(clock.now, 10.0), fetch)
    assert isinstance(got, Denial)
    assert (got.retry_after, fetch.asked) == (1, 1)
    clock.now += 1
    assert cache.get_or_fetch(KEY, Moment(clock.now, 10.0), fetch) == _token()


def test_a_fetch_that_breaks_denies_and_blocks_nobody(
    cache: TokenCache, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Token:
        raise ZeroDivisionError

    got = cache.get_or_fetch(KEY, MOMENT, broken)
    assert isinstance(got, Denial)
    assert got.reason is Reason.INTERNAL_ERROR
    clock.now += 11
    assert cache.get_or_fetch(KEY, Moment(clock.now, 10.0), Fetches()) == _token()
    assert "ZeroDivisionError" in caplog.text


def test_after_shutdown_a_miss_is_refused_at_once(clock: FakeClock) -> None:
    pool = ThreadPoolExecutor(1)
    cache = TokenCache(clock=clock, random=lambda: 0.5, executor=pool, bulkhead=Bulkhead(clock))
    pool.shutdown()
    got = cache.get_or_fetch(KEY, MOMENT, Fetches())
    assert isinstance(got, Denial)
    assert got.reason is Reason.ISSUER_UNAVAILABLE


@pytest.mark.must(42)
def test_the_cache_is_bounded_in_entries_and_bytes(
    clock: FakeClock, executor: ThreadPoolExecutor
) -> None:
    cache = TokenCache(
        clock=clock,
        random=lambda: 0.5,
        executor=executor,
        bulkhead=Bulkhead(clock),
        entries=50,
        size=100_000,
    )
    for user in range(300):
        key = KEY.for_user(user.to_bytes(4), "t")
        cache.get_or_fetch(key, MOMENT, Fetches(_token("x" * (user * 20))))
        assert len(cache) <= 50
        assert cache.held <= 100_000


def test_renewal_ahead_of_time_touches_only_what_is_due(
    held: TokenCache, slow: FakeExecutor, clock: FakeClock
) -> None:
    fetch = Fetches()
    assert not held.renew(KEY, NOW, fetch)  # nobody used it yet
    held.get_or_fetch(KEY, Moment(NOW, 0.001), fetch)
    slow.run()
    assert not held.renew(KEY, NOW + 2999, fetch)
    assert held.renew(KEY, NOW + 3000, fetch)
    assert not held.renew(KEY, NOW + 3000, fetch)  # it is under way
    assert slow.run() == 1


@pytest.mark.parametrize(
    ("life", "hint", "random", "wanted"),
    [
        (3600.0, None, 0.0, 3240.0),
        (3600.0, None, 0.99, 2883.6),
        (86_400.0, 43_200.0, 0.0, 43_200.0),  # Entra's refresh_in
        (86_400.0, 43_200.0, 0.5, 38_880.0),
        (3600.0, 9000.0, 0.0, 3240.0),  # a hint beyond the end is none
    ],
)
def test_when_a_token_is_renewed(
    life: float, hint: float | None, random: float, wanted: float
) -> None:
    due = refresh_at(NOW, NOW + life, NOW + hint if hint else None, random)
    assert due - NOW == pytest.approx(wanted)


def test_the_next_attempt_is_jittered_and_lies_before_the_end() -> None:
    attempts = {next_attempt(NOW, NOW + 3600, None, random / 10) - NOW for random in range(10)}
    assert len(attempts) == 10
    assert min(attempts) == 5
    assert max(attempts) < 30
    assert next_attempt(NOW, NOW + 8, None, 0.9) < NOW + 8
    assert next_attempt(NOW, NOW + 3600, 60, 0.0) == NOW + 60


@pytest.mark.parametrize("reason", list(Reason))
def test_our_own_repair_shows_within_five_seconds(reason: Reason) -> None:
    longest = 10.0 if reason is Reason.INTERNAL_ERROR else 5.0
    assert remembered(reason, None) <= longest
    assert remembered(reason, 10**9) <= 300.0


@pytest.mark.must(45)
def test_a_token_shows_in_no_repr() -> None:
    assert "canary" not in repr(_token("canary"))


def test_a_wanted_token_is_fetched_before_anybody_asks_and_a_refusal_is_honoured(
    clock: FakeClock,
) -> None:
    executor = FakeExecutor()
    cache = TokenCache(clock=clock, random=lambda: 0.5, executor=executor, bulkhead=Bulkhead(clock))
    answers: list[Token | Denial] = [
        Denial(Reason.RATE_LIMITED, "later", retry_after=60),
        Token("token", NOW + 100, NOW + 90),
    ]

    def wanted() -> bool:
        began = cache.renew(KEY, clock.now, lambda: answers.pop(0), cold=True)
        executor.run()
        return began

    assert not cache.renew(KEY, NOW, lambda: answers.pop(0))  # nobody wants it
    assert wanted()
    assert [wanted() for _ in range(3)] == [False] * 3
    assert cache.in_hand(KEY, NOW) is None
    clock.now = NOW + 61
    assert wanted()
    token = cache.in_hand(KEY, clock.now)
    assert token is not None
    assert token.value == "token"
    assert cache.in_hand(KEY, NOW + 100) is None
