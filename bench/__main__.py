"""Measure all rows, print the table, write the figures: `make bench`."""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import figures, page, stalled, start
from bench.agent import HERE
from bench.rows import ROWS, Stand


def main() -> None:
    """Measure all rows, interleaved, and report."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=6000, help="per round at 16 connections")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="", help="only rows whose name holds this text")
    parser.add_argument("--tokens", type=int, default=100_000, help="distinct ones, for the RSS")
    parser.add_argument("--out", type=Path, default=HERE / "build" / "bench.json")
    parser.add_argument("--page", type=Path, help="a document whose measured part is renewed")
    options = parser.parse_args()
    share = 0.25 * (options.requests + options.requests // 3)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stand = Stand(stack, folder, int(share * options.rounds) + 400)
        made = [make(stand, name, HERE) for name, make in ROWS.items() if options.rows in name]
        rows = [row for row in made if row is not None]
        measured = figures.interleaved(rows, options.rounds, options.requests)
        hung = stalled.measured(stand, options.rounds) if options.rows in stalled.NAME else []
    if rows:
        figures.show(measured)
    if hung:
        stalled.show(hung)
    rest = None
    if options.page:
        rest = start.measured(options.tokens)
        page.renew(options.page, measured, hung, rest, options.rounds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = figures.document(measured) | {"stalled": stalled.document(hung), "start": rest}
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"every round: {options.out}")


if __name__ == "__main__":
    main()
