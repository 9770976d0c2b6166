"""One JSON line for each decision, always the same keys, nothing forged, nothing secret."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Reason
from agent.telemetry.audit import (
    MAX_PATH,
    MAX_TEXT,
    AuditLog,
    AuditRecord,
    Who,
    cut,
    line,
    who,
)
from agent.telemetry.sink import Sink

KEYS = [
    "time", "decision", "reason", "direction", "route", "method", "path", "destination", "kind",
    "subject", "tenant", "client", "actors", "txn", "traceId", "issuer", "kid", "tokenHash",
    "credential", "latencyMs",
]  # fmt: skip

ALLOWED = AuditRecord(
    time=1_770_000_000.1239,
    decision="allow",
    direction="outbound",
    latency_ms=1.23456,
    route="/api/**",
    method="POST",
    path="/api/tasks",
    destination="notification",
    who=Who(
        kind="user",
        subject="0000-1",
        tenant="1111-2",
        client="2222-3",
        actors=("shop/gateway", "shop/web"),
        issuer="entra",
        kid="key-1",
        token_hash=hashlib.sha256(b"token").digest(),
    ),
    txn="txn-1",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    credential="obo",
)
DENIED = AuditRecord(
    time=0.0, decision="deny", direction="inbound", latency_ms=0.2, reason=Reason.MISSING_TOKEN
)


@pytest.mark.must(45)
@pytest.mark.parametrize("record", [ALLOWED, DENIED])
def test_every_key_of_the_contract_is_in_every_record_and_no_other(record: AuditRecord) -> None:
    assert list(json.loads(line(record))) == KEYS


@pytest.mark.must(45)
def test_a_record_says_what_was_decided_in_the_words_of_the_contract() -> None:
    assert json.loads(line(ALLOWED)) == {
        "time": "2026-02-02T02:40:00.123Z",
        "decision": "allow",
        "reason": None,
        "direction": "outbound",
        "route": "/api/**",
        "method": "POST",
        "path": "/api/tasks",
        "destination": "notification",
        "kind": "user",
        "subject": "0000-1",
        "tenant": "1111-2",
        "client": "2222-3",
        "actors": ["shop/gateway", "shop/web"],
        "txn": "txn-1",
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "issuer": "entra",
        "kid": "key-1",
        "tokenHash": hashlib.sha256(b"token").hexdigest()[:16],
        "credential": "obo",
        "latencyMs": 1.235,
    }


def test_what_does_not_apply_is_null() -> None:
    fields = json.loads(line(DENIED))
    assert fields.pop("time") == "1970-01-01T00:00:00.000Z"
    assert fields.pop("reason") == "missing_token"
    assert fields.pop("actors") == []
    assert {key: value for key, value in fields.items() if value is not None} == {
        "decision": "deny",
        "direction": "inbound",
        "latencyMs": 0.2,
    }
    nobody_in_particular = DENIED._replace(who=who("app", "x"))
    assert json.loads(line(nobody_in_particular))["tenant"] is None


def test_a_record_cannot_be_changed_once_it_is_made() -> None:
    with pytest.raises(AttributeError):
        ALLOWED.who = Who(subject="someone else")  # type: ignore[misc]


TEXTS = st.text(st.characters(codec=None), max_size=80)


@given(TEXTS, TEXTS, TEXTS)
def test_no_value_can_forge_a_line_or_a_key(path: str, kid: str, actor: str) -> None:
    text = line(DENIED._replace(path=path, who=Who(kid=kid, actors=(actor,))))
    assert text.isascii()
    assert text.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in text[:-1])
    fields = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    assert [key for key, _ in fields] == KEYS
    assert dict(fields)["path"] == (path or None)
    assert dict(fields)["kid"] == (kid or None)
    assert dict(fields)["actors"] == [actor]


@pytest.mark.must(42)
def test_long_values_are_cut_before_they_wait_in_the_queue() -> None:
    record = AuditRecord(
        time=0.0,
        decision="deny",
        direction="inbound",
        latency_ms=0,
        path="/" + "a" * 100_000,
        method="M" * 1000,
        who=who("user", *["x" * 20_000] * 3, ("x" * 1000,) * 1000, *["x" * 20_000] * 2),
        txn="x" * 20_000,
        trace_id="x" * 20_000,
    )
    record = cut(record)
    assert record.path is not None
    assert len(record.path) == MAX_PATH
    assert record.path.endswith("…")
    assert record.who.kid is not None
    assert len(record.who.kid) == MAX_TEXT
    assert record.txn is not None
    assert len(record.txn) == MAX_TEXT
    assert len(line(record)) < 32 * 1024


# --- the file


class FakeLoss:
    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self._lock:
            self.count += count


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in file.read_text().splitlines()]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread; pytest's own patience is the bound."""
    while not condition():
        time.sleep(0.002)


@pytest.fixture
def loss() -> FakeLoss:
    return FakeLoss()


@pytest.fixture
def audit(tmp_path: Path, loss: FakeLoss) -> Iterator[AuditLog]:
    log = AuditLog(str(tmp_path / "audit.log"), clock=time.monotonic, on_loss=loss)
    yield log
    log.close()


