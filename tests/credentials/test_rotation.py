"""The life of signing keys on a timeline."""

from __future__ import annotations

import pytest

from agent.credentials.rotation import Ring, RingKey, merge, published, signer

DELAY, LIFETIME, SKEW = 600.0, 300.0, 60.0


def _signs(ring: Ring, now: float) -> str | None:
    key = signer(ring, now, DELAY)
    return key.kid if key else None


def _shown(ring: Ring, now: float) -> set[str]:
    return {key.kid for key in published(ring, now, LIFETIME, SKEW)}


@pytest.mark.must(33)
def test_a_rotation_publishes_then_signs_then_retires() -> None:
    ring = merge((), {"old": ("1.pem", 0.0)}, now=10_000.0)
    both = {"old": ("1.pem", 0.0), "new": ("2.pem", 20_000.0)}
    ring = merge(ring, both, now=20_000.0)
    timeline = [(20_000.0, "old"), (20_599.0, "old"), (20_600.0, "new"), (30_000.0, "new")]
    assert [(at, _signs(ring, at)) for at, _ in timeline] == timeline
    ring = merge(ring, {"new": ("2.pem", 20_000.0)}, now=30_000.0)
    assert _signs(ring, 30_000.0) == "new"
    shown = [
        {key.kid for key in published(ring, at, LIFETIME, SKEW)} for at in (30_359.0, 30_360.0)
    ]
    assert shown == [{"old", "new"}, {"new"}]


@pytest.mark.must(33)
def test_every_key_that_signs_was_published_for_the_whole_delay_before() -> None:
    ring = merge((), {"a": ("a.pem", 0.0)}, 1_000.0)
    ring = merge(ring, {"a": ("a.pem", 0.0), "b": ("b.pem", 0.0)}, 5_000.0)
    ring = merge(ring, {x: (f"{x}.pem", 0.0) for x in "abc"}, 5_300.0)
    for at in range(5_300, 7_000):
        key = signer(ring, float(at), DELAY)
        assert key
        assert key.since + DELAY <= at


@pytest.mark.parametrize(
    ("ring", "now", "wanted"),
    [
        ((), 0.0, None),
        ((RingKey("young", "1", 0.0),), 1.0, "young"),  # somebody must sign
        ((RingKey("b", "2", 5.0), RingKey("a", "1", 3.0)), 10.0, "a"),  # none is old enough: oldest
        ((RingKey("b", "2", 5.0), RingKey("a", "1", 5.0)), 10.0, "a"),  # one mount time: by name
        ((RingKey("b", "2", 5.0), RingKey("a", "1", 5.0)), 605.0, "b"),
        ((RingKey("gone", "3", 9.0, 700.0), RingKey("a", "1", 5.0)), 800.0, "a"),
    ],
)
def test_which_key_signs(ring: Ring, now: float, wanted: str | None) -> None:
    assert _signs(ring, now) == wanted


def test_a_file_moved_in_with_an_old_time_does_not_sign_before_it_was_published() -> None:
    ring = merge((), {"first": ("1.pem", 9_000.0)}, 10_000.0)
    ring = merge(ring, {"first": ("1.pem", 9_000.0), "moved": ("2.pem", 1.0)}, 10_000.0)
    assert [_signs(ring, at) for at in (10_001.0, 10_599.0, 10_600.0)] == [
        "first",
        "first",
        "moved",
    ]


def test_a_mounted_secret_that_gives_all_files_a_new_time_changes_nothing() -> None:
    ring = merge((), {"first": ("1.pem", 0.0)}, 10_000.0)
    ring = merge(ring, {"first": ("1.pem", 20_000.0), "second": ("2.pem", 20_000.0)}, 20_000.0)
    assert _signs(ring, 20_001.0) == "first"


def test_an_empty_folder_takes_no_key_away() -> None:
    ring = merge((), {"only": ("1.pem", 0.0)}, 10.0)
    assert merge(ring, {}, 20.0) == ring


def test_a_key_that_comes_back_while_still_published_keeps_its_age() -> None:
    ring = merge((), {"a": ("a", 0.0), "b": ("b", 5.0)}, 10.0)
    ring = merge(ring, {"a": ("a", 0.0)}, 700.0)
    ring = merge(ring, {"a": ("a", 0.0), "b": ("b", 5.0)}, 710.0)
    assert _signs(ring, 711.0) == "b"
