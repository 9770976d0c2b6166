"""Measure, print the table, write the figures: `make bench`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from bench import envoys, provider
from bench.agent import HANDLE, Listening, Pair
from bench.load import run
from bench.process import Measured, envoy, free_port, listening, require_envoy


@dataclass(frozen=True)
class Row:
    """One thing to measure: where requests go, whose CPU counts, what is sent."""

    name: str
    port: int
    envoy: Measured
    agent: Measured | None
    requests: Callable[[], Iterator[bytes]]
    share: float = 1.0  # of the usual number of requests


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


def request(path: str, headers: dict[str, str], host: str = "api.bench") -> bytes:
    """One HTTP/1.1 request as bytes."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


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


def rows(stack: ExitStack, folder: Path, fresh: int) -> list[Row]:
    """Start everything and return the rows; *fresh* tokens are made for the row that needs them."""
    idp = stack.enter_context(provider.provider())
    application, store, learn = free_port(), free_port(), free_port()
    binary = require_envoy()

    def started(config: envoys.Json, name: str, port: int) -> Measured:
        process = stack.enter_context(envoy(binary, config, folder, name))
        process.wait_until(lambda: listening(port), name)
        return process

    started(envoys.application(application), "application", application)
    started(envoys.application(store), "store", store)
    token = provider.user_token(idp)
    bearer = {"authorization": f"Bearer {token}"}
    known = request("/api/tasks", bearer)

    ports = [free_port() for _ in range(3)]
    plain = started(envoys.plain(ports[0], application), "plain", ports[0])
    issuer = f"{idp.base_url}/{provider.TENANT}/v2.0"
    jwt = started(
        envoys.jwt_authn(ports[1], application, issuer, provider.API, provider.keys(idp)),
        "jwt_authn",
        ports[1],
    )
    socket = folder / "noop.sock"
    noop = stack.enter_context(
        Measured([sys.executable, "-m", "bench.noop", str(socket)], folder / "noop.log")
    )
    noop.wait_until(socket.exists, "the no-op server")
    noop_envoy = started(envoys.noop(ports[2], application, socket), "noop", ports[2])

    def paired(name: str, behind: int) -> Pair:
        (folder / name).mkdir()
        pair = Pair(idp, behind, store, folder / name)
        stack.enter_context(pair.agent)
        stack.enter_context(pair.envoy)
        pair.envoy.wait_until(lambda: listening(pair.inbound), f"the Envoy of '{name}'")
        pair.envoy.wait_until(lambda: listening(pair.outbound), f"the Envoy of '{name}'")
        return pair

    # One each, so that nobody's memory and caches are counted for another row.
    pair, strangers = paired("hit", application), paired("new", application)
    # The application of this one tells us the handle: an outbound call is made under it.
    app = Listening(learn)
    other = paired("out", learn)
    requests.get(
        f"http://127.0.0.1:{other.inbound}/api/x", headers=bearer, timeout=10
    ).raise_for_status()
    app.stop()
    call = request("/things", {HANDLE: app.handle}, host="store.bench")

    supply = iter([provider.user_token(idp) for _ in range(fresh)])

    def each_new() -> Iterator[bytes]:
        for token in supply:
            yield request("/api/tasks", {"authorization": f"Bearer {token}"})

    return [
        Row("no auth", ports[0], plain, None, lambda: repeat(known)),
        Row("jwt_authn", ports[1], jwt, None, lambda: repeat(known)),
        Row("no-op ext_authz (grpcio)", ports[2], noop_envoy, noop, lambda: repeat(known)),
        Row("inbound hit", pair.inbound, pair.envoy, pair.agent, lambda: repeat(known)),
        Row(
            "inbound, new token",
            strangers.inbound,
            strangers.envoy,
            strangers.agent,
            each_new,
            0.25,
        ),
        Row("outbound hit (obo)", other.outbound, other.envoy, other.agent, lambda: repeat(call)),
    ]


def main() -> None:
    """Measure all rows, interleaved, and report."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=6000, help="per round at 16 connections")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", default="", help="only rows whose name holds this text")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    totals = {1: options.requests // 3, 16: options.requests}
    fresh = sum(int(total * 0.25) for total in totals.values()) * options.rounds + 400
    figures: list[Figure] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        measured = [r for r in rows(stack, folder, fresh) if options.rows in r.name]
        for row in measured:
            run(row.port, row.requests(), 16, 200)  # warm-up
        for _ in range(options.rounds):
            for connections, total in totals.items():
                figures.extend(
                    measure(row, connections, int(total * row.share)) for row in measured
                )
    report(figures, options.out)


def report(figures: list[Figure], out: Path) -> None:
    """Print the table; write every round to *out*."""
    table = Table(title="CPU µs per request: minimum / median of the rounds")
    for heading in ("row", "c", "agent", "Envoy", "req/s", "p50 ms", "p99 ms", "agent RSS MB"):
        table.add_column(heading, justify="left" if heading == "row" else "right")
    for row, connections in dict.fromkeys((f.row, f.connections) for f in figures):
        group = [f for f in figures if (f.row, f.connections) == (row, connections)]
        agent = sorted(f.agent_cpu for f in group)
        envoy_cpu = sorted(f.envoy_cpu for f in group)
        rss = max(f.agent_rss_mb for f in group)
        table.add_row(
            row,
            str(connections),
            f"{agent[0]:.0f} / {statistics.median(agent):.0f}" if agent[-1] else "-",
            f"{envoy_cpu[0]:.0f} / {statistics.median(envoy_cpu):.0f}",
            f"{statistics.median(f.per_second for f in group):.0f}",
            f"{statistics.median(f.p50 for f in group):.2f}",
            f"{statistics.median(f.p99 for f in group):.2f}",
            f"{rss:.0f}" if rss else "-",
        )
    Console(width=100).print(table)
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
        "python": platform.python_version(),
        "figures": [asdict(figure) for figure in figures],
    }
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    Console().print(f"every round: {out}")


if __name__ == "__main__":
    main()
