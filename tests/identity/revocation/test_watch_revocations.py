"""What the list says of a token, and what is left of it when its source or the process goes."""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.config.revocation import Revocation
from agent.errors import Denial, Reason
from agent.identity.fetch import Fetcher
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified
from agent.identity.revocation.entry import Entry
from agent.identity.revocation.snapshot import Snapshot
from agent.identity.revocation.state import CONFIRM, Fresh, Look, Same, Trouble
from agent.identity.revocation.watch import RevocationWatch

ANN = Fresh({"1": Entry(subject="ann")}, version=4)


class FakeSource:
    """Gives what it was told to; remembers what it was to take up."""

    interval = 60.0

    def __init__(self, name: str = "S") -> None:
        self.name = name
        self.next: Look = ANN
        self.resumed: list[tuple[dict[str, Entry], int]] = []

    def look(self, ticks: float) -> Look:
        return self.next

    def resume(self, by_id: Mapping[str, Entry], version: int) -> None:
        self.resumed.append((dict(by_id), version))

    def close(self) -> None: ...


class World:
    """A watch over a fake source, with a clock that stands still until it is moved."""

    def __init__(self, folder: Path, **rules: Any) -> None:
        self.now = 1000.0
        self.hits: list[str] = []
        self.file = folder / "snapshot.json"
        self.rules = Revocation.model_validate({"file": "/x", **rules})

    def watch(self, source: FakeSource, snapshot: bool = True) -> RevocationWatch:
        kept = Snapshot(self.file, Fetcher()) if snapshot else None
        clock = lambda: self.now  # noqa: E731
        return RevocationWatch(self.rules, source, kept, clock, clock, self.hits.append)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def token(subject: str) -> Verified:
    claims = {"sub": subject, "iat": 500}
    principal = Principal(
        Kind.USER, subject, "", "https://i", "i", IssuerKind.OIDC, "c",
        frozenset(), frozenset(), 2000.0, claims,
    )  # fmt: skip
    return Verified(RawToken("t"), b"h", principal, "k", 0.0)


def answers(watch: RevocationWatch, now: float = 1000.0) -> dict[str, str]:
    said = {who: watch.denial(token(who), now) for who in ("ann", "bob")}
    return {
        who: denial.reason.value if isinstance(denial, Denial) else "allow"
        for who, denial in said.items()
    }


WITH_LIST = {"ann": "revoked", "bob": "allow"}
WITHOUT = {"ann": "issuer_unavailable", "bob": "issuer_unavailable"}


def test_before_the_first_list_nobody_with_a_token_is_admitted(world: World) -> None:
    watch = world.watch(source := FakeSource())
    assert answers(watch) == WITHOUT
    source.next = Trouble("not there", lasting=True)
    watch.tick()
    assert answers(watch) == WITHOUT
    denial = watch.denial(token("bob"), 1000.0)
    assert denial is not None
    assert (denial.status, denial.retry_after) == (503, 2)
    assert "not there" in watch.standing().missing[0]
    source.next = ANN
    watch.tick()
    assert answers(watch) == WITH_LIST
    assert watch.standing().missing == watch.standing().degraded == ()


def test_a_revoked_token_is_refused_with_a_challenge_and_counted_by_its_selector(
    world: World,
) -> None:
    watch = world.watch(FakeSource())
    watch.tick()
    denial = watch.denial(token("ann"), 1000.0)
    assert denial is not None
    assert (denial.reason, denial.status) == (Reason.REVOKED, 401)
    assert world.hits == ["subject"]


def test_a_lost_source_leaves_the_last_list_and_its_return_is_taken_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    watch = world.watch(source := FakeSource())
    watch.tick()
    source.next = Trouble("Redis is away")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            world.now += 2.0
            watch.tick()
        assert answers(watch) == WITH_LIST
        assert "Redis is away" in watch.standing().degraded[0]
        status = watch.status()
        assert (status["up"], status["ageSeconds"], status["entries"]) == (False, 6.0, 1)
        source.next = Fresh({})
        watch.tick()
    assert answers(watch) == {"ann": "allow", "bob": "allow"}
    assert caplog.text.count("Redis is away") == 1
    assert caplog.text.count("answers again") == 1


