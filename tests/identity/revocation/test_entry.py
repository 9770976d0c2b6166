"""What may an entry say, and what is refused with a remedy? Row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.identity.revocation.entry import Entry, Mistake, read_entry, time_of, written

TIMES: list[tuple[object, float | None]] = [
    ("1970-01-01T00:00:10Z", 10.0),
    ("1970-01-01t01:00:10+01:00", 10.0),
    ("1970-01-01 00:00:10.25Z", 10.25),
    (10, 10.0),
    (10.5, 10.5),
    ("2026-11-21T10:00:00", None),  # which zone?
    ("2026-11-21", None),
    ("20261121T100000Z", None),
    ("2026-02-30T10:00:00Z", None),
    ("2026-11-21T10:00:60Z", None),
    ("1969-12-31T23:59:59Z", None),
    ("10", None),
    (True, None),
    (-1, None),
    (float("nan"), None),
    (1_795_000_000_000, None),  # milliseconds
    (None, None),
]


@pytest.mark.parametrize(("said", "seconds"), TIMES, ids=[repr(said) for said, _ in TIMES])
def test_a_time_names_its_zone(said: object, seconds: float | None) -> None:
    assert time_of(said) == seconds


# what is written → member that is named, part of what is said
REFUSED: list[tuple[object, str, str]] = [
    ("j1", "", "mapping"),
    (None, "", "mapping"),
    ({}, "", "without a selector would revoke everything"),
    ({"note": "x"}, "", "without a selector"),
    ({"until": 99}, "", "without a selector"),
    ({"issuer": "https://a"}, "issuer", "issuedBefore"),
    ({"subjct": "a"}, "subjct", "tokenId, session, subject"),
    ({"subject": 7}, "subject", "quotes"),
    ({"subject": ""}, "subject", "empty"),
    ({"subject": None}, "subject", "text"),
    ({"subject": ["a"]}, "subject", "text"),
    ({"subject": "a\nb"}, "subject", "control character"),
    ({"subject": "a" * 2049}, "subject", "2048"),
    ({"subject": "a", "issuedBefore": "yesterday"}, "issuedBefore", "2026-11-21T10:00:00Z"),
    ({"subject": "a", "until": True}, "until", "zone"),
]


@pytest.mark.parametrize(("said", "member", "part"), REFUSED, ids=[repr(r[0]) for r in REFUSED])
def test_what_is_no_entry_is_refused_with_a_remedy(said: object, member: str, part: str) -> None:
    mistake = read_entry(said)
    assert isinstance(mistake, Mistake)
    assert mistake.member == member
    assert part in str(mistake)
    assert mistake.reason
    assert mistake.remedy


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@settings(deadline=None)
@given(
    st.builds(
        Entry,
        token_id=st.just("") | TEXT,
        session=st.just("") | TEXT,
        subject=TEXT,
        tenant=st.just("") | TEXT,
        issuer=st.just("") | TEXT,
        issued_before=st.none() | st.integers(0, 4_000_000_000).map(float),
        until=st.none() | st.integers(0, 4_000_000_000).map(float),
        note=st.just("") | TEXT,
    )
)
def test_what_is_written_reads_back_as_the_same_entry(entry: Entry) -> None:
    assert read_entry(written(entry)) == entry


def test_an_entry_is_named_by_what_it_revokes_and_not_by_its_note() -> None:
    one = Entry(subject="a", tenant="t")
    assert one.id == Entry(subject="a", tenant="t", note="left", until=9.0).id
    others: list[dict[str, Any]] = [{"subject": "b"}, {"client": "a"}, {"issued_before": 9.0}]
    assert len({one.id, *(Entry(**other).id for other in others)}) == 4


def test_the_label_of_a_metric_is_a_word_of_ours() -> None:
    assert Entry(token_id="x", subject="y").kind == "tokenId"
    assert Entry(tenant="x", issued_before=1.0).kind == "tenant"
    assert Entry(issuer="x", issued_before=1.0).kind == "issuedBefore"
