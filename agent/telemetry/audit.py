"""Who asked for what, and what was decided? One JSON line for each decision (DESIGN.md §9)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from agent.errors import Reason
from agent.telemetry.sink import Sink

log = logging.getLogger(__name__)

QUEUE = 8192
MAX_PATH = 1024
MAX_TEXT = 256
MAX_ACTORS = 64  # internalTokens.maxHops has the same bound


class Who(NamedTuple):
    """Who stands behind a request; made once for each token, by `who`.

    `token_hash` is the SHA-256 of the token; a prefix of it is written. No field ever holds a token
    or a secret.
    """

    kind: str | None = None
    subject: str | None = None
    tenant: str | None = None
    client: str | None = None
    actors: tuple[str, ...] = ()
    issuer: str | None = None
    kid: str | None = None
    token_hash: bytes = b""


NOBODY = Who()


def who(
    kind: str,
    subject: str,
    tenant: str = "",
    client: str = "",
    actors: tuple[str, ...] = (),
    issuer: str = "",
    kid: str = "",
    token_hash: bytes = b"",
) -> Who:
    """A caller as records name it: long values are shortened, for they wait in the queue."""
    return Who(
        kind,
        _cut(subject),
        _cut(tenant),
        _cut(client),
        tuple(actor[:MAX_TEXT] for actor in actors[:MAX_ACTORS]),
        _cut(issuer),
        _cut(kid),
        token_hash,
    )


class AuditRecord(NamedTuple):
    """One decision. None, or an empty text, is null in the record: it did not apply.

    `time` is in UTC seconds since the epoch, `latency_ms` in milliseconds.
    """

    time: float
    decision: Literal["allow", "deny"]
    direction: str | None
    latency_ms: float
    reason: Reason | None = None
    route: str | None = None
    method: str | None = None
    path: str | None = None
    destination: str | None = None
    who: Who = NOBODY
    txn: str | None = None
    trace_id: str | None = None
    credential: str | None = None


def cut(record: AuditRecord) -> AuditRecord:
    """*record*, its long values shortened: what waits in the queue is bounded in bytes too.

    Those from outside, that is; the other fields hold words of ours or the configuration, or were
    shortened when they were made.
    """
    path, method, txn, trace = record.path, record.method, record.txn, record.trace_id
    if len(path or "") + len(method or "") + len(txn or "") + len(trace or "") <= MAX_TEXT:
        return record  # as nearly always
    if path and len(path) > MAX_PATH:
        path = path[: MAX_PATH - 1] + "…"
    return record._replace(path=path, method=_cut(method), txn=_cut(txn), trace_id=_cut(trace))


def _cut(value: str | None) -> str | None:
    return value[: MAX_TEXT - 1] + "…" if value and len(value) > MAX_TEXT else value


def line(record: AuditRecord) -> bytes:
    """Return the record as one line of JSON: every key of DESIGN.md §9, in its order.

    ASCII only: a control character, a line separator or half a surrogate pair in a value is
    escaped, so no value can forge a second record.
    """
    caller, vouched = _named(record.who)
    text = (
        f'{{"time":"{rfc3339(record.time)}","decision":"{record.decision}"'
        f',"reason":{_text(record.reason)},"direction":{_text(record.direction)}'
        f',"route":{_text(record.route)},"method":{_text(record.method)}'
        f',"path":{_text(record.path)},"destination":{_text(record.destination)}'
        f'{caller},"txn":{_text(record.txn)},"traceId":{_text(record.trace_id)}'
        f'{vouched},"credential":{_text(record.credential)}'
        f',"latencyMs":{record.latency_ms:.3f}}}\n'
    )
    return text.replace("\x7f", "\\u007f").encode()


@lru_cache(maxsize=1024)
def _named(who: Who) -> tuple[str, str]:
    """What a line says of a caller, before and after the ids of the request."""
    actors = ",".join(map(_quoted, who.actors))
    token_hash = who.token_hash.hex()[:16]
    return (
        f',"kind":{_text(who.kind)},"subject":{_text(who.subject)}'
        f',"tenant":{_text(who.tenant)},"client":{_text(who.client)},"actors":[{actors}]',
        f',"issuer":{_text(who.issuer)},"kid":{_text(who.kid)},"tokenHash":{_text(token_hash)}',
    )


_quoted = json.encoder.encode_basestring_ascii  # json.dumps itself costs four times as much here


def _text(value: str | None) -> str:
    return _quoted(value) if value else "null"


def rfc3339(time: float) -> str:
    """Return UTC seconds as `2026-01-31T23:59:59.123Z` (RFC 3339)."""
    milliseconds = int(time * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


class AuditLog:
    """Writes audit records to *file*: `stdout`, `stderr` or a path.

    A decision never waits for the disk: where the queue is full, the record is lost, counted by
    `on_loss` and loudly logged. *clock* is in seconds of a monotonic clock.
    """

    def __init__(
        self,
        file: str,
        *,
        clock: Callable[[], float],
        on_loss: Callable[[int], None],
        entries: int = QUEUE,
    ) -> None:
        self._sink = Sink(
            file, line, entries=entries, clock=clock, complain=self._complain, on_loss=on_loss
        )

    def emit(self, record: AuditRecord) -> None:
        """Queue one record: formats nothing, never blocks."""
        self._sink.put(cut(record))

    @property
    def lost(self) -> int:
        """How many records were lost since the start."""
        return self._sink.lost

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued; what *timeout* seconds do not write is lost and counted."""
        self._sink.close(timeout)

    @staticmethod
    def _complain(sentence: str) -> None:
        log.error("AUDIT RECORDS AT RISK: %s. Free the disk or read the pipe", sentence)
