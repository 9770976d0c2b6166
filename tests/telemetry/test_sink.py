"""A line that a failure cut in two is never left in two files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.telemetry.sink import Target


@pytest.fixture
def short_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes the next writes take: what a disk does that is about to be full."""
    sizes: list[int] = []
    real = os.write
    monkeypatch.setattr(
        os, "write", lambda fd, data: real(fd, data[: sizes.pop(0)] if sizes else data)
    )
    return sizes


def write_all(target: Target, content: bytes) -> None:
    while content:
        content = target.write(content)


def test_short_writes_to_one_file_make_whole_lines(tmp_path: Path, short_writes: list[int]) -> None:
    target = Target(str(tmp_path / "a"))
    short_writes += [2, 1, 4, 3]
    write_all(target, b"one\ntwo\nthree\n")
    target.close()
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("first", [[6], [1, 5], [4, 2], [2, 1, 3]])
def test_a_line_that_a_rotation_cut_begins_anew_in_the_new_file(
    tmp_path: Path, short_writes: list[int], first: list[int]
) -> None:
    file = tmp_path / "a"
    target = Target(str(file))
    short_writes += first
    rest = b"one\ntwo\nthree\n"
    for _ in first:
        rest = target.write(rest)
    assert rest == b"o\nthree\n"
    file.rename(tmp_path / "a.1")
    write_all(target, rest)
    target.close()
    assert (tmp_path / "a.1").read_bytes() == b"one\ntw"
    assert file.read_bytes() == b"two\nthree\n"


def test_whole_lines_are_not_written_again_after_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "a"
    target = Target(str(file))
    write_all(target, b"one\n")
    file.rename(tmp_path / "a.1")
    write_all(target, b"two\n")
    target.close()
    assert file.read_bytes() == b"two\n"
