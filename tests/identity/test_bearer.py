"""One table for the one header (RFC 6750 §2.1)."""

import pytest

from agent.errors import Denial, Reason
from agent.identity.bearer import MAX_TOKEN, Bearers, one_bearer

MISSING, MALFORMED = Reason.MISSING_TOKEN, Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    assert one_bearer(f"{scheme} aaa.bbb.ccc") == "aaa.bbb.ccc"


@pytest.mark.must(14)
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, MISSING),
        ("", MISSING),
        ("Basic dXNlcjpwYXNz", MISSING),
        ("Negotiate abc", MISSING),
        ("Bearerabc", MISSING),
        ("aaa.bbb.ccc", MISSING),
        ("Bearer", MALFORMED),
        ("Bearer ", MALFORMED),
        ("Bearer  abc", MALFORMED),
        (" Bearer abc", MALFORMED),
        ("Bearer abc ", MALFORMED),
        ("Bearer abc def", MALFORMED),
        ("Bearer\tabc", MALFORMED),
        ("Bearer \tabc", MALFORMED),
        ("Bearer abc\tdef", MALFORMED),
        ("Bearer abc\n", MALFORMED),
        ("Bearer abc\x00", MALFORMED),
        ("Bearer A,Bearer B", MALFORMED),
        ("Bearer A, Bearer B", MALFORMED),
        ("Bearer A,", MALFORMED),
        ("Bearer ,A", MALFORMED),
        ("Bearer,Bearer A", MALFORMED),
        ("Bearer A,Basic B", MALFORMED),
        ("Bearer a\u00e9", MALFORMED),
        ("Bearer \uff21", MALFORMED),
        ("Bearer \ud800", MALFORMED),
        ("Bearer =abc", MALFORMED),
        ('Bearer "abc"', MALFORMED),
    ],
)
def test_anything_but_exactly_one_bearer_is_refused(header: str | None, reason: Reason) -> None:
    found = one_bearer(header)
    assert isinstance(found, Denial)
    assert found.reason is reason
    assert found.status == 401


@pytest.mark.must(13)
def test_a_token_may_have_16_kib_and_not_a_byte_more() -> None:
    assert one_bearer("Bearer " + "a" * MAX_TOKEN) == "a" * MAX_TOKEN
    denied = one_bearer("Bearer " + "a" * (MAX_TOKEN + 1))
    assert isinstance(denied, Denial)
    assert denied.reason is MALFORMED


def test_no_denial_repeats_what_was_sent() -> None:
    for header in ("Basic s3cret", "Bearer s3cret s3cret", "Bearer s3cret,"):
        found = one_bearer(header)
        assert isinstance(found, Denial)
        assert "s3cret" not in found.detail


HEADERS = [
    "Bearer abc",
    "bearer abc",
    "Bearer abc,Bearer abc",
    "Basic abc",
    "",
    "Bearer " + "a" * 5000,
]


def test_a_header_that_comes_again_reads_as_it_did_the_first_time() -> None:
    bearers = Bearers()
    for _ in range(3):
        assert [bearers.one(header) for header in HEADERS] == [one_bearer(h) for h in HEADERS]


@pytest.mark.must(42)
def test_of_endless_headers_few_are_kept() -> None:
    bearers = Bearers()
    for number in range(5000):
        bearers.one(f"Bearer {number}")
    assert len(bearers._read) <= 1024
