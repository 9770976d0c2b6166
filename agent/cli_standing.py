"""How does it stand, and what will expire? `attache status` and `attache credentials`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from agent.config.loading import load

if TYPE_CHECKING:
    from rich.console import Console

    from agent.config.attache import Attache

EXPIRES = 1
"""The exit code of a check that failed."""

_COLOURS = {
    "unreadable": "bold red",
    "expired": "bold red",
    "urgent": "red",
    "soon": "yellow",
    "fine": "green",
}
_WANTING = ("unreadable", "expired", "urgent", "soon")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def credentials(
    config: Annotated[Path, typer.Option("--config", help="attache.yaml", show_default=False)],
    as_json: JsonOption = False,
    fail_within: Annotated[
        str,
        typer.Option(
            help="Exit code 1 if something ends within this time, such as 14d, or is unreadable."
        ),
    ] = "",
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Ask the running agent, which also knows refresh tokens and issuers."
        ),
    ] = False,
) -> None:
    """Show what expires, and when: certificates, secrets, refresh tokens and keys."""
    within = _seconds(fail_within) if fail_within else None
    parsed = load(config)
    if live:
        rows = _asked(str(parsed.agent.admin), "status").get("expiries", [])
    else:
        rows = [row.document() for row in _offline(parsed)]
    failing = [] if within is None else [row for row in rows if _fails(row, within)]
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
    else:
        _table(rows)
    for row in failing:
        why = row["problem"] or f"ends on {row['expiresAt']}"
        print(f"attache: {row['kind']} {row['name']}: {why}", file=sys.stderr)  # noqa: T201
    if failing:
        raise typer.Exit(EXPIRES)


def status(
    config: Annotated[Path | None, typer.Option("--config", help="attache.yaml")] = None,
    admin: Annotated[str, typer.Option(help="the agent's admin address")] = "127.0.0.1:15020",
    as_json: JsonOption = False,
) -> None:
    """Show how a running agent is, and what to mend; exit code 1 while it is not ready."""
    address = str(load(config).agent.admin) if config else admin
    ready = _asked(address, "readyz")
    document = _asked(address, "status")
    if as_json:
        print(json.dumps({**ready, **document}, indent=2))  # noqa: T201
    else:
        _report(ready, document)
    if not ready.get("ready"):
        raise typer.Exit(1)


def _offline(config: Attache) -> Iterable[Any]:
    """The rows that need no running agent: files, and our signing keys."""
    from agent.credentials.keyring import KeyRing
    from agent.expiry.files import Reader
    from agent.expiry.live import signing_keys
    from agent.expiry.sources import sources
    from agent.expiry.table import Fact, Kind, table

    now = time.time()
    facts = list(Reader().facts(sources(config), now))
    if tokens := config.internal_tokens:
        ring = KeyRing(
            tokens.keys, config.workload.id,
            publish_delay=tokens.publish_delay, lifetime=tokens.lifetime, skew=0.0,
        )  # fmt: skip
        ring.refresh(now)
        facts += signing_keys(tokens.keys, ring.status(now), now)
    facts += [Fact(Kind.ISSUER_KEYS, f"issuers.{issuer.name}") for issuer in config.issuers]
    return table(now, facts)


def _fails(row: Mapping[str, Any], within: float) -> bool:
    remaining = row["remainingSeconds"]
    return bool(row["problem"]) or (remaining is not None and remaining <= within)


def _table(rows: Iterable[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from agent.expiry.table import span

    shown = Table("what", Column("where", overflow="fold"), "expires", "in", "state")
    shown.columns[2].no_wrap = True
    for row in rows:
        left = row["remainingSeconds"]
        age = row["ageSeconds"]
        told = "" if left is None else (span(left) if left > 0 else f"{span(-left)} ago")
        if left is None and age is not None:
            told = f"age {span(age)}"
        where = Text(row["name"])
        if row["source"]:
            where.append(f"\n{row['source']}", style="dim")
        if row["problem"]:
            where.append(f"\n{row['problem']}", style="red")
        shown.add_row(
            row["kind"],
            where,
            row["expiresAt"] or "not known",
            told,
            Text(row["state"], style=_COLOURS.get(row["state"], "")),
        )
    Console().print(shown)


def _report(ready: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    word = "[green]ready[/]" if ready.get("ready") else "[bold red]NOT READY[/]"
    say = _sayer(console)
    console.print(f"attache {document['version']} for {document['workload']}: {word}")
    for sentence in ready.get("missing", []):
        say("bold red", "missing", sentence)
    for sentence in ready.get("degraded", []):
        say("yellow", "degraded", sentence)
    if error := document["configuration"]["error"]:
        say("bold red", "the changed configuration is refused", error)
    for row in document["issuers"]:
        part = f" ({row['part']})" if row["part"] else ""
        age = "never fetched" if row["ageSeconds"] is None else f"{row['ageSeconds']:.0f} s old"
        text = f"{row['name']}{part}: {len(row['keys'])} keys, {age}"
        say("" if row["usable"] else "bold red", "issuer", text)
        if row["error"]:
            say("red", "  last failure", row["error"])
    for row in document["credentials"]["destinations"]:
        if row["lastError"]:
            say("red", f"destination {row['destination']}", row["lastError"])
        else:
            last = row["lastSuccessAt"] or "not used yet"
            say("", f"destination {row['destination']}", f"{row['kind']}, last success: {last}")
    for row in document["expiries"]:
        if row["state"] in _WANTING:
            said = row["problem"] or f"ends on {row['expiresAt']}"
            say(_COLOURS[row["state"]], f"{row['kind']} {row['name']}", said)
    _envoy(say, document["xds"])
    revocation = document["revocation"]
    if revocation and not revocation.get("up"):
        say("red", "revocation", "the list's source does not answer; see --json")


def _envoy(say: Any, xds: Mapping[str, Any]) -> None:
    if not xds["streams"]:
        say("yellow", "envoy", "is not connected; does it run, with `attache envoy bootstrap`?")
        return
    step = "holds all of the configuration" if xds["in_step"] else "has not taken everything yet"
    say("" if xds["in_step"] else "yellow", "envoy", step)
    for row in xds["types"]:
        if refusal := row["last_refusal"]:
            colour = "bold red" if row["sent"] != row["accepted"] else "dim"
            said = f"refused {row['refusals']} times, last: {refusal['reason']}"
            say(colour, f"  {row['kind']}", said)


def _sayer(console: Console) -> Any:
    from rich.text import Text

    def say(style: str, what: str, sentence: str) -> None:
        console.print(Text.assemble((what, style or "bold"), ": ", (sentence, style)))

    return say


def _asked(address: str, what: str) -> dict[str, Any]:
    """An admin document of the agent at *address*; a 503 of /readyz is an answer too."""
    import requests

    session = requests.Session()
    session.trust_env = False
    try:
        document: dict[str, Any] = session.get(f"http://{address}/{what}", timeout=5).json()
    except requests.RequestException:
        _fail(f"no agent answers at {address}; is it running, and is agent.admin this address?")
    return document


def _seconds(text: str) -> float:
    from agent.config.fields import duration

    try:
        return duration(text)
    except ValueError as reason:
        _fail(f"--fail-within: {reason}", 2)


def _fail(sentence: str, code: int = 1) -> NoReturn:
    print(f"attache: {sentence}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)
