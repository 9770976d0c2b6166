"""Do hits wait when an issuer hangs? `python -m bench.stalled`.

Through the agent's own socket, as Envoy asks. The figure is `latencyMs` of the audit record, the
agent's own decision time, of hits alone: first with nobody else, then while tokens with unknown
keys wait for an issuer that accepts connections and never answers. Rounds are interleaved, each
with a fresh agent, for a hang lasts one fetch for each cool-down.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from demo.waiting import until
from vectors.court import Court, question, verdict

CHECK = "/envoy.service.auth.v3.Authorization/Check"


def check(channel: grpc.Channel) -> Callable[[bytes], bytes]:
    """Ask over *channel* as Envoy does, with its patience."""
    call: Any = channel.unary_unary(CHECK)

    def ask(message: bytes) -> bytes:
        answer: bytes = call(message, timeout=10)
        return answer

    return ask


def hits(court: Court, channel: grpc.Channel, going_on: Callable[[], bool]) -> list[float]:
    """Decision times of hits in ms, one after the other, for as long as *going_on*."""
    ask = check(channel)
    message = question({"authorization": f"Bearer {court.genuine()[0]}"})
    ask(message)
    time.sleep(0.2)  # let the writer of audit records come to rest
    before = len(records(court))
    count = 0
    while going_on():
        if not verdict(ask(message)).allowed:
            raise SystemExit("a hit was refused")
        count += 1
    until(lambda: len(records(court)) >= before + count, "the audit records")
    mine = [json.loads(line) for line in records(court)[before:]]
    return [record["latencyMs"] for record in mine if record["decision"] == "allow"]


def records(court: Court) -> list[bytes]:
    """The audit records so far."""
    return court.audit.read_bytes().split(b"\n")[:-1]


def one_round(rate: float, seconds: float) -> tuple[list[float], list[float], int]:
    """Hits alone, hits beside *rate* misses a second, and how many of these waited at the end."""
    with Court() as court, grpc.insecure_channel(f"unix:{court.socket}") as channel:
        end = time.monotonic() + seconds
        alone = hits(court, channel, lambda: time.monotonic() < end)
        source = court.source("op")
        court.pages.held.clear()
        count = int(rate * seconds)
        tokens = [court.ring.mint("ed", court.claims(), kid=f"k{n}") for n in range(count)]
        # futures: threads of ours that wait would take turns with those that are measured
        calls: Any = channel.unary_unary(CHECK)
        answers = []

        def miss() -> None:
            for token in tokens:
                message = question({"authorization": f"Bearer {token}"})
                answers.append(calls.future(message, timeout=20))
                time.sleep(1 / rate)

        missing = threading.Thread(target=miss)
        missing.start()
        until(lambda: source.waiting, "the first miss")
        beside = hits(court, channel, missing.is_alive)
        waited = source.waiting
        court.pages.held.set()
        missing.join()
        for answer in answers:
            answer.exception()
    return alone, beside, waited


def main() -> None:
    """Print both distributions."""
    parser = argparse.ArgumentParser(prog="bench.stalled", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=50, help="misses a second")
    parser.add_argument("--seconds", type=float, default=3.0, help="of hits, for each part")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    found: dict[str, list[list[float]]] = {"alone": [], "beside a hanging issuer": []}
    for _ in range(options.rounds):
        *both, waited = one_round(options.rate, options.seconds)
        for samples, name in zip(both, found, strict=True):
            found[name].append(samples)
        print(
            f"  {len(both[0])} and {len(both[1])} hits; {waited} misses waited at the end",
            flush=True,
        )
    for name, rounds in found.items():
        p99 = [statistics.quantiles(each, n=100)[98] for each in rounds]
        p50 = statistics.median([statistics.median(each) for each in rounds])
        print(f"{name:>24}: p50 {p50:.3f} ms, p99 {min(p99):.3f} / {statistics.median(p99):.3f} ms")
    print("p99: minimum / median of the rounds")


if __name__ == "__main__":
    main()
