"""What does a person see? Pictures, claims side by side, joined records, checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.journeys.browser import Signed
from demo.journeys.crowd import Crowd
from demo.journeys.gateway import Gateway, actors
from demo.journeys.outcome import Check, Claims, Record
from demo.journeys.suite import Suite
from demo.journeys.tasks import Tasks
from demo.journeys.worker import Worker

WIDTH = 100
NONE = "-"
_GUID = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{8}([0-9a-f]{4})")


def console() -> Console:
    """A console of fixed width, so that a file and a terminal show the same."""
    return Console(width=WIDTH, highlight=False)


class Screen:
    """Draws the journeys and counts their checks."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self.checks: list[Check] = []

    def tasks(self, found: Tasks) -> None:
        """The first journey."""
        self._title(1, "Tasks", "a person's request, and what the services may do with it")
        self._picture(
            "[bold]Ada[/] ──[cyan]A[/]──▶ ⛨ [bold]tasks[/] ──[cyan]B[/]──▶ ⛨ [bold]notification[/]"
            "   on behalf of Ada: knows her name, id, tenant",
            "                 └────[cyan]C[/]──▶ ⛨ [bold]audit[/]"
            "          as the app itself: knows no person",
            f"answer {found.answer.status}: notification_status="
            f"[green]{found.answer.get('notification_status')}[/]  "
            f"audit_status=[green]{found.answer.get('audit_status')}[/]",
        )
        names = ("iss", "aud", "tid", "oid", "sub", "name", "azp", "scp", "roles", "exp")
        self._claims(
            ("A  user → Task API", "B  on behalf of", "C  the app's own"),
            (found.a, found.b, found.c),
            names,
        )
        self._records(found.answer.correlation, found.records)
        self._made(found.checks)

    def gateway(self, found: Gateway) -> None:
        """The second journey."""
        self._title(2, "Gateway", "behind it only internal tokens travel, and they only narrow")
        self._picture(
            "[bold]Zoë[/] ──Entra──▶ ⛨ [bold]gateway[/] ──[cyan]internal[/]──▶ ⛨ [bold]orders[/] "
            "──[cyan]internal[/]──▶ ⛨ [bold]inventory[/]",
            f"                     ▲──── [red]{found.loop.reason or '?'}[/] ────┘"
            f"            Zoë's Entra token here: [red]{found.refused.reason or '?'}[/]",
        )
        rows = [
            {**claims, "act": " ← ".join(actors(claims))} if claims.get("act") else claims
            for claims in (found.a, found.orders, found.inventory)
        ]
        names = ("iss", "aud", "tid", "sub", "txn", "scp", "scope", "act", "hops", "exp")
        self._claims(("Zoë's token", "at orders", "at inventory"), rows, names)
        self._made(found.checks)

    def worker(self, found: Worker) -> None:
        """The third journey."""
        self._title(3, "Worker", "nobody calls it; it speaks as itself")
        seen = found.seen
        self._picture(
            f"⛨ [bold]worker[/] ──[cyan]internal[/]──▶ ⛨ [bold]inventory[/]   {found.round}: "
            f"kind={seen.get('kind')} client={seen.get('client')} "
            f"name={seen.get('name') or NONE}",
        )
        self._made(found.checks)

    def suite(self, found: Suite) -> None:
        """The fourth journey."""
        self._title(4, "Suite", "two services share an audience, and the caller's own token")
        profile = found.answer.get("profile") or {}
        self._picture(
            "[bold]Ed[/] ──[cyan]A[/]──▶ ⛨ [bold]portal[/] ──[cyan]A[/]──▶ ⛨ [bold]profile[/]   "
            f"knows {escape(str(profile.get('name')))}, {profile.get('email')}, "
            f"{short(profile.get('id'))}"
        )
        self._made(found.checks)

    def crowd(self, found: Crowd) -> None:
        """The fifth journey."""
        self._title(
            5,
            "Crowd",
            f"{found.people} people at once, {found.requests} errands in {found.seconds:.1f} s",
        )
        table = _table(("service", 14), ("visits", 8), ("different callers", 18), ("crossings", 9))
        for sight in found.sights:
            colour = "red" if sight.crossings else "green"
            table.add_row(
                sight.service,
                str(sight.visits),
                str(sight.people),
                f"[{colour}]{sight.crossings}[/]",
            )
        self._out.print(table)
        colour = "red" if found.crossings else "green"
        self._out.print(f"  [bold {colour}]crossings: {found.crossings}[/]")
        self._made(found.checks)

    def browser(self, found: Signed) -> None:
        """The sixth journey."""
        self._title(6, "Browser", "Ada signs in at the gateway, and her session stays there")
        self._picture(*(f"└▶ {_bare(hop)}" for hop in found.hops))
        self._picture(
            f"the cookie has {found.cookie_bytes} bytes; "
            f"Notify: [green]{found.answer.get('notification_status')}[/]  "
            f"Audit: [green]{found.answer.get('audit_status')}[/]"
        )
        self._made(found.checks)

    def broken(self, name: str, error: Exception) -> None:
        """A journey that did not reach its end."""
        check = Check(
            f"{name} reaches its end", "no error", f"{type(error).__name__}: {error}", False
        )
        self.checks.append(check)
        self._title(0, name, "did not reach its end")
        self._failed(check)

    def summary(self, start: float, total: float) -> None:
        """The last lines."""
        good = sum(check.ok for check in self.checks)
        colour = "green" if self.passed else "red"
        self._out.print()
        self._out.print(
            f"[bold {colour}]{'✓' if self.passed else '✗'} {good} of {len(self.checks)} checks "
            f"hold[/]   up in {start:.0f} s, all in {total:.0f} s"
        )

    def waiting(self, name: str) -> AbstractContextManager[object]:
        """Tell a person at a terminal that something is going on."""
        return self._out.status(f"{name} …")

    @property
    def passed(self) -> bool:
        """Whether there were checks, and all hold."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def _title(self, number: int, name: str, text: str) -> None:
        self._out.print()
        self._out.rule(f"[bold]{number or '!'}  {name}[/] · {text}", align="left", style="dim")

    def _picture(self, *lines: str) -> None:
        for line in lines:
            self._out.print(f"  {line}")

    def _claims(self, heads: Sequence[str], tokens: Sequence[Claims], names: Iterable[str]) -> None:
        table = _table(("claim", 6), *((head, 28) for head in heads))
        for name in names:
            if any(name in claims for claims in tokens):
                table.add_row(name, *(_shown(name, claims) for claims in tokens))
        self._out.print(table)

    def _records(self, txn: str, records: Sequence[Record]) -> None:
        table = _table(
            (f"correlation {short(txn)}", 26),
            ("request", 19),
            ("answer", 6),
            ("caller", 19),
            ("sends on", 15),
        )
        start = min((_seconds(record["time"]) for record in records), default=0.0)
        for record in records:
            inbound = record["direction"] == "inbound"
            moment = f"+{(_seconds(record['time']) - start) * 1000:.0f} ms"
            credential = str(record.get("credential") or "").replace("Credentials", "Cred.")
            table.add_row(
                f"{moment:>8}  {record['at']} {'◀' if inbound else '──▶'}",
                f"{record['method']} {record['path'] if inbound else record['destination']}",
                str(record["decision"]),
                f"{record.get('kind') or NONE} {short(record.get('subject'))}",
                credential,
            )
        self._out.print(table)

    def _made(self, checks: Iterable[Check]) -> None:
        made = list(checks)
        self.checks.extend(made)
        good = [f"[green]✓[/] {escape(check.name)}" for check in made if check.ok]
        if good:
            self._out.print(Columns(good, width=WIDTH // 2 - 2, padding=(0, 1)))
        for check in made:
            if not check.ok:
                self._failed(check)

    def _failed(self, check: Check) -> None:
        self._out.print(f"[bold red]✗ {escape(check.name)}[/]")
        self._out.print(f"    expected {escape(check.expected)}")
        self._out.print(f"    got      {escape(check.got)}")


def short(value: object) -> str:
    """A value without the middle of its GUIDs; a dash for nothing."""
    return _GUID.sub(r"\1…\2", str(value)) if value else NONE


def _bare(url: str) -> str:
    """An address without what is secret or long in it."""
    address, query, _ = url.partition("?")
    return escape(f"{address}{'?…' if query else ''}")


def _shown(name: str, claims: Claims) -> str:
    if name not in claims:
        return f"[dim]{NONE}[/]"
    value = claims[name]
    if name == "exp":
        return datetime.fromtimestamp(value, UTC).strftime("%H:%M:%S UTC")
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = short(text.removeprefix("https://").replace("localhost", "idp"))
    if name == "iss":
        text = re.sub(r"^idp:\d+", "idp", text)
    return escape(text)


def _seconds(time: object) -> float:
    return datetime.fromisoformat(str(time)).timestamp()


def _table(*columns: tuple[str, int]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    for head, width in columns:
        table.add_column(head, width=width, no_wrap=True, overflow="ellipsis")
    return table
