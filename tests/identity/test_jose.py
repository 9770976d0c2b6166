"""The form of a compact JWS and of its header (SECURITY.md 1, 4, 5, 13)."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Denial, Reason
from agent.identity.bearer import MAX_TOKEN
from agent.identity.jose import Header, Parsed, _known_header, base64url, parse


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(header: Any = None, claims: Any = None, signature: bytes = b"sig") -> str:
    parts = [json.dumps(part).encode() for part in (header or {"alg": "RS256"}, claims or {})]
    return ".".join(map(b64, [*parts, signature]))


GOOD = compact()
HEAD, BODY, SIGNATURE = GOOD.split(".")


def test_a_token_is_taken_apart() -> None:
    found = parse(compact({"alg": "RS256", "kid": "k", "typ": "JWT", "x5c": ["…"]}, {"iss": "i"}))
    assert isinstance(found, Parsed)
    assert found.header == Header("RS256", "k", "JWT")
    assert dict(found.claims) == {"iss": "i"}
    assert found.signature == b"sig"


@pytest.mark.must(1)
@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        HEAD,
        f"{HEAD}.{BODY}",
        f"{HEAD}.{BODY}.",
        f".{BODY}.{SIGNATURE}",
        f"{HEAD}..{SIGNATURE}",
        f"{GOOD}.",
        f"{GOOD}.{BODY}.{BODY}",
        f"{HEAD}.{BODY}=.{SIGNATURE}",
        f"{HEAD}=={GOOD[len(HEAD) :]}",
        f"{GOOD}=",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"{HEAD}\n.{BODY}.{SIGNATURE}",
        f"{HEAD}.{BODY}. {SIGNATURE}",
        f"{HEAD}.{BODY}.a",
        f"{HEAD}.{BODY}.a+b/",
        f"{HEAD}.{BODY}.\u00e9",
        f"{HEAD}.{BODY}.\uff21\uff21",
        f"{HEAD}.{BODY}.\ud800",
        f"{HEAD}.{BODY}.AB",
        f"{HEAD}.{BODY}.AAB",
        json.dumps({"payload": BODY, "signatures": [{"protected": HEAD, "signature": SIGNATURE}]}),
        json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}),
    ],
)
def test_only_the_compact_form_in_its_one_spelling_is_read(token: str) -> None:
    denied = parse(token)
    assert isinstance(denied, Denial)
    assert denied.reason is Reason.MALFORMED_TOKEN


@pytest.mark.must(1)
@pytest.mark.parametrize("last", "BCDEFGHIJKLMNOP")
def test_unused_trailing_bits_must_be_zero(last: str) -> None:
    assert base64url("AA") == b"\x00"
    assert base64url("A" + last) is None


@pytest.mark.must(4, 5)
@pytest.mark.parametrize(
    "members",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": None},
        {"b64": True},
        {"b64": False},
        {"crit": ["b64"], "b64": False},
        {"alg": None},
        {"alg": 1},
        {"alg": ["RS256"]},
        {"kid": 1},
        {"kid": None},
        {"kid": ["k"]},
        {"kid": {"a": 1}},
        {"typ": 1},
        {"typ": None},
        {"cty": 1},
    ],
)
def test_a_header_of_another_make_is_refused(members: dict[str, Any]) -> None:
    denied = parse(compact({"alg": "RS256"} | members))
    assert isinstance(denied, Denial)
    assert denied.reason is Reason.MALFORMED_TOKEN


def test_a_header_without_an_algorithm_is_refused() -> None:
    assert isinstance(parse(compact({"typ": "JWT"})), Denial)


@pytest.mark.must(6)
@pytest.mark.parametrize("raw", [b"[]", b'{"a":1,"a":2}', b'{"alg":"RS256","alg":"none"}', b"\xff"])
def test_header_and_claims_are_both_read_strictly(raw: bytes) -> None:
    assert isinstance(parse(f"{b64(raw)}.{BODY}.{SIGNATURE}"), Denial)
    assert isinstance(parse(f"{HEAD}.{b64(raw)}.{SIGNATURE}"), Denial)


@pytest.mark.must(13)
def test_16_kib_is_the_last_length_that_is_looked_at() -> None:
    unsigned = [compact(claims={"a": "x" * n}, signature=b"") for n in range(12_000, 12_004)]
    # no base64url text has 4n + 1 characters
    start = next(text for text in unsigned if (MAX_TOKEN - len(text)) % 4 != 1)
    longest = start + "A" * (MAX_TOKEN - len(start))
    assert isinstance(parse(longest), Parsed)
    longer = parse(longest + "A" * 4)
    assert isinstance(longer, Denial)
    assert longer.reason is Reason.MALFORMED_TOKEN


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_base64url_reads_back_what_was_written_and_nothing_else(raw: bytes) -> None:
    assert base64url(b64(raw)) == raw


BASE64URL = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", max_size=9)


@settings(max_examples=1000, deadline=None)
@given(st.text(max_size=12) | BASE64URL | BASE64URL.map("{}=".format) | st.text("AQw-_+/=\n"))
def test_a_text_is_read_exactly_when_writing_its_bytes_gives_it_back(text: str) -> None:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raw = b""
    assert base64url(text) == (raw if b64(raw) == text else None)


def test_a_header_means_the_same_each_time_that_it_comes() -> None:
    for members in ({"alg": "RS256", "kid": "k"}, {"alg": "RS256", "crit": []}, {"alg": 1}):
        token = compact(members, {"n": 1})
        assert parse(token) == parse(token)
        again = parse(compact(members, {"n": 2}))
        assert isinstance(again, type(parse(token)))


def test_headers_are_remembered_by_their_exact_text_and_not_by_what_they_mean() -> None:
    spaced = b64(b'{ "alg":"RS256"}')
    for head, expected in ((HEAD, Parsed), (spaced, Parsed), (HEAD[:-1] + "B", Denial)):
        for _ in range(2):
            assert isinstance(parse(f"{head}.{BODY}.{SIGNATURE}"), expected)


@pytest.mark.must(42)
def test_so_many_headers_are_remembered_and_no_long_ones() -> None:
    for n in range(2 * _known_header.cache_parameters()["maxsize"]):
        parse(compact({"alg": "RS256", "kid": str(n)}))
    held = _known_header.cache_info()
    assert held.currsize == held.maxsize == 256
    long = parse(compact({"alg": "RS256", "kid": "k" * 512}))
    assert isinstance(long, Parsed)
    assert _known_header.cache_info().misses == held.misses


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=100) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_no_text_breaks_the_parser(text: str) -> None:
    assert isinstance(parse(text), (Parsed, Denial))


def test_no_repr_shows_the_token() -> None:
    assert SIGNATURE not in repr(parse(GOOD))
    assert "secret-claim" not in repr(parse(compact(claims={"a": "secret-claim"})))
