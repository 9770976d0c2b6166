"""Does a restart of the agent fail a request? `python -m bench.restart --tries 20`.

A real agent with its Envoy, under load without a pause. At each try the next agent is started in
the same moment in which the present one is told to end: it comes up while the other answers what
is under way. `--kill`: the present one is not told, but killed.

Between the two Envoy asks again and again, for 20 s: where a start takes longer,
requests fail, and the line says how long it took. That the transport itself loses none is
`tests/envoy/test_restart_e2e.py`, which tries as often as ATTACHE_RESTARTS says.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import requests

from bench.rows import Stand
from demo.load import Load
from demo.waiting import until


def main() -> int:
    """Restart so many times; 1 where a request failed."""
    parser = argparse.ArgumentParser(prog="bench.restart", description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    number = signal.SIGKILL if options.kill else signal.SIGTERM
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stand = Stand(stack, folder)
        pair = stand.a_pair("hit")
        headers = {"authorization": f"Bearer {stand.token}"}
        url = f"http://127.0.0.1:{pair.inbound}/api/tasks"

        waiting: dict[int, float] = {}

        def ask(session: requests.Session) -> requests.Response:
            waiting[threading.get_ident()] = time.monotonic()
            try:
                return session.get(url, headers=headers, timeout=30)
            finally:
                del waiting[threading.get_ident()]

        with Load(ask, threads=8) as load:
            for tried in range(options.tries):
                before = load.total
                began = time.monotonic()
                pair.restart(number)
                took = time.monotonic() - began
                load.more(100)
                # Who waited for this start is answered before the next: each try stands alone.
                until(partial(_all_began_after, began + took, waiting), "who waited", 60)
                print(
                    f"{tried + 1}: {took:.1f} s, {load.total - before} requests, "
                    f"so far {dict(load.statuses)}",
                    flush=True,
                )
        stack.callback(lambda: pair.agent.__exit__(None, None, None))
        failed = load.total - load.statuses[200]
        print(f"{failed} of {load.total} requests failed in {options.tries} restarts")
        return 1 if failed else 0


def _all_began_after(moment: float, waiting: Mapping[int, float]) -> bool:
    return min([*waiting.values(), moment]) >= moment


if __name__ == "__main__":
    sys.exit(main())
