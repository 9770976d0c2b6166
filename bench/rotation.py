"""Is a rotating token ever lost? `python -m bench.rotation`: 200 kills, then 10,000 rotations.

The provider is the certified oidc-provider of the tests, which revokes a grant whose token is used
twice. Kills are at each named step in turn, and at random. After each one another process goes on,
and what the provider saw is compared with what the store holds:

- outside the moment in flight the next rotation must succeed, no token may have been sent after it
  was used up, and the grant must live;
- inside it (the provider answered, and nothing was kept) the agent must say that a login is needed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.rotating import IN_FLIGHT, SPAWN, STEPS, Rotating, rotator

_GROWTH = 1.05  # from the middle of the run to its end: what allocators do, and no more


def main() -> int:
    """Print what happened; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="bench.rotation", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rotations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(f"seed {options.seed}", flush=True)
    peers: Any = importlib.import_module("tests.e2e.peers.oidc_provider")
    with tempfile.TemporaryDirectory(prefix="attache-rotation-") as folder:
        peer = peers.OidcProvider(Path(folder) / "provider")
        try:
            broken = kills(Path(folder), peer, options.kills, random.Random(options.seed))
            grows = not flat(Path(folder), peer, options.rotations)
        finally:
            peer.stop()
    return 1 if broken or grows else 0


def kills(folder: Path, peer: Any, count: int, chance: random.Random) -> int:
    """End *count* rotations; how many of them broke a promise."""
    worlds: Any = importlib.import_module("tests.e2e.stored_bench")
    home = folder / "kills"
    home.mkdir()
    bench = worlds.Bench(home, peer, {"file": {"path": str(home / "crm")}})
    seen: Counter[str] = Counter()
    started = time.monotonic()
    for number in range(count):
        die = STEPS[number // 2 % len(STEPS)] if number % 2 == 0 else ""
        bench.relay.sent.clear()
        bench.relay.issued.clear()
        process = Rotating(bench.file, times=1 if die else 1000, die=die)
        if not die:
            process.wait_for_one()
            time.sleep(chance.uniform(0.0, 0.15))
            process.process.kill()
        code, said = process.end()
        if code != -9:
            seen[f"BROKEN: ended with {code}: {said[-1:]}"] += 1
        attempt = bench.record.attempt
        bench.relay.rest("" if die or attempt is None else attempt.token)
        kept = bench.record.fingerprint
        last = bench.relay.issued[-1] if bench.relay.issued else kept
        in_flight = last != kept
        if die and in_flight != (die in IN_FLIGHT):
            seen[f"BROKEN: {die} in flight: {in_flight}"] += 1
        code, said = Rotating(bench.file).end()
        where = "named step" if die else "random"
        if in_flight:
            detected = code == 1 and "run 'attache login crm'" in said[-1]
            seen[f"{where}: in flight: {'told' if detected else 'BROKEN: not told'}"] += 1
            bench.log_in()
            continue
        used = bench.relay.reused()
        fine = code == 0 and used == 0
        seen[f"{where}: outside: {'goes on' if fine else f'BROKEN: {code} {said} {used}'}"] += 1
        if not fine:
            bench.log_in()
    bench.relay.stop()
    print(f"\n{count} kills in {time.monotonic() - started:.0f} s")
    for words, times in sorted(seen.items()):
        print(f"{times:>6}  {words}")
    return sum(times for words, times in seen.items() if "BROKEN" in words)


def flat(folder: Path, peer: Any, count: int) -> bool:
    """Rotate *count* times in one process; whether memory and files stay level."""
    if not count:
        return True
    worlds: Any = importlib.import_module("tests.e2e.stored_bench")
    home = folder / "flat"
    home.mkdir()
    bench = worlds.Bench(home, peer, {"file": {"path": str(home / "crm")}}, direct=True)
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_rotate, args=(bench.file, home, count, theirs))
    process.start()
    theirs.close()
    started = time.monotonic()
    marks: list[tuple[int, float, int]] = []
    print(f"\n{'rotations':>9}  {'RSS MB':>7}  {'files, bytes':>12}", flush=True)
    try:
        while True:
            marks.append(ours.recv())
            print(f"{marks[-1][0]:>9}  {marks[-1][1]:>7.1f}  {marks[-1][2]:>12}", flush=True)
    except EOFError:
        process.join()
    seconds = time.monotonic() - started
    if process.exitcode or not marks:
        print(f"BROKEN: the process ended with {process.exitcode}")
        return False
    middle = marks[len(marks) // 2]
    level = marks[-1][1] <= middle[1] * _GROWTH and marks[-1][2] <= middle[2] * _GROWTH
    print(f"{count} rotations in {seconds:.0f} s; {'level' if level else 'IT GROWS'}")
    return level


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _rotate(config: Path, home: Path, count: int, pipe: Any) -> None:
    rotating = rotator(config)
    for number in range(1, count + 1):
        outcome = rotating.token()
        if type(outcome).__name__ != "Have":
            print(f"BROKEN: {rotating.problem}", flush=True)
            sys.exit(1)
        if number % max(1, count // 10) == 0:
            size = sum(file.stat().st_size for file in home.iterdir() if file.name != "bench.yaml")
            pipe.send((number, _rss_mb(), size))


if __name__ == "__main__":
    sys.exit(main())
