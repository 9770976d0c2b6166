"""What did a change do? This checkout's agent beside another commit's: `make bench-compare BASE=`.

The rows of both run in one run, interleaved, under the same Envoy and the same load; what is
compared is the CPU of the agent alone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.agent import HERE
from bench.figures import Figure, interleaved
from bench.rows import ROWS, Stand

_ROWS = (
    "inbound hit",
    "inbound, new token",
    "gateway hit (internal token)",
    "gateway, token minted each time",
    "outbound hit (obo)",
)


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The tree of *commit*, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="base-") as folder:
        archive = subprocess.run(
            ["git", "-C", str(HERE), "archive", commit, "agent"], capture_output=True, check=False
        )
        if archive.returncode:
            raise SystemExit(f"there is no commit '{commit}': {archive.stderr.decode().strip()}")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def main() -> None:
    """Measure both and print the difference of the medians."""
    parser = argparse.ArgumentParser(prog="bench.compare", description=__doc__)
    parser.add_argument("base", help="a commit, as git names it")
    parser.add_argument("--requests", type=int, default=6000, help="per round at 16 connections")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", default="", help="only rows whose name holds this text")
    options = parser.parse_args()
    share = 0.25 * (options.requests + options.requests // 3)
    names = [name for name in _ROWS if options.rows in name]
    with checkout(options.base) as base, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stand = Stand(stack, folder, int(share * options.rounds) + 400)
        rows = [
            row
            for name in names
            for tree, side in ((base, "before"), (HERE, "after"))
            if (row := ROWS[name](stand, f"{side} {name}", tree)) is not None
        ]
        found = interleaved(rows, options.rounds, options.requests)
    table = Table(title=f"agent CPU µs per request, {options.base} and here: minimum / median")
    for heading in ("row", "c", "before", "after", "median"):
        table.add_column(heading, justify="left" if heading == "row" else "right")
    for name in names:
        for connections in (1, 16):
            before = _cpu(found, f"before {name}", connections)
            after = _cpu(found, f"after {name}", connections)
            change = statistics.median(after) / statistics.median(before) - 1
            table.add_row(name, str(connections), _text(before), _text(after), f"{change:+.1%}")
    Console(width=100).print(table)


def _cpu(figures: list[Figure], row: str, connections: int) -> list[float]:
    return [f.agent_cpu for f in figures if (f.row, f.connections) == (row, connections)]


def _text(values: list[float]) -> str:
    return f"{min(values):.1f} / {statistics.median(values):.1f}"


if __name__ == "__main__":
    main()
