"""Is a file replaced whole, by one process at a time, and never for want of room?"""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from agent.credentials.stored import file_store
from agent.credentials.stored.file_store import FileStore
from agent.credentials.stored.store import NotUsable

pytestmark = pytest.mark.must(31)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "crm")


def test_what_was_swapped_in_is_read_and_nobody_else_may_read_it(
    store: FileStore, tmp_path: Path
) -> None:
    assert store.read() is None
    assert store.swap(None, b"one")
    assert not store.swap(None, b"two")
    assert not store.swap(b"zero", b"two")
    assert store.swap(b"one", b"two", ahead=True)
    assert store.read() == b"two"
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "crm")
    assert FileStore(tmp_path / "link").swap(None, b"one")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "crm").read_bytes() == b"one"


def test_a_full_disk_is_met_before_the_token_is_sent(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.swap(None, b"old")
    store.swap(b"old", b"journalled", ahead=True)
    allocated = os.posix_fallocate

    def full(handle: int, at: int, size: int) -> None:
        if os.fstat(handle).st_blocks * 512 < size:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocated(handle, at, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert store.swap(b"journalled", b"new")  # its room was reserved
    with pytest.raises(NotUsable, match="make room there"):
        store.swap(b"new", b"another journal", ahead=True)
    assert store.read() == b"new"


def test_a_folder_that_is_not_there_is_said_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match=f"make the folder {tmp_path}/none"):
        FileStore(tmp_path / "none" / "crm").swap(None, b"x")


def test_what_a_crash_left_behind_is_no_hindrance_and_does_not_add_up(
    store: FileStore, tmp_path: Path
) -> None:
    (tmp_path / "crm.next").write_bytes(b"half" * 10_000)
    (tmp_path / "crm.spare").write_bytes(b"old")
    assert store.swap(None, b"one")
    content = b"one"
    for number in range(50):
        fresh = f"record {number}".encode()
        assert store.swap(content, fresh, ahead=number % 2 == 0)
        content = fresh
    assert store.read() == content
    names = {file.name for file in tmp_path.iterdir()}
    assert names <= {"crm", "crm.lock", "crm.spare", "crm.next"}
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 200 * 1024


def test_a_lock_that_a_stopped_process_holds_is_said(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "LOCK_SECONDS", 0.05)
    with (tmp_path / "crm.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotUsable, match="look whether it is stopped"):
            store.swap(None, b"x")
    assert store.swap(None, b"x")


def test_a_claim_is_ours_until_we_let_go(store: FileStore, tmp_path: Path) -> None:
    other = FileStore(tmp_path / "crm")
    assert not other.abandoned("n1")
    store.claim("n0")
    store.claim("n1")
    assert not other.abandoned("n1")
    store.release()
    assert not other.abandoned("n0")
    assert other.abandoned("n1")
    assert not store.abandoned("n1")  # by now the other is at it
    other.close()


def test_who_could_not_claim_is_not_taken_for_dead(store: FileStore, tmp_path: Path) -> None:
    late, third = FileStore(tmp_path / "crm"), FileStore(tmp_path / "crm")
    store.claim("n1")
    late.claim("n2")  # while the first is still letting go
    store.release()
    assert not third.abandoned("n2")
    late.claim("n2")
    late.close()
    assert third.abandoned("n2")
    third.close()


def _count(path: Path, times: int) -> None:
    store = FileStore(path)
    done = 0
    while done < times:
        found = store.read()
        done += store.swap(found, str(int(found or b"0") + 1).encode())


def test_processes_that_write_at_once_lose_no_write(tmp_path: Path) -> None:
    path = tmp_path / "crm"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(path, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert FileStore(path).read() == b"75"
