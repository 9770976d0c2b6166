"""A disk that is full and a store that is read-only: nothing is sent, what is in hand serves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.rotating import Rotating
from tests.e2e.peers.oidc_provider import OidcProvider
from tests.e2e.stored_bench import Bench

pytestmark = [pytest.mark.e2e, pytest.mark.must(31)]


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A small disk of its own; skips where nobody may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("harm", ["full", "read-only"])
def test_nothing_is_sent_that_could_not_be_kept(
    tmp_path: Path, oidc_provider: OidcProvider, harm: str
) -> None:
    with disk(tmp_path / "disk", "512k") as folder:
        bench = Bench(tmp_path, oidc_provider, {"file": {"path": str(folder / "crm")}})
        assert Rotating(bench.file, times=3).end()[0] == 0
        kept, sent = bench.record, len(bench.relay.sent)
        filler = folder / "filler"
        if harm == "full":
            (folder / "crm.spare").unlink(missing_ok=True)
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(b"x" * 2**20)
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        code, said = Rotating(bench.file).end()
        remedy = "make room there" if harm == "full" else "mount it writable"
        assert (code, remedy in said[-1], "serves until it expires" in said[-1]) == (1, True, True)
        assert len(bench.relay.sent) == sent
        assert bench.record == kept
        if harm == "full":
            filler.unlink()
        else:
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        assert Rotating(bench.file, times=3).end()[0] == 0
        assert len(bench.relay.sent) == len(set(bench.relay.sent))
        bench.relay.stop()


def test_a_disk_that_fills_up_in_the_middle_still_takes_the_new_token(
    tmp_path: Path, oidc_provider: OidcProvider
) -> None:
    with disk(tmp_path / "disk", "512k") as folder:
        bench = Bench(tmp_path, oidc_provider, {"file": {"path": str(folder / "crm")}})

        def fill() -> None:
            with pytest.raises(OSError, match="No space"):
                (folder / "filler").write_bytes(b"x" * 2**20)

        bench.relay.before = fill  # the attempt is journalled, the answer is still to come
        assert Rotating(bench.file).end() == (0, ["have 1"])
        assert bench.record.generation == 1
        bench.relay.stop()