def test_a_list_older_than_max_age_admits_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, maxAge="30s")
    watch = world.watch(source := FakeSource())
    watch.tick()
    source.next = Trouble("away")
    watch.tick()
    assert answers(watch, 1029.9) == WITH_LIST
    assert answers(watch, 1030.0) == WITHOUT


def test_a_restart_without_the_source_begins_with_the_snapshot(world: World) -> None:
    before = world.watch(FakeSource())
    before.tick()
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600

    world.now += 100.0
    source = FakeSource()
    source.next = Trouble("Redis is away")
    again = world.watch(source)
    again.start()
    assert again.wait_looked(30)
    assert answers(again) == WITH_LIST
    assert source.resumed == [(dict(ANN.by_id), 4)]
    status = again.status()
    assert (status["fromSnapshot"], status["ageSeconds"]) == (True, 100.0)
    assert "last known list of 1 entries" in again.standing().degraded[0]
    again.stop()


@pytest.mark.must(35)
@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"source":"S","version":1,"confirmedAt":1,"entries":{"1":{}}}']
)
def test_a_broken_snapshot_is_no_list(world: World, content: str) -> None:
    world.file.write_text(content)
    source = FakeSource()
    source.next = Trouble("away")
    watch = world.watch(source)
    watch.start()
    assert watch.wait_looked(30)
    assert answers(watch) == WITHOUT
    watch.stop()


def test_the_snapshot_of_another_source_is_not_used(world: World) -> None:
    world.watch(FakeSource("other")).tick()
    source = FakeSource()
    source.next = Trouble("away")
    watch = world.watch(source)
    watch.start()
    assert watch.wait_looked(30)
    assert answers(watch) == WITHOUT
    watch.stop()


def test_the_snapshot_follows_the_list_and_is_confirmed_now_and_then(world: World) -> None:
    watch = world.watch(source := FakeSource())
    watch.tick()
    first = world.file.read_bytes()
    source.next = Same()
    world.now += CONFIRM - 1
    watch.tick()
    assert world.file.read_bytes() == first
    world.now += 1
    watch.tick()
    assert b'"confirmedAt":1060.0' in world.file.read_bytes()
    source.next = Fresh({"2": Entry(subject="bob")})
    watch.tick()
    assert b"bob" in world.file.read_bytes()
    assert b"ann" not in world.file.read_bytes()


def test_a_snapshot_that_cannot_be_written_is_said_and_stops_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.file = tmp_path / "absent" / "snapshot.json"
    watch = world.watch(FakeSource())
    watch.tick()
    assert answers(watch) == WITH_LIST
    assert "make its folder writable" in watch.standing().degraded[0]
    assert watch.status()["warnings"]


def test_a_new_source_that_is_silent_admits_nobody_again(world: World) -> None:
    old = world.watch(FakeSource())
    old.tick()
    source = FakeSource("another")
    source.next = Trouble("away")
    new = world.watch(source)
    new.inherit(old)
    new.tick()
    assert answers(new) == WITH_LIST
    assert source.resumed == []
    source.next = Fresh({})
    new.tick()
    assert answers(new) == {"ann": "allow", "bob": "allow"}


def test_a_cut_for_everybody_is_loud(world: World, caplog: pytest.LogCaptureFixture) -> None:
    watch = world.watch(source := FakeSource())
    source.next = Fresh({"1": Entry(issued_before=600.0)})
    with caplog.at_level(logging.WARNING):
        watch.tick()
        watch.tick()
    assert caplog.text.count("EVERY token issued before 1970-01-01T00:10:00Z") == 1
    assert answers(watch) == {"ann": "revoked", "bob": "revoked"}
