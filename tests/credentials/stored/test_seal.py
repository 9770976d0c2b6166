"""Can a stored token be read without the key, changed, or put under another name?"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from agent.credentials.stored.record import Access, Attempt, NotARecord, Record, read, written
from agent.credentials.stored.seal import Seal, Unsealable

TOKEN = "canary-refresh-token"
RECORD = Record(
    "https://crm.example",
    "us",
    TOKEN,
    1.0,
    2.0,
    3,
    attempt=Attempt("ab", "n", 4.0, 2),
    access=Access("canary-access", 5.0, 6.0),
    ended="lost",
    idle_lifetime=7.0,
    seeds=("s",),
)


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(key() + "\n")
    return file


def test_a_record_comes_back_as_it_was(key_file: Path) -> None:
    seal = Seal(key_file, "crm", os.urandom)
    sealed = seal.closed(written(RECORD))
    assert read(seal.opened(sealed)) == RECORD
    assert TOKEN.encode() not in sealed
    assert seal.closed(written(RECORD)) != sealed  # a nonce of its own
    assert TOKEN not in repr(RECORD)
    assert "canary-access" not in repr(RECORD)


@pytest.mark.parametrize("form", [str.upper, str.lower])
def test_a_key_may_be_hexadecimal(tmp_path: Path, form: object) -> None:
    file = tmp_path / "key"
    file.write_text(f"# made in November\n\n{form(os.urandom(32).hex())}\n")  # type: ignore[operator]
    seal = Seal(file, "crm", os.urandom)
    assert seal.opened(seal.closed(b"x")) == b"x"


def test_keys_are_changed_by_a_line_before_the_old_one(key_file: Path) -> None:
    seal = Seal(key_file, "crm", os.urandom)
    old = seal.closed(b"old")
    former = key_file.read_text()
    key_file.write_text(key() + "\n" + former)
    assert seal.opened(old) == b"old"
    new = seal.closed(b"new")
    key_file.write_text(key_file.read_text().splitlines()[0])
    assert seal.opened(new) == b"new"
    with pytest.raises(Unsealable, match="add that key as a further line"):
        seal.opened(old)


def test_what_was_changed_or_moved_is_not_opened(key_file: Path) -> None:
    seal = Seal(key_file, "crm", os.urandom)
    sealed = seal.closed(b"content")
    for at in (0, 20, 30, len(sealed) - 1):
        broken = bytearray(sealed)
        broken[at] ^= 1
        with pytest.raises(Unsealable):
            seal.opened(bytes(broken))
    with pytest.raises(Unsealable, match="another name"):
        Seal(key_file, "erp", os.urandom).opened(sealed)
    for short in (b"", b"{}", sealed[:40]):
        with pytest.raises(Unsealable, match="was not written by an agent"):
            seal.opened(short)


@pytest.mark.parametrize("text", ["", "\n# only words\n", "too-short", "c2hvcnQ=", "é"])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(Unsealable, match="openssl rand -base64 32") as refused:
        Seal(file, "crm", os.urandom).closed(b"x")
    assert "short" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        written(RECORD).replace(b'"version":1', b'"version":2'),
        written(RECORD).replace(b'"used_at":2.0', b'"used_at":NaN'),
        written(RECORD).replace(b'"used_at":2.0', b'"used_at":-1'),
        written(RECORD).replace(b'"used_at":2.0', b'"used_at":true'),
        written(RECORD).replace(b'"tries":2', b'"tries":"2"'),
        written(RECORD).replace(TOKEN.encode(), b""),
        written(RECORD).replace(b'["s"]', b'{"s":1}'),
        b"x" * 300_000,
    ],
)
def test_what_is_no_record_is_not_taken_for_one(content: bytes) -> None:
    with pytest.raises(NotARecord) as refused:
        read(content)
    assert TOKEN not in str(refused.value)
