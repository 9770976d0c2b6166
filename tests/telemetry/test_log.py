"""One line a record, no token in it, no line that a value forged."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.log import Formatter, SinkHandler, configure, escape, redact

JWS = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.Y2FuYXJ5LXNpZ25hdHVyZQ"
JWE = "eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVy.dGFn"


def digest(secret: str) -> str:
    return f"[sha256:{hashlib.sha256(secret.encode()).hexdigest()[:16]}]"


# Before the secret, the secret, after it.
SECRETS = [
    ("token ", JWS, " refused"),
    ("the end of a sentence is ", JWS, "."),
    ("glued", JWS, "/to more"),
    ("host.name.", JWS, ""),
    ("encrypted ", JWE, "!"),
    ("unsigned ", "eyJhIjoxfQ.eyJiIjoyfQ.", ""),
    ("Authorization: Bearer ", JWS, ""),
    ("authorization: BEARER  ", "abc", ""),
    ("{'Authorization': 'Bearer ", "opaque+/=x", "'}"),
    ("Authorization: Basic ", "dXNlcjpwYXNzd29yZA==", ""),
    ("client_id=a&client_secret=", "s3cr3t%21", "&scope=b"),
    ('{"refresh_token": "', "0.AbC-dEf", '"}'),
    ("{'access_token': '", "opaque-token", "'}"),
    ('"{\\"client_secret\\":\\"', "hunter22", '\\"}"'),
]

REDACTED = {
    **{a + secret + b: a + digest(secret) + b for a, secret, b in SECRETS},
    f"two: {JWS},{JWS}": f"two: {digest(JWS)},{digest(JWS)}",
    "-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nx": "[private key]\nx",
    "cut off: -----BEGIN PRIVATE KEY-----\nMHc": "cut off: [private key]",
}

READABLE = [
    "exactly one bearer token is needed",
    "no bearer token.",
    "WWW-Authenticate: Bearer realm",
    "basic authentication is not offered",
    "the assertion was refused",
    "eyJ is how a token begins",
    "destination 'audit': Entra refused our secret (7000222, expired)",
    "host a.b.c and version 1.2.3",
]


@pytest.mark.must(45)
@pytest.mark.parametrize(("text", "left"), REDACTED.items())
def test_what_looks_like_a_secret_is_replaced_by_its_hash(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize("text", [*READABLE, *REDACTED.values()])
def test_sentences_about_tokens_stay_readable(text: str) -> None:
    assert redact(text) == text


@pytest.mark.must(45)
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_token_is_found_between_any_neighbours(before: str, after: str) -> None:
    assert "Y2FuYXJ5LXNpZ25hdHVyZQ" not in redact(f"{before}{JWS}{after}")


MEAN = ["eyJ", "eyJ.", "a.", ".", "bearer ", "basic ", "password", "password=", "-----BEGIN ", " "]


@pytest.mark.must(42)
@pytest.mark.parametrize("piece", MEAN)
def test_no_text_makes_the_wall_slow(piece: str) -> None:
    redact(piece * (2_000_000 // len(piece)))  # quadratic work would not end


@given(st.text(st.characters(codec=None)))
def test_escaped_text_is_printable_on_one_line_and_encodable(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert escaped.isprintable()
    escaped.encode()


@given(st.text())
def test_printable_text_is_not_changed(text: str) -> None:
    if text.isprintable():
        assert escape(text) == text


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("agent.flow", logging.ERROR, "x.py", 1, message, args, None)
    made.created = 1_770_000_000.5
    made.__dict__.update(more)
    return made


def fail(message: str) -> None:
    raise RuntimeError(message)


def test_a_record_is_time_level_logger_and_sentence() -> None:
    text = Formatter().format(record("%s refused", "audit"))
    assert text == "2026-02-02T02:40:00.500Z error agent.flow: audit refused"


FORGERIES = ["\n", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K\r", "\x00", "\u202e"]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_value_cannot_forge_a_line(forgery: str) -> None:
    text = Formatter().format(record("path %s", f"/x{forgery}2026-02-02T00:00:00.000Z info a: ok"))
    assert len(text.splitlines()) == 1
    assert text.isprintable()


def test_a_wrong_format_string_loses_no_record_and_raises_nothing() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(JWS)

    for message, args in (("%d tokens", ("x",)), ("%s and %s", ("x",)), ("%s", (Broken(),))):
        text = Formatter().format(record(message, *args))
        assert "do not fit" in text
        assert JWS not in text


@pytest.mark.must(45)
def test_a_traceback_is_kept_redacted_and_cannot_pass_for_a_record() -> None:
    try:
        fail(f"broken by {JWS}\n2026-02-02T00:00:00.000Z info agent: all is well")
    except RuntimeError:
        made = record("internal_error", exc_info=sys.exc_info())
    first, *rest = Formatter().format(made).split("\n")
    assert first.endswith("error agent.flow: internal_error")
    assert rest[0] == "  | Traceback (most recent call last):"
    assert f"  | RuntimeError: broken by {digest(JWS)}" in rest
    assert all(line.startswith("  | ") for line in rest)


def test_an_endless_record_is_cut() -> None:
    assert len(Formatter().format(record("x" * 10_000_000))) < 100_000


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.must(45)
@pytest.mark.usefixtures("restored")
def test_configured_the_log_goes_to_stderr_with_everything_redacted_at_debug_level(
    capfd: pytest.CaptureFixture[str],
) -> None:
    handler = configure("debug")
    logging.getLogger("urllib3").debug("sent {'Authorization': 'Bearer %s'}", JWS)
    logging.getLogger("msal").info("client_secret=%s", "canary-secret")
    try:
        fail(JWS)
    except RuntimeError:
        logging.getLogger("agent").exception("failed with %s", JWS)
    handler.close()
    out, err = capfd.readouterr()
    assert out == ""
    assert JWS not in err
    assert "canary" not in err
    assert len(re.findall(r"^2\d{3}-", err, re.MULTILINE)) == 3
    assert re.search(r"error agent: failed with \[sha256:", err)


@pytest.mark.usefixtures("restored")
def test_the_level_decides_what_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    handler = configure("WARNING")
    logging.getLogger("agent").info("not this")
    logging.getLogger("agent").warning("but this")
    handler.close()
    err = capfd.readouterr().err
    assert "not this" not in err
    assert err.endswith("warning agent: but this\n")


@pytest.mark.usefixtures("restored")
def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="log level 'loud' is unknown; write one of debug, info"):
        configure("loud")


@pytest.mark.must(39)
def test_a_stderr_that_nobody_reads_blocks_nobody_and_the_loss_is_said(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    handler = SinkHandler(str(pipe))
    for _ in range(20_000):  # ends only if nothing blocks
        handler.emit(record("x" * 200))
    os.set_blocking(reader, True)
    content = b""
    while b"log lines were lost so far" not in content:
        content += os.read(reader, 1 << 20)
        handler.emit(record("and now"))
    os.close(reader)
    handler.close()
