"""What does a token from the TokenService cost? `python -m bench.tokens`.

A real agent without an Envoy hands out an On-Behalf-Of token that it holds already, to one client
that asks one question after the other: by gRPC on the Unix socket, and by HTTP on loopback over one
connection. The time is the client's, its own work included; the CPU is the agent's alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import requests
from rich.console import Console
from rich.table import Table

from agent.token_service.rpc import GET_TOKEN
from agent.token_service.token_service_pb2 import GetTokenRequest, GetTokenResponse
from bench.process import Measured, free_port, listening
from bench.provider import API, TENANT, provider, user_token
from demo.idp.server import IdentityProvider

Figures = tuple[float, float, float]
"""p50 and p99 in milliseconds, the agent's CPU per answer in microseconds."""


def configuration(idp: IdentityProvider, folder: Path, port: int) -> dict[str, object]:
    """An agent that hands out one user's token, and its own key."""
    (folder / "secret").write_text("api-secret", encoding="ascii")
    (folder / "key").write_text("an-api-key", encoding="ascii")
    entra = {"authority": idp.base_url, "caFile": str(idp.ca_file)}
    proof = {"tenant": TENANT, "clientId": API, "secretFile": str(folder / "secret")}
    return {
        "workload": {"name": "api", "namespace": "bench"},
        "listeners": {"inbound": {"application": f"127.0.0.1:{free_port()}"}},
        "issuers": [{"name": "e", "entra": entra | {"tenants": [TENANT], "audiences": [API]}}],
        "identities": [{"name": "api", "entra": entra | proof}],
        "destinations": [
            {
                "name": "store",
                "credential": {"obo": {"identity": "api", "scopes": ["api://store/.default"]}},
            }
        ],
        "tokenService": {
            "socket": str(folder / "tokens.sock"),
            "http": f"127.0.0.1:{port}",
            "destinations": ["store"],
        },
        "agent": {"socket": str(folder / "agent.sock"), "admin": f"127.0.0.1:{free_port()}"},
        "audit": {"file": str(folder / "audit.log")},
    }


def by_grpc(folder: Path, token: str) -> Callable[[], None]:
    """Ask once over an open channel."""
    channel = grpc.insecure_channel(f"unix:{folder}/tokens.sock")
    call: Any = channel.unary_unary(GET_TOKEN, response_deserializer=GetTokenResponse.FromString)
    headers = {"authorization": f"Bearer {token}"}
    message = GetTokenRequest(destination="store", headers=headers).SerializeToString()

    def ask() -> None:
        if not call(message, timeout=10).token:
            raise SystemExit("a hit gave no token")

    return ask


def by_http(port: int, token: str) -> Callable[[], None]:
    """Ask once over a connection that stays open."""
    session = requests.Session()
    session.trust_env = False
    session.headers["authorization"] = f"Bearer {token}"
    url = f"http://localhost:{port}/AuthorizationHeader/store"

    def ask() -> None:
        session.get(url, timeout=10).raise_for_status()

    return ask


def measure(agent: Measured, ask: Callable[[], None], count: int) -> Figures:
    """*count* answers, one after the other."""
    for _ in range(50):
        ask()
    times = []
    before = agent.cpu_seconds()
    for _ in range(count):
        started = time.perf_counter()
        ask()
        times.append(time.perf_counter() - started)
    cpu = (agent.cpu_seconds() - before) / count
    times.sort()
    return times[count // 2] * 1e3, times[count * 99 // 100] * 1e3, cpu * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, provider() as idp:
        folder, port = Path(made), free_port()
        file = folder / "attache.yaml"
        file.write_text(json.dumps(configuration(idp, folder, port)), encoding="utf-8")
        cli = [sys.executable, "-c", "from agent.cli import main; main()"]
        command = [*cli, "run", "--config", str(file)]
        with Measured(command, folder / "agent.log") as agent:
            agent.wait_until(lambda: listening(port), "the agent")
            token = user_token(idp)
            asks = {"gRPC, Unix socket": by_grpc(folder, token), "HTTP": by_http(port, token)}
            rounds: dict[str, list[Figures]] = {name: [] for name in asks}
            for _ in range(chosen.rounds):  # interleaved, for a machine's speed drifts
                for name, ask in asks.items():
                    rounds[name].append(measure(agent, ask, chosen.requests))
            rss = agent.rss_mb()
    table = Table("hit", "p50 ms", "p99 ms", "agent CPU µs")
    for name, figures in rounds.items():
        columns = zip(*figures, strict=True)
        shown = [f"{min(column):.3g} / {statistics.median(column):.3g}" for column in columns]
        table.add_row(name, *shown)
    console = Console()
    console.print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {rss:.0f} MB RSS")
    console.print(f"minimum / median of {chosen.rounds} rounds of {chosen.requests}", table)


if __name__ == "__main__":
    main()
