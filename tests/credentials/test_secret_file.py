"""An API key in a file: reread, kept for a while when the file goes bad, never shown."""

from __future__ import annotations

import doctest
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config.own_credentials import SecretFile
from agent.credentials import secret_file
from agent.credentials.credential import Injection
from agent.credentials.keyring import LOOK
from agent.credentials.ledger import Ledger
from agent.credentials.secret_file import KEPT, FileKey
from agent.errors import Denial, Reason
from agent.identity.principal import Kind
from agent.moment import Moment
from tests.credentials.conftest import NOW, FakeClock, caller

Make = Callable[..., FileKey]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("canary-key-1\n")
    return path


@pytest.fixture
def make(path: Path, clock: FakeClock) -> Make:
    def made(**written: str) -> FileKey:
        asked = SecretFile.model_validate({"file": str(path)} | written)
        return FileKey("crm", asked, Ledger(clock), clock)

    return made


def sent(key: FileKey, now: float) -> tuple[tuple[str, str], ...] | Reason:
    got = key.obtain(caller(), Moment(now, 1.0))
    if isinstance(got, Denial):
        return got.reason
    assert got.acts_as is Kind.APP
    return got.headers


@pytest.mark.parametrize(
    ("written", "header"),
    [
        ({}, ("authorization", "Bearer canary-key-1")),
        ({"prefix": ""}, ("authorization", "canary-key-1")),
        ({"prefix": "Key "}, ("authorization", "Key canary-key-1")),
        ({"header": "x-api-key"}, ("x-api-key", "canary-key-1")),
        ({"header": "x-api-key", "prefix": "v1:"}, ("x-api-key", "v1:canary-key-1")),
    ],
)
def test_the_key_stands_in_its_header(
    make: Make, written: dict[str, str], header: tuple[str, str]
) -> None:
    assert sent(make(**written), NOW) == (header,)


def test_a_key_is_reread_when_kubernetes_moves_the_link(tmp_path: Path, clock: FakeClock) -> None:
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "key").write_text(f"key-{version}")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")
    asked = SecretFile.model_validate({"file": str(tmp_path / "key"), "header": "x-api-key"})
    key = FileKey("crm", asked, Ledger(clock), clock)
    assert sent(key, NOW) == (("x-api-key", "key-1"),)
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    key.renew(NOW + LOOK)
    assert sent(key, NOW + LOOK) == (("x-api-key", "key-2"),)


@pytest.mark.must(35)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "is empty or not one line"),
        (b" \n", "is empty or not one line"),
        (b"one\r\ntwo", "is empty or not one line"),
        (b"k\x00y", "is empty or not one line"),
        (b"\xff\xfe", "is empty or not one line"),
        ("schlüssel".encode(), "characters that a header cannot carry"),
        (b"k" * 9000, "longer than 8 KiB"),
        (b"k" * 70_000, "larger than 64 KiB"),
    ],
)
def test_a_bad_file_is_a_sentence_and_the_last_key_serves_for_a_while(
    make: Make, path: Path, content: bytes | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = make(header="x-api-key")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    good = (("x-api-key", "canary-key-1"),)
    key.renew(NOW + 10)
    assert sent(key, NOW + 10) == good
    assert said in caplog.text
    assert "The last key serves for 300 s" in caplog.text
    assert key.problem == ""
    assert sent(key, NOW + 10 + KEPT - 1) == good
    key.renew(NOW + 10 + KEPT)
    assert sent(key, NOW + 10 + KEPT) is Reason.CREDENTIAL_ERROR
    assert said in key.problem
    path.write_text("canary-key-2")
    assert sent(key, NOW + 20 + KEPT) == (("x-api-key", "canary-key-2"),)
    assert key.problem == ""
    assert "canary-key" not in caplog.text + repr(key.__dict__)


def test_a_file_that_was_bad_from_the_start_denies_with_503(make: Make, path: Path) -> None:
    path.unlink()
    key = make()
    got = key.obtain(None, Moment(NOW, 1.0))
    assert isinstance(got, Denial)
    assert (got.reason, got.status) == (Reason.CREDENTIAL_ERROR, 503)
    assert str(path) not in got.detail


def test_a_reload_at_a_bad_moment_keeps_the_key_for_its_time(make: Make, path: Path) -> None:
    first = make()
    path.unlink()
    second = make()
    second.take_over(first)
    assert isinstance(second.obtain(None, Moment(NOW, 1.0)), Injection)
    second.renew(NOW + 10)
    assert sent(second, NOW + 10 + KEPT) is Reason.CREDENTIAL_ERROR


def test_a_file_is_read_at_most_once_a_second(make: Make, path: Path) -> None:
    key = make()
    path.write_text("new")
    key.renew(NOW + 0.9)
    assert sent(key, NOW + 0.9) == (("authorization", "Bearer canary-key-1"),)


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(secret_file)
    assert (found.failed, found.attempted) == (0, 2)


@pytest.mark.must(45)
def test_nothing_at_debug_level_shows_the_key(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = make()
    injection = key.obtain(None, Moment(time.time(), 1.0))
    assert "canary-key" not in f"{injection!r}{key!r}{caplog.text}"