def test_all_records_of_all_threads_arrive_whole_and_in_their_threads_order(
    audit: AuditLog, loss: FakeLoss, tmp_path: Path
) -> None:
    def decide(name: str) -> None:
        for number in range(500):
            audit.emit(ALLOWED._replace(who=Who(subject=name), txn=str(number)))

    threads = [threading.Thread(target=decide, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    audit.close()
    written = lines(tmp_path / "audit.log")
    assert len(written) == 2000
    for number in range(4):
        own = [int(entry["txn"]) for entry in written if entry["subject"] == f"t{number}"]
        assert own == list(range(500))
    assert loss.count == audit.lost == 0


@pytest.mark.parametrize("rotate", ["rename", "remove"])
def test_a_rotated_file_is_reopened(audit: AuditLog, tmp_path: Path, rotate: str) -> None:
    file, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    audit.emit(ALLOWED._replace(txn="before"))
    wait_until(lambda: file.exists() and file.stat().st_size > 0)
    if rotate == "rename":
        file.rename(old)
    else:
        file.unlink()
    audit.emit(ALLOWED._replace(txn="after"))
    audit.close()
    assert [entry["txn"] for entry in lines(file)] == ["after"]
    if rotate == "rename":
        assert [entry["txn"] for entry in lines(old)] == ["before"]


def test_the_file_is_not_for_everyone_to_read(audit: AuditLog, tmp_path: Path) -> None:
    audit.emit(ALLOWED)
    audit.close()
    assert (tmp_path / "audit.log").stat().st_mode & 0o007 == 0


def test_an_existing_file_is_continued(tmp_path: Path, loss: FakeLoss) -> None:
    for txn in ("first run", "second run"):
        audit = AuditLog(str(tmp_path / "audit.log"), clock=time.monotonic, on_loss=loss)
        audit.emit(ALLOWED._replace(txn=txn))
        audit.close()
    assert [entry["txn"] for entry in lines(tmp_path / "audit.log")] == ["first run", "second run"]


def test_standard_output_is_a_target(capfd: pytest.CaptureFixture[str], loss: FakeLoss) -> None:
    audit = AuditLog("stdout", clock=time.monotonic, on_loss=loss)
    audit.emit(ALLOWED)
    audit.close()
    assert json.loads(capfd.readouterr().out)["txn"] == "txn-1"


def test_a_folder_that_appears_later_loses_nothing(
    tmp_path: Path, loss: FakeLoss, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "later" / "audit.log"
    audit = AuditLog(str(file), clock=time.monotonic, on_loss=loss)
    audit.emit(ALLOWED)
    wait_until(lambda: bool(caplog.records))
    assert "AUDIT RECORDS AT RISK" in caplog.text
    assert "No such file" in caplog.text
    file.parent.mkdir()
    wait_until(lambda: file.exists() and file.stat().st_size > 0)
    audit.close()
    assert len(lines(file)) == 1
    assert loss.count == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's full disk")
def test_a_full_disk_loses_records_only_at_the_end_counts_them_and_says_so_once(
    loss: FakeLoss, caplog: pytest.LogCaptureFixture
) -> None:
    audit = AuditLog("/dev/full", clock=time.monotonic, on_loss=loss, entries=10)
    for _ in range(500):
        audit.emit(ALLOWED)
    audit.close()
    assert loss.count == audit.lost == 500
    assert len(caplog.records) == 1
    assert "AUDIT RECORDS AT RISK" in caplog.text


@pytest.mark.must(39, 42)
def test_a_pipe_that_nobody_reads_blocks_no_decision(tmp_path: Path, loss: FakeLoss) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    audit = AuditLog(str(pipe), clock=time.monotonic, on_loss=loss, entries=100)
    for _ in range(20_000):  # far more than pipe and queue hold: this ends only if none blocks
        audit.emit(ALLOWED)
    assert loss.count > 0
    audit.close(timeout=0.05)  # and so does this
    lost = audit.lost
    assert 0 < lost <= 20_000
    os.set_blocking(reader, True)
    content = b""
    while chunk := os.read(reader, 1 << 20):  # the writer ends what it has begun
        content += chunk
        if content.count(b"\n") + lost >= 20_000:
            break
    os.close(reader)
    assert content.count(b"\n") <= 20_000


def test_complaints_come_once_a_minute(tmp_path: Path) -> None:
    said: list[str] = []
    now = itertools.count(0, 15)  # each complaint that is wanted takes a quarter of a minute

    def never(item: str) -> bytes:
        raise RuntimeError(item)

    sink = Sink(
        str(tmp_path / "x"),
        never,
        entries=1000,
        clock=lambda: float(next(now)),
        complain=said.append,
        on_loss=lambda _: None,
    )
    for number in range(8):
        sink.put(str(number))
        wait_until(lambda: sink.lost == number + 1)  # noqa: B023 - waited for right here
    sink.close()
    assert len(said) == 2
    assert "fault of the agent" in said[0]


def test_after_the_end_a_record_is_counted_as_lost(audit: AuditLog, loss: FakeLoss) -> None:
    audit.close()
    audit.emit(ALLOWED)
    assert loss.count == 1
