"""What does the person read who is woken by it? The log: one line a record, no secret in it."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable

from agent.telemetry.audit import rfc3339
from agent.telemetry.sink import Sink

LEVELS = ("debug", "info", "warning", "error")
MAX_RECORD = 64 * 1024  # characters of one record, its traceback included
QUEUE = 4096

_TOKEN = r"[A-Za-z0-9._~+/=-]"  # RFC 6750 §2.1, b64token
# Sentences about tokens stay readable.
_WORDS = r"(?!(?:tokens?|schemes?|challenge|credentials?|auth\w*|realm)[,.;:)]?(?:\s|$))"
# A second wall: no code of ours logs a token. What others log goes through here too.
# Every pattern is linear, whatever a caller sends: a run is looked at once, from its start.
_RUN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]*+){2,}")
_SECRETS = (
    # Authorization: Bearer x.
    re.compile(
        rf"(\bbearer\s+){_WORDS}({_TOKEN}+)",
        re.IGNORECASE,
    ),
    re.compile(rf"(\bbasic\s+){_WORDS}({_TOKEN}{{8,}})", re.IGNORECASE),
    # A form, a JSON body or a repr with a parameter of OAuth that is secret.
    re.compile(
        r"((?:client_secret|client_assertion|refresh_token|access_token|id_token|assertion|password"
        r"|code_verifier)\\?[\"']?\s*[=:]\s*\\?[\"']?)(?!\[sha256:)([^\s\"'&,;{}\\]{4,})",
        re.IGNORECASE,
    ),
)
_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S
)


def redact(text: str) -> str:
    """Replace what looks like a token or a secret by its hash: the audit log's `tokenHash`."""
    text = _PEM.sub("[private key]", text)
    text = _RUN.sub(_without_tokens, text)
    for pattern in _SECRETS:
        text = pattern.sub(_hashed, text)
    return text


def _hashed(match: re.Match[str]) -> str:
    return f"{match[1]}{_hash(match[2])}"


def _without_tokens(match: re.Match[str]) -> str:
    """Hash each compact JWS (three parts) or JWE (five) in a run of parts between dots."""
    parts = match[0].split(".")
    kept: list[str] = []
    at = 0
    while at < len(parts):
        before, begins, rest = parts[at].partition("eyJ")  # base64url of '{"'
        size = 1
        if begins and len(parts) - at >= 3:
            size = 5 if len(parts) - at >= 5 and parts[at + 4] else 3
            token = ".".join([begins + rest, *parts[at + 1 : at + size]])
            kept.append(before + _hash(token))
        else:
            kept.append(parts[at])
        at += size
    return ".".join(kept)


def _hash(secret: str) -> str:
    return f"[sha256:{hashlib.sha256(secret.encode('utf-8', 'replace')).hexdigest()[:16]}]"


def escape(text: str) -> str:
    """Write control characters, line separators and bidi marks as escapes: no forged lines."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


class Formatter(logging.Formatter):
    """`time level logger: sentence`, and a traceback on lines that begin with `  | `."""

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        sentence = escape(redact(_message(record)))[:MAX_RECORD]
        text = f"{rfc3339(record.created)} {level} {record.name}: {sentence}"
        trace = []
        if record.exc_info:
            trace.append(self.formatException(record.exc_info))
        elif record.exc_text:
            trace.append(record.exc_text)
        if record.stack_info:
            trace.append(record.stack_info)
        # The end of a traceback says most: a long one loses its beginning.
        lines = redact("\n".join(trace))[-MAX_RECORD:].split("\n") if trace else []
        return "\n".join([text, *(f"  | {escape(line)}" for line in lines)])


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - a wrong format string or a broken __str__
        return f"{record.msg} (and its arguments do not fit: {type(error).__name__})"


class SinkHandler(logging.Handler):
    """Hands formatted records to a writer thread: a stalled stderr stalls no decision."""

    def __init__(self, target: str = "stderr", clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.setFormatter(Formatter())
        self._told = 0
        self._sink: Sink[str] = Sink(
            target,
            lambda text: text.encode("utf-8", "backslashreplace") + b"\n",
            entries=QUEUE,
            clock=clock,
            complain=lambda _: None,  # the log cannot say that the log is stuck; see `emit`
            on_loss=lambda _: None,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Format here, for arguments change; write there."""
        lost = self._sink.lost
        if lost != self._told:
            start = f"{rfc3339(record.created)} error {__name__}"
            if self._sink.put(f"{start}: {lost} log lines were lost so far"):
                self._told = lost
        self._sink.put(self.format(record))

    def close(self) -> None:
        """Write what is queued."""
        self._sink.close()
        super().close()


def configure(level: str, target: str = "stderr") -> logging.Handler:
    """Send everything from *level* upwards to *target*; return the handler.

    `logging` closes it at exit, which writes what is queued. An unknown level is a `ValueError`
    with a sentence.
    """
    if level.lower() not in LEVELS:
        raise ValueError(f"log level '{level}' is unknown; write one of {', '.join(LEVELS)}")
    handler = SinkHandler(target)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    return handler
