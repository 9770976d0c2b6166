"""The file is changed whole, by one writer at a time, and not at all where it is wrong."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from agent.config.revocation import Revocation
from agent.identity.revocation.entry import Entry
from agent.identity.revocation.listing import read_list
from agent.identity.revocation.store import FileStore, NotWritten, store_of


def test_a_file_is_made_kept_in_its_mode_and_found_through_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "revoked.yaml"
    link.symlink_to(real)
    store = store_of(Revocation.model_validate({"file": str(link)}))
    assert store.listed() == {}
    name = store.add(Entry(subject="a"))
    assert stat.S_IMODE(real.stat().st_mode) == 0o644
    real.chmod(0o640)
    store.add(Entry(subject="b"))
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert store.remove(lambda id_, _: id_ == name) == [name]
    assert read_list(real.read_bytes(), "f") == (Entry(subject="b"),)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "revoked.yaml"
    writers = [
        threading.Thread(target=FileStore(file).add, args=(Entry(subject=str(n)),))
        for n in range(12)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {entry.subject for entry in read_list(file.read_bytes(), "f")} == {
        str(n) for n in range(12)
    }


@pytest.mark.must(43)
def test_a_file_with_a_mistake_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "revoked.yaml"
    file.write_text("- subjct: a\n")
    store = FileStore(file)
    for change in (lambda: store.add(Entry(subject="b")), store.listed):
        with pytest.raises(NotWritten, match="subjct"):
            change()
    assert file.read_text() == "- subjct: a\n"


def test_a_folder_that_is_not_there_is_said_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match="ConfigMap"):
        FileStore(tmp_path / "absent" / "revoked.yaml").add(Entry(subject="a"))
