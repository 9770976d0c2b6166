"""The demo's processes come up, or say why not; and nothing is left of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from demo.child import Child, StartFailed
from demo.waiting import NotInTime, until


def child(tmp_path: Path, code: str) -> Child:
    return Child("the example", [sys.executable, "-c", code], tmp_path / "log")


def test_a_process_that_ends_says_which_shows_its_log_and_what_to_do(tmp_path: Path) -> None:
    example = child(tmp_path, "import sys; sys.exit('OSError: Address already in use')")
    example.start()
    with pytest.raises(StartFailed) as failed:
        example.come_up(lambda: False)
    text = str(failed.value)
    assert "the example ended with status 1" in text
    assert "| OSError: Address already in use" in text
    assert "start the demo again" in text


def test_a_program_that_does_not_exist_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="the example cannot be started: /no/such: No such file"):
        Child("the example", ["/no/such"], tmp_path / "log").start()


def test_a_process_that_never_gets_ready_is_named_after_the_bound(tmp_path: Path) -> None:
    example = child(tmp_path, "import time; time.sleep(60)")
    example.start()
    try:
        with pytest.raises(StartFailed, match="the example is not ready"):
            example.come_up(lambda: False, bound=0.2)
    finally:
        example.kill()
    assert not example.running


def test_stopping_ends_the_whole_group_also_one_that_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.child.GRACE", 0.3)
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pid = os.fork()\n"
        # one write each: an unbuffered print writes the number and its newline apart
        "os.write(1, b'%d\\n' % (pid or os.getpid()))\n"
        "time.sleep(60)\n"
    )
    example = child(tmp_path, code)
    example.start()
    pids = until(lambda: _two(example.log), "two lines", 10)
    example.stop()
    assert not example.running
    for pid in pids:
        until(lambda pid=pid: not _alive(pid), f"the end of {pid}", 10)


def test_a_child_does_not_inherit_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    code = "import os; print([os.environ.get(k) for k in ('HTTPS_PROXY', 'REQUESTS_CA_BUNDLE')])"
    example = child(tmp_path, code)
    example.start()
    assert example.wait() == 0
    assert example.tail() == "  | [None, None]"


def test_waiting_has_a_bound() -> None:
    with pytest.raises(NotInTime, match="the moon did not come within 0 s"):
        until(lambda: False, "the moon", 0.1)


def _two(log: Path) -> list[int] | None:
    numbers = [int(line) for line in log.read_text().split()]
    return numbers if len(numbers) == 2 else None


def _alive(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
