"""When a document is due and what is kept of it (SECURITY.md 34, 35, 38)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.identity.issuers.document import Document, Loaded
from agent.identity.keys import KeySet, read_keys
from agent.identity.sources import (
    FILE_PACE,
    Pace,
    State,
    due,
    failed,
    load,
    may_ask,
    succeeded,
    usable,
)
from agent.identity.unusable import Unusable

NOW, HOUR, DAY = 1_000_000.0, 3600.0, 86_400.0
PACE = Pace()
WHY = Unusable("it answered 500")
ISS = "https://op.example"
DISCOVERY = f"{ISS}/.well-known/openid-configuration"
DOCUMENT = Document(group="", algorithms=("RS256", "ES256"), discovery=(DISCOVERY,), issuer=ISS)


def loaded(ring: Any, *names: str) -> Loaded:
    keys = read_keys(ring.jwks(*names), ("RS256", "ES256"))
    assert isinstance(keys, KeySet)
    return Loaded(ISS, keys)


def test_everything_is_due_at_first_and_then_every_hour(ring: Any) -> None:
    assert due(State(), NOW)
    for chance in (0.0, 0.5, 0.999):
        state = succeeded(State(), loaded(ring, "rsa"), NOW, PACE, chance)
        assert not due(state, NOW + 0.9 * HOUR - 1)
        assert due(state, NOW + HOUR)


@pytest.mark.must(38)
def test_many_agents_do_not_come_back_in_step(ring: Any) -> None:
    keys = loaded(ring, "rsa")
    times = {succeeded(State(), keys, NOW, PACE, n / 10).next_due for n in range(10)}
    assert len(times) == 10


@pytest.mark.must(38)
@pytest.mark.parametrize(
    ("failures", "chance", "pause"),
    [
        (0, 0.0, 1),
        (0, 1.0, 2),
        (1, 1.0, 4),
        (3, 1.0, 16),
        (3, 0.5, 8),
        (7, 1.0, 256),
        (8, 1.0, 300),
        (8, 0.0, 1),
        (10_000, 1.0, 300),
    ],
)
def test_the_pause_after_failures_grows_with_full_jitter(
    failures: int, chance: float, pause: float
) -> None:
    state = failed(State(failures=failures), WHY, NOW, PACE, chance)
    assert state.next_due - NOW == pause
    assert (state.failures, state.error) == (failures + 1, WHY.sentence)


@pytest.mark.must(38)
@pytest.mark.parametrize(("asked", "pause"), [(0, 1), (90, 90), (10**8, HOUR)])
def test_a_servers_wish_is_honoured_within_reason(asked: float, pause: float) -> None:
    state = failed(State(), Unusable("429", retry_after=asked), NOW, PACE, 0.0)
    assert state.next_due - NOW == pause


@pytest.mark.must(35)
def test_a_failure_keeps_the_last_good_keys_for_a_day(ring: Any) -> None:
    good = succeeded(State(), loaded(ring, "rsa"), NOW, PACE, 0)
    state = good
    for hour in range(1, 24):
        state = failed(state, WHY, NOW + hour * HOUR, PACE, 0.5)
        assert usable(state, NOW + hour * HOUR, PACE) is good.loaded
    assert state.generation == good.generation
    assert usable(state, NOW + DAY - 1, PACE) is good.loaded
    assert usable(state, NOW + DAY, PACE) is None
    again = succeeded(state, loaded(ring, "rsa"), NOW + DAY, PACE, 0)
    assert usable(again, NOW + DAY, PACE) is not None
    assert (again.failures, again.error) == (0, "")


@pytest.mark.must(35)
def test_before_the_first_success_there_are_no_keys() -> None:
    assert usable(State(), NOW, PACE) is None
    assert usable(failed(State(), WHY, NOW, PACE, 0), NOW, PACE) is None


@pytest.mark.must(34)
@pytest.mark.parametrize(
    ("asked_at", "now", "may"),
    [
        (None, NOW, True),
        (NOW, NOW, False),
        (NOW, NOW + 299, False),
        (NOW, NOW + 300, True),
        (NOW + 10, NOW, True),  # the clock was set back
    ],
)
def test_unknown_key_ids_cause_one_fetch_per_cool_down(
    asked_at: float | None, now: float, may: bool
) -> None:
    assert may_ask(State(asked_at=asked_at), now, PACE) is may


@pytest.mark.must(34)
def test_neither_refresh_uses_up_the_turns_of_the_other(ring: Any) -> None:
    refreshed = succeeded(State(), loaded(ring, "rsa"), NOW, PACE, 0)
    assert may_ask(refreshed, NOW, PACE)
    asked = replace(refreshed, asked_at=NOW + HOUR)
    assert due(asked, NOW + HOUR)
    assert failed(asked, WHY, NOW + HOUR, PACE, 0.5).asked_at == NOW + HOUR


def test_a_clock_that_was_set_back_does_not_stop_the_refresh(ring: Any) -> None:
    state = succeeded(State(), loaded(ring, "rsa"), NOW, PACE, 0)
    assert due(state, NOW - DAY)


def test_the_generation_counts_changes_and_not_fetches(ring: Any) -> None:
    one = succeeded(State(), loaded(ring, "rsa"), NOW, PACE, 0)
    same = succeeded(one, loaded(ring, "rsa"), NOW + 1, PACE, 0)
    other = succeeded(same, loaded(ring, "rsa", "ec256"), NOW + 2, PACE, 0)
    assert (one.generation, same.generation, other.generation) == (1, 1, 2)
    assert same.loaded is one.loaded


def test_a_file_is_looked_at_every_two_seconds(ring: Any) -> None:
    good = succeeded(State(), loaded(ring, "rsa"), NOW, FILE_PACE, 0)
    assert due(good, NOW + 2)
    assert due(failed(replace(good, failures=50), WHY, NOW, FILE_PACE, 1.0), NOW + 2)


def fetching(documents: dict[str, bytes]) -> Any:
    def fetch(location: str | Path, ca_file: Path | None) -> bytes | Unusable:
        return documents.get(str(location), Unusable(f"{location} answered 404"))

    return fetch


def discovery(**said: Any) -> bytes:
    return json.dumps({"issuer": ISS, "jwks_uri": f"{ISS}/keys"} | said).encode()


def test_keys_are_found_by_way_of_discovery(ring: Any) -> None:
    web = {DISCOVERY: discovery(cloud_instance_name="c"), f"{ISS}/keys": ring.jwks("rsa")}
    found = load(DOCUMENT, fetching(web))
    assert isinstance(found, Loaded)
    assert (found.issuer, found.cloud_instance_name, set(found.keys.keys)) == (ISS, "c", {"rsa"})


@pytest.mark.must(32, 35)
@pytest.mark.parametrize(
    ("web", "why"),
    [
        ({}, "404"),
        ({DISCOVERY: discovery()}, "404"),
        ({DISCOVERY: b"<html>"}, "discovery document"),
        ({DISCOVERY: discovery(issuer="https://evil.example")}, "names the issuer"),
        ({DISCOVERY: discovery(jwks_uri="http://op.example/k")}, "plain http"),
        ({DISCOVERY: discovery(), f"{ISS}/keys": b""}, "keys document"),
        ({DISCOVERY: discovery(), f"{ISS}/keys": b"<html>"}, "keys document"),
        ({DISCOVERY: discovery(), f"{ISS}/keys": b'{"keys":[]}'}, "no usable key"),
    ],
)
def test_any_link_that_breaks_gives_a_reason(web: dict[str, bytes], why: str) -> None:
    found = load(DOCUMENT, fetching(web))
    assert isinstance(found, Unusable)
    assert why in found.sentence


def test_the_second_address_serves_where_the_first_is_missing(ring: Any) -> None:
    document = replace(DOCUMENT, discovery=("https://gone.example/x", DISCOVERY))
    web = {DISCOVERY: discovery(), f"{ISS}/keys": ring.jwks("rsa")}
    assert isinstance(load(document, fetching(web)), Loaded)
    assert isinstance(load(document, fetching({})), Unusable)


def test_keys_without_discovery_come_from_a_url_or_a_file(ring: Any) -> None:
    web = {"https://a.example/jwks": ring.jwks("rsa"), "/trust/jwks.json": ring.jwks("ec256")}
    url = Document(group="", algorithms=("RS256",), keys="https://a.example/jwks")
    file = Document(group="", algorithms=("ES256",), file=Path("/trust/jwks.json"))
    for document, kid in ((url, "rsa"), (file, "ec256")):
        found = load(document, fetching(web))
        assert isinstance(found, Loaded)
        assert set(found.keys.keys) == {kid}
