"""What did a round cost? And the rounds of a row together: a table for people, a page for docs."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load import run
from bench.process import require_envoy
from bench.rows import Row

HEADINGS = ("row", "c", "agent", "Envoy", "req/s", "p50 ms", "p99 ms", "agent RSS MB")

# Issue 8: the agent's CPU µs per request at 16 connections and at one
GOALS = {
    "inbound hit": (35, 100),
    "outbound hit (obo)": (40, 110),
    "inbound, new token": (120, 190),
    "gateway hit (internal token)": (45, None),
}

# What a Go server that does nothing took on the machine of the goals, µs at so many connections
YARDSTICK = "no-op ext_authz (Go)"
THERE = {16: 39, 1: 148}


@dataclass(frozen=True)
class Figure:
    """One round of one row. CPU in microseconds per request, latencies in milliseconds."""

    row: str
    connections: int
    agent_cpu: float
    envoy_cpu: float
    per_second: float
    p50: float
    p99: float
    agent_rss_mb: float


def measure(row: Row, connections: int, total: int) -> Figure:
    """Run one round."""
    before = row.envoy.cpu_seconds(), row.agent.cpu_seconds() if row.agent else 0.0
    load = run(row.port, row.requests(), connections, total)
    after = row.envoy.cpu_seconds(), row.agent.cpu_seconds() if row.agent else 0.0
    if load.failed:
        raise RuntimeError(f"{row.name}: {load.failed} of {total} requests failed")
    return Figure(
        row.name,
        connections,
        (after[1] - before[1]) / total * 1e6,
        (after[0] - before[0]) / total * 1e6,
        total / load.seconds,
        load.quantile(0.5) * 1000,
        load.quantile(0.99) * 1000,
        row.agent.rss_mb() if row.agent else 0.0,
    )


def interleaved(rows: Sequence[Row], rounds: int, requests: int) -> list[Figure]:
    """All rows once, then again: a machine that slows down does so for all of them."""
    for row in rows:
        run(row.port, row.requests(), 16, 200)  # warm-up
    return [
        measure(row, connections, int(total * row.share))
        for _ in range(rounds)
        for connections, total in ((1, requests // 3), (16, requests))
        for row in rows
    ]


def cells(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """One line for each row and number of connections: minimum / median of the CPU."""
    lines: list[tuple[str, ...]] = []
    for row, connections in dict.fromkeys((f.row, f.connections) for f in figures):
        group = [f for f in figures if (f.row, f.connections) == (row, connections)]
        rss = max(f.agent_rss_mb for f in group)
        lines.append(
            (
                row,
                str(connections),
                _spread([f.agent_cpu for f in group]),
                _spread([f.envoy_cpu for f in group]),
                f"{statistics.median(f.per_second for f in group):.0f}",
                f"{statistics.median(f.p50 for f in group):.2f}",
                f"{statistics.median(f.p99 for f in group):.2f}",
                f"{rss:.0f}" if rss else "-",
            )
        )
    return lines


def _spread(values: list[float]) -> str:
    return f"{min(values):.0f} / {statistics.median(values):.0f}" if any(values) else "-"


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(title="CPU µs per request: minimum / median of the rounds")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "row" else "right")
    for line in cells(figures):
        table.add_row(*line)
    Console(width=110).print(table)


def markdown(figures: Sequence[Figure]) -> str:
    """The same table for a document."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    lines += ["| " + " | ".join(line) + " |" for line in cells(figures)]
    return "\n".join(lines)


def goals(figures: Sequence[Figure], others: Sequence[tuple[str, int, float, float]] = ()) -> str:
    """What was to be reached and what was, for a document: the median of the rounds.

    A machine's speed is in both, so each is also told as a multiple of what the Go server that does
    nothing took beside it. *others* are goals for other things than CPU: name, connections, goal,
    reached; as multiples.
    """
    lines = [
        "| row | c | goal | reached | | goal, in Go's no-ops | reached, in Go's no-ops | |",
        "|---" * 8 + "|",
    ]
    for row, (sixteen, one) in GOALS.items():
        for connections, goal in ((16, sixteen), (1, one)):
            reached = _median(figures, row, connections)
            if goal is None or reached is None:
                continue
            line = f"| {row} | {connections} | {goal} | {reached:.0f} | {_word(reached <= goal)} |"
            here = _median(figures, YARDSTICK, connections)
            wanted = goal / THERE[connections]
            told = f"{reached / here:.2f} | {_word(reached / here <= wanted)}" if here else "- | "
            lines.append(f"{line} {wanted:.2f} | {told} |")
    for row, connections, most, reached in others:
        word = _word(reached <= most)
        lines.append(f"| {row} | {connections} | {most:g} times | {reached:.2f} | {word} | | | |")
    return "\n".join(lines)


def _median(figures: Sequence[Figure], row: str, connections: int) -> float | None:
    group = [f.agent_cpu for f in figures if (f.row, f.connections) == (row, connections)]
    return statistics.median(group) if group else None


def _word(reached: bool) -> str:
    return "yes" if reached else "no"


def machine() -> str:
    """On what this was measured, in one line."""
    version = subprocess.run([require_envoy(), "--version"], capture_output=True, text=True)
    envoy = version.stdout.strip().rpartition("version: ")[2].split("/")[1:2]
    busy = f"load average {os.getloadavg()[0]:.1f} at the end"
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {busy}), Python "
        f"{platform.python_version()}, Envoy {''.join(envoy)}, {time.strftime('%Y-%m-%d')}"
    )


def document(figures: Sequence[Figure]) -> dict[str, Any]:
    """Every round, for a file."""
    return {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
