"""Does memory level off over 200,000 distinct tokens? `python -m bench.memory`.

A whole agent but its transport, in this process, with the default bounds (`agent.maxTokens`,
`agent.maxContexts`). Each token is another user's; one in a hundred is asked again.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time

from vectors.court import Court
from vectors.fuzz import rss_mb
from vectors.ring import b64

_GROWTH = 1.05  # from the middle of the run to its end: what allocators do, and no more


def main() -> int:
    """Print the memory at every step; 1 where it goes on growing."""
    parser = argparse.ArgumentParser(prog="bench.memory", description=__doc__)
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--step", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, default=1200, help="about the length of a token")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    marks: list[float] = []
    with Court() as court:
        padding = b64(os.urandom(max(0, (options.bytes - 480) * 9 // 16)))
        claims = court.claims(sid=padding)
        print(f"{'tokens':>8}  {'RSS MB':>7}  {'verified tokens held':>20}", flush=True)
        print(f"{0:>8}  {rss_mb():>7.1f}  {0:>20}", flush=True)
        started = time.monotonic()
        for number in range(1, options.tokens + 1):
            token = court.ring.mint("ed", claims | {"sub": f"user-{number}", "jti": str(number)})
            for _ in range(2 if number % 100 == 0 else 1):
                if not court.ask(token).allowed:
                    raise SystemExit("a good token was refused")
            if number % (options.step // 5) == 0:
                marks.append(rss_mb())
            if number % options.step == 0:
                held = len(court.app._trust._verifier._cache)
                print(f"{number:>8}  {rss_mb():>7.1f}  {held:>20}", flush=True)
        seconds = time.monotonic() - started
    print(f"{options.tokens} tokens of {len(token)} bytes in {seconds:.0f} s")
    middle = marks[len(marks) // 2]
    level = marks[-1] <= middle * _GROWTH
    print(f"from the middle to the end: {middle:.1f} to {marks[-1]:.1f} MB", end="; ")
    print("level" if level else "IT GROWS")
    return 0 if level else 1


if __name__ == "__main__":
    sys.exit(main())
