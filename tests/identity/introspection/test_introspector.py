"""Opaque tokens: asked once, believed briefly, and a bad endpoint holds nobody up."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from typing import Any

import pytest

from agent.config.issuers import Introspection
from agent.errors import Denial, Reason
from agent.identity.introspection import introspector as module
from agent.identity.introspection.answer import Trouble
from agent.identity.introspection.introspector import Introspector
from agent.identity.issuers.introspection import IntrospectionIssuer
from agent.identity.principal import RawToken, Verified
from agent.moment import Moment

NOW = 1_800_000_000.0
CONFIG = {
    "url": "https://as.example/introspect",
    "clientId": "task-api",
    "secretFile": "/secret",
    "audiences": ["orders"],
}


class Subject:
    """An introspector over a `FakeEndpoint`, at a time that the test sets."""

    def __init__(self, endpoint: Any, config: dict[str, Any], **options: Any) -> None:
        self.now = NOW
        entry = IntrospectionIssuer("as", Introspection.model_validate(CONFIG | config), 60.0)
        settings = {"max_tokens": 100, "most_waiting": 1000, "chance": lambda: 1.0} | options
        self.it = Introspector(entry, endpoint, lambda: self.now, **settings)

    def verify(self, token: str, deadline: float = 30.0) -> Verified | Denial:
        digest = hashlib.sha256(token.encode()).digest()
        held = self.it.held(digest, self.now)
        return held or self.it.verify(RawToken(token), digest, Moment(self.now, deadline))


@pytest.fixture
def make(endpoint: Any) -> Any:
    return lambda config=(), **options: Subject(endpoint, dict(config), **options)


def at_once(*calls: Any) -> list[Any]:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda c=call: found.append(c())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == len(calls)
    return found


def test_a_good_token_is_asked_about_once_in_the_cache_time(make: Any, endpoint: Any) -> None:
    endpoint.says("good")
    subject = make()
    for _ in range(3):
        found = subject.verify("good")
        assert isinstance(found, Verified)
        assert found.principal.subject == "alice"
        assert found.token_hash == hashlib.sha256(b"good").digest()
    assert endpoint.asked == ["good"]
    subject.now += 59.9
    assert isinstance(subject.verify("good"), Verified)
    subject.now += 0.1
    assert isinstance(subject.verify("good"), Verified)
    assert endpoint.asked == ["good"] * 2


def test_the_cache_ends_when_the_token_does(make: Any, endpoint: Any) -> None:
    endpoint.says("brief", exp=NOW + 20)
    subject = make()
    assert isinstance(subject.verify("brief"), Verified)
    subject.now += 20
    subject.verify("brief")
    assert len(endpoint.asked) == 2
    subject.now += 60  # the skew is over too: whatever the server says
    found = subject.verify("brief")
    assert isinstance(found, Denial)
    assert found.reason is Reason.EXPIRED_TOKEN


def test_a_revoked_token_is_refused_after_the_cache_time(make: Any, endpoint: Any) -> None:
    endpoint.says("good")
    subject = make({"cache": "10s"})
    assert isinstance(subject.verify("good"), Verified)
    del endpoint.answers["good"]
    subject.now += 9
    assert isinstance(subject.verify("good"), Verified)
    subject.now += 1
    found = subject.verify("good")
    assert isinstance(found, Denial)
    assert found.reason is Reason.INVALID_TOKEN
    assert subject.it.knows(hashlib.sha256(b"good").digest())  # still not for strangers' eyes


def test_a_denial_is_remembered_for_seconds(make: Any, endpoint: Any) -> None:
    subject = make()
    for _ in range(5):
        found = subject.verify("bad")
        assert isinstance(found, Denial)
        assert (found.reason, found.status) == (Reason.INVALID_TOKEN, 401)
    assert endpoint.asked == ["bad"]
    endpoint.says("bad")
    subject.now += 5
    assert isinstance(subject.verify("bad"), Verified)


@pytest.mark.must(42)
def test_garbage_pushes_no_good_token_out(
    make: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_DENIED", 10)
    endpoint.says("good")
    subject = make(max_tokens=100)
    subject.verify("good")
    for number in range(200):
        assert isinstance(subject.verify(f"bad-{number}"), Denial)
    assert len(subject.it._bad) == 10
    endpoint.asked.clear()
    assert isinstance(subject.verify("good"), Verified)
    assert endpoint.asked == []


@pytest.mark.must(41)
def test_many_callers_of_one_token_ask_once(make: Any, endpoint: Any, gate: Any) -> None:
    endpoint.hangs("good", gate)
    subject = make()
    threading.Timer(0.05, gate.set).start()
    found = at_once(*[lambda: subject.verify("good")] * 100)
    assert all(isinstance(each, Verified) for each in found)
    assert endpoint.asked == ["good"]


@pytest.mark.must(17, 39)
def test_who_waits_gives_up_at_the_deadline_and_the_answer_serves_the_next(
    make: Any, endpoint: Any, gate: Any, settled: Any
) -> None:
    endpoint.hangs("slow", gate)
    subject = make()
    found = subject.verify("slow", deadline=0.1)
    assert isinstance(found, Denial)
    assert (found.reason, found.status, found.retry_after) == (Reason.ISSUER_UNAVAILABLE, 503, 1)
    gate.set()
    digest = hashlib.sha256(b"slow").digest()
    settled(lambda: subject.it.held(digest, subject.now) is not None)
    assert isinstance(subject.verify("slow"), Verified)
    assert endpoint.asked == ["slow"]


@pytest.mark.must(38)
def test_an_endpoint_that_hangs_delays_no_hit_and_holds_a_bounded_crowd(
    make: Any, endpoint: Any, gate: Any, settled: Any
) -> None:
    endpoint.says("good")
    subject = make(most_waiting=40)
    subject.verify("good")
    for number in range(60):
        endpoint.hangs(f"slow-{number}", gate)
    crowd = [
        threading.Thread(target=subject.verify, args=(f"slow-{number}",)) for number in range(40)
    ]
    for thread in crowd:
        thread.start()
    settled(lambda: subject.it._waiters == 40)
    assert len(endpoint.asked) <= 33  # 32 at a time, and the good one
    assert isinstance(subject.verify("good", deadline=0.0), Verified)
    found = subject.verify("slow-50")  # has no place to wait: answered at once
    assert isinstance(found, Denial)
    assert found.reason is Reason.ISSUER_UNAVAILABLE
    gate.set()
    for thread in crowd:
        thread.join(30)
    assert subject.it._waiters == 0
    assert not subject.it._flights


@pytest.mark.must(42)
def test_what_nobody_waits_for_any_more_is_not_asked(
    make: Any, endpoint: Any, gate: Any, settled: Any
) -> None:
    subject = make()
    for number in range(32):
        endpoint.hangs(f"slow-{number}", gate)
        threading.Thread(target=subject.verify, args=(f"slow-{number}",)).start()
    settled(lambda: len(endpoint.asked) == 32)
    for number in range(50):
        subject.verify(f"late-{number}", deadline=0.0)
    assert not subject.it._queue
    assert len(subject.it._flights) == 32
    gate.set()
    settled(lambda: not subject.it._flights)
    assert len(endpoint.asked) == 32


def test_a_thread_that_must_not_wait_does_not(endpoint: Any) -> None:
    @contextmanager
    def full() -> Any:
        yield False

    endpoint.says("good")
    subject = Subject(endpoint, {}, waiting=full)
    found = subject.verify("good")
    assert isinstance(found, Denial)
    assert found.reason is Reason.ISSUER_UNAVAILABLE


@pytest.mark.must(38)
@pytest.mark.parametrize(
    ("trouble", "seconds"),
    [
        (Trouble("refused us", stop=True), 2),
        (Trouble("limits us", stop=True, retry_after=30), 30),
    ],
    ids=["secret", "429"],
)
def test_what_stops_it_is_503_with_retry_after_for_new_tokens_and_nothing_for_known_ones(
    make: Any, endpoint: Any, trouble: Trouble, seconds: int, caplog: Any
) -> None:
    endpoint.says("good")
    endpoint.answers["new"] = trouble
    subject = make()
    subject.verify("good")
    for _ in range(3):
        found = subject.verify("new")
        assert isinstance(found, Denial)
        assert (found.status, found.retry_after) == (503, seconds)  # never 401
    assert endpoint.asked == ["good", "new"]  # once, then the pause
    assert isinstance(subject.verify("good"), Verified)
    assert len([line for line in caplog.records if line.levelname == "ERROR"]) == 1
    assert subject.it.status()["error"] == trouble.sentence
    assert not subject.it.status()["usable"]
    endpoint.says("new")
    subject.now += seconds
    assert isinstance(subject.verify("new"), Verified)
    assert subject.it.status()["error"] is None


@pytest.mark.must(38)
def test_a_server_that_stumbles_over_one_token_is_there_for_the_others(
    make: Any, endpoint: Any
) -> None:
    endpoint.says("good", exp=NOW + 300)
    endpoint.answers["poison"] = Trouble("answered 500")
    subject = make({"cache": "1s"})
    for _ in range(20):
        assert isinstance(subject.verify("poison"), Denial)
        assert isinstance(subject.verify("good"), Verified)
        subject.now += 1


def test_a_question_that_breaks_is_an_answer_too(make: Any, endpoint: Any) -> None:
    def broken() -> Any:
        raise RuntimeError("a bug")

    endpoint.answers["x"] = broken
    found = make().verify("x")
    assert isinstance(found, Denial)
    assert found.reason is Reason.ISSUER_UNAVAILABLE


def test_without_its_secret_it_is_not_ready(make: Any, endpoint: Any) -> None:
    subject = make()
    assert subject.it.missing() == []
    endpoint.why_not = "the secret file /secret cannot be read"
    assert subject.it.missing() == ["issuer 'as': the secret file /secret cannot be read"]


@pytest.mark.must(45)
def test_no_log_line_and_no_status_holds_a_token(make: Any, endpoint: Any, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    endpoint.says("canary-good")
    endpoint.answers["canary-odd"] = Trouble("odd")
    subject = make()
    shown = [repr(subject.verify(token)) for token in ("canary-good", "canary-odd", "canary-no")]
    assert "canary" not in caplog.text + "".join(shown) + str(subject.it.status())


def test_who_gave_up_takes_nobodys_later_question_along(
    make: Any, endpoint: Any, gate: Any, settled: Any
) -> None:
    """A question that trouble ended, and a new one about the same token, are two."""
    subject = make()
    for number in range(32):
        endpoint.hangs(f"slow-{number}", gate)
        threading.Thread(target=subject.verify, args=(f"slow-{number}",)).start()
    settled(lambda: len(endpoint.asked) == 32)
    digest = hashlib.sha256(b"twice").digest()
    first = threading.Thread(target=subject.verify, args=("twice",))
    first.start()
    settled(lambda: digest in subject.it._queue)
    old = subject.it._queue[digest]
    with subject.it._lock:
        new = type(old)(old.token, digest, waiters=1)
        subject.it._queue[digest] = subject.it._flights[digest] = new
        old.done.set()
    first.join(30)
    assert subject.it._queue[digest] is new
    gate.set()
    settled(new.done.is_set)
