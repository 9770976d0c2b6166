"""Who asks so many times a second, whatever becomes of the answers? A process of its own.

`python -m bench.paced PORT RATE` reads the requests from its standard input, a JSON list, says a
line when the first is sent, ends with the last answer, and prints what it saw. A process, because
a thread would take turns with the client whose latencies are measured.
"""

from __future__ import annotations

import json
import selectors
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import Connection

_PATIENCE = 30.0  # seconds without any answer, after which we stop


@dataclass(frozen=True)
class Seen:
    """What became of the requests. `held` is the median of their latencies, `late` how much later
    than its time the latest was sent; both in seconds. `waiting`: how many were under way at most.
    """

    sent: int
    statuses: dict[str, int]
    waiting: int
    held: float
    late: float


def ask(port: int, requests: Sequence[bytes], rate: float) -> Seen:
    """Send *requests*, *rate* a second, each over a connection on which nobody waits."""
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    idle: list[Connection] = []
    sent, most, late = 0, 0, 0.0
    with selectors.DefaultSelector() as selector:
        started = heard = time.perf_counter()
        while len(latencies) < len(requests):
            now = time.perf_counter()
            due = started + sent / rate
            if sent < len(requests) and now >= due:
                connection = idle.pop() if idle else _opened(port, selector)
                connection.send(requests[sent])
                sent, late = sent + 1, max(late, now - due)
                most = max(most, sent - len(latencies))
                due = started + sent / rate
            elif now > heard + _PATIENCE:
                raise TimeoutError(f"no answer within {_PATIENCE:g} s")
            pause = max(0.0, due - now) if sent < len(requests) else _PATIENCE
            for key, _ in selector.select(pause):
                status = key.data.answer()
                if status is not None:
                    heard = time.perf_counter()
                    latencies.append(heard - key.data.sent)
                    statuses[str(status)] += 1
                    idle.append(key.data)
        for each in list(selector.get_map().values()):
            each.data.socket.close()
    return Seen(sent, dict(statuses), most, statistics.median(latencies), late)


def _opened(port: int, selector: selectors.BaseSelector) -> Connection:
    opened = Connection(port)
    selector.register(opened.socket, selectors.EVENT_READ, opened)
    return opened


class Paced(AbstractContextManager["Paced"]):
    """`ask` in a process of its own, which has begun; it is gone after the block in any case."""

    def __init__(self, port: int, requests: Sequence[bytes], rate: float) -> None:
        command = [sys.executable, "-m", "bench.paced", str(port), str(rate)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._said = self._process.stdout
        with self._process.stdin as told:
            json.dump([request.decode() for request in requests], told)
        self._said.readline()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._said.close()

    def seen(self) -> Seen:
        """What it saw, once it has ended."""
        said = self._said.read()
        if self._process.wait() or not said:
            raise RuntimeError("the process that asks at a pace has failed")
        return Seen(**json.loads(said))


def main() -> None:
    """Ask, and print what was seen."""
    port, rate = int(sys.argv[1]), float(sys.argv[2])
    requests = [request.encode() for request in json.load(sys.stdin)]
    print("asking", flush=True)
    print(json.dumps(asdict(ask(port, requests, rate))), flush=True)


if __name__ == "__main__":
    main()
