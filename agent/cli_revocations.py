"""How does a person revoke a token, see what is revoked, and take it back?"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from agent.config.loading import load

app = typer.Typer(no_args_is_help=True, help="What is refused although it is genuine and in time.")

Config = Annotated[Path, typer.Option("--config", help="attache.yaml", show_default=False)]
_SKEW = 300.0  # seconds that a token may be accepted after its end (agent.clockSkew at most)


def _option(name: str, words: str) -> Any:
    return typer.Option(name, help=words, show_default=False)


@app.command()
def add(
    config: Config,
    token_id: Annotated[str, _option("--token-id", "the token's jti, or Entra's uti")] = "",
    session: Annotated[str, _option("--session", "the token's sid")] = "",
    subject: Annotated[str, _option("--subject", "Entra's object id; elsewhere sub")] = "",
    client: Annotated[str, _option("--client", "the application that got the token")] = "",
    tenant: Annotated[str, _option("--tenant", "the token's tenant")] = "",
    issuer: Annotated[str, _option("--issuer", "iss, or its name in attache.yaml")] = "",
    issued_before: Annotated[
        str, _option("--issued-before", "a time like 2026-11-21T10:00:00Z, or now")
    ] = "",
    until: Annotated[str, _option("--until", "when the entry ends by itself")] = "",
    lasting: Annotated[str, _option("--for", "how long the entry lasts, such as 8h")] = "",
    note: Annotated[str, _option("--note", "why, for whoever reads the list")] = "",
    token_file: Annotated[
        str, _option("--token-file", "revoke the token in this file (-: standard input)")
    ] = "",
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Really cut off every token of everybody.")
    ] = False,
) -> None:
    """Revoke: everything that is said must match. Agents obey within 2 s."""
    from agent.identity.revocation.entry import Mistake, read_entry, rfc3339

    now = time.time()
    said: dict[str, Any] = {
        "tokenId": token_id, "session": session, "subject": subject, "client": client,
        "tenant": tenant, "issuer": issuer, "note": note, "until": until,
        "issuedBefore": rfc3339(now) if issued_before == "now" else issued_before,
    }  # fmt: skip
    if lasting:
        said["until"] = rfc3339(now + _seconds(lasting))
    if token_file:
        said |= _token(token_file)
    entry = read_entry({name: value for name, value in said.items() if value})
    if isinstance(entry, Mistake):
        _fail(str(entry))
    if entry.cuts_everybody and not everyone:
        _fail("this would revoke every token of everybody; say --everyone if that is meant")
    if entry.over(now):
        _fail("the entry has ended already; write a later --until")
    with _store(config) as store:
        name = store.add(entry)
    print(f"{name}: revoked; agents that read this list obey within 2 s")  # noqa: T201


@app.command("list")
def list_(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what is revoked."""
    from rich.console import Console
    from rich.table import Table

    from agent.identity.revocation.entry import Entry, written

    with _store(config) as store:
        listed = store.listed()
    if as_json:
        said = {
            name: written(entry) if isinstance(entry, Entry) else {"error": str(entry)}
            for name, entry in listed.items()
        }
        print(json.dumps(said, indent=2))  # noqa: T201
        return
    table = Table("id", "revokes", "until", "note")
    for name, entry in sorted(listed.items()):
        if not isinstance(entry, Entry):
            table.add_row(name, f"NOTHING: {entry}", "", "")
            continue
        words = written(entry)
        until, note = words.pop("until", ""), words.pop("note", "")
        ended = " (ended)" if entry.over(time.time()) else ""
        what = "\n".join(f"{member} {value}" for member, value in words.items())
        table.add_row(name, what, until + ended, note)
    Console().print(table)


@app.command()
def remove(
    config: Config,
    names: Annotated[list[str], typer.Argument(help="ids, as list shows them")],
) -> None:
    """Take revocations back."""
    with _store(config) as store:
        gone = store.remove(lambda name, _: name in names)
    for name in gone:
        print(f"{name}: no longer revoked; agents that read this list obey within 2 s")  # noqa: T201
    if unknown := sorted(set(names) - set(gone)):
        _fail(f"{', '.join(unknown)}: not in the list; 'attache revocations list' shows it")


@app.command()
def prune(config: Config) -> None:
    """Remove the entries that have ended."""
    now = time.time()
    with _store(config) as store:
        gone = store.remove(lambda _, entry: entry.over(now))
    print(f"ended and removed: {len(gone)}")  # noqa: T201


@app.command()
def restore(
    config: Config,
    snapshot: Annotated[
        Path | None, typer.Argument(help="an agent's snapshot; else the configuration's")
    ] = None,
) -> None:
    """Write what an agent remembers back into a list that has lost it."""
    from agent.identity.fetch import Fetcher
    from agent.identity.revocation.snapshot import MAX_BYTES, Snapshot
    from agent.identity.unusable import Unusable

    rules = load(config).revocation
    path = snapshot or (rules.snapshot if rules else None)
    if path is None:
        _fail("no snapshot is configured; name the file")
    kept = Snapshot(path, Fetcher(max_body=MAX_BYTES)).load()
    if isinstance(kept, Unusable):
        _fail(kept.sentence)
    now, count = time.time(), 0
    with _store(config) as store:
        there = store.listed()
        known = set(there.values())
        for name, entry in kept.by_id.items():
            if entry not in known and not entry.over(now):
                store.add(entry, name)
                count += 1
    print(f"{count} entries were written back")  # noqa: T201


@contextmanager
def _store(config: Path) -> Iterator[Any]:
    from agent.identity.revocation.store import NotWritten, store_of

    rules = load(config).revocation
    if rules is None:
        _fail(f"{config} names no list; write revocation: {{file: …}} or {{redis: …}}")
    try:
        yield store_of(rules)
    except NotWritten as why:
        _fail(str(why))


def _token(file: str) -> dict[str, Any]:
    """What identifies the token in *file*; it is not verified, for who may revoke may do worse."""
    from agent.errors import Denial
    from agent.identity.claims import text, window
    from agent.identity.jose import parse
    from agent.identity.principal import RawToken
    from agent.identity.revocation.entry import rfc3339

    try:
        raw = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, ValueError):
        _fail(f"{file} cannot be read")
    parsed = parse(RawToken(raw.strip().removeprefix("Bearer ")))
    times = parsed if isinstance(parsed, Denial) else window(parsed.claims)
    if isinstance(parsed, Denial) or isinstance(times, Denial):
        _fail("this is no token that could be accepted; there is nothing to revoke")
    name = text(parsed.claims, "jti", "uti")
    if not name:
        _fail("the token has no jti and no uti; revoke its --session or --subject instead")
    said = {"tokenId": name, "until": rfc3339(times.expires_at + _SKEW)}
    return said | {"issuer": text(parsed.claims, "iss")}


def _seconds(duration: str) -> float:
    from pydantic import TypeAdapter, ValidationError

    from agent.config.fields import Duration

    try:
        return float(TypeAdapter(Duration).validate_python(duration))
    except ValidationError:
        _fail(f"'{duration}' is not a duration; write it like 30m, 8h or 7d")


def _fail(sentence: str) -> NoReturn:
    print(f"attache: {sentence}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(1)
