"""Send the crowd and write what became of it: `python -m bench.crowd`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.crowd.plan import WAYS, Errand, plan
from bench.crowd.pod import NODE, TRACED
from bench.crowd.world import World
from demo import npm


def main() -> None:
    """Run it once; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="bench.crowd", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--only", default="", help="one application")
    parser.add_argument("--out", type=Path, default=Path("build/crowd.json"))
    options = parser.parse_args()
    console = Console(width=100)
    applications = [name for name in WAYS if options.only in name]
    try:
        npm.installed(NODE / "package.json")
    except npm.NotInstalled as reason:
        console.print(f"without the application of Node: {reason}")
        applications.remove("node")
    errands = plan(options.people, options.calls, applications)
    with World(options.people, applications) as world:
        verdict, seconds = world.run(errands)
        links = {
            name: {
                outcome: int(pod.counted("attache_link_total", outcome=outcome))
                for outcome in ("resolved", "none", "no_subject", "ambiguous_subject")
            }
            for name, pod in world.pods.items()
        }
    console.print(_table(errands))
    figures = {"seconds": round(seconds, 1), **verdict.shown(), "links": links}
    for name, figure in figures.items():
        if name != "wrong":
            console.print(f"{name}: {figure}")
    for sentence in verdict.wrong[:20]:
        console.print(f"WRONG: {sentence}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = {"date": when, "cores": os.cpu_count(), **figures}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    console.print(f"written: {options.out}")
    sys.exit(bool(verdict.wrong))


def _table(errands: list[Errand]) -> Table:
    table = Table(title="requests by application and way")
    for heading in ("application", "Envoy's tracer", "way", "requests", "foreseen"):
        table.add_column(heading)
    counts = Counter((errand.application, errand.way) for errand in errands)
    for (application, way), count in counts.items():
        traced = "on" if application in TRACED else "off"
        foreseen = way.denied or f"{way.calls} calls each"
        table.add_row(application, traced, way.name, str(count), foreseen)
    return table


if __name__ == "__main__":
    main()
