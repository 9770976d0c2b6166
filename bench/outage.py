"""Is a request lost while the identity provider is away? `python -m bench.outage`.

Tokens are in hand, and every one of them is due for renewal all the time: the provider says
`refresh_in: 1`. Then it is stopped (or hangs, resets, throttles, answers with web pages) under load
for a while, and comes back. Counted is what every request was answered: callers with their tokens
through the inbound listener, the application's calls for them (On-Behalf-Of) and for itself.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

from bench import envoys
from bench.agent import HANDLE, Listening, Pair
from bench.process import Measured, envoy, free_port, listening, require_envoy
from bench.provider import provider, user_token
from demo.idp.faults import Fault
from demo.load import Load
from demo.waiting import until

DOWN = "down"
TROUBLES: dict[str, Fault | None] = {
    DOWN: None,
    "hang": Fault("hang"),
    "reset": Fault("reset"),
    "throttle": Fault("throttle", retry_after=5),
    "html": Fault("html_error"),
}


@dataclass(frozen=True)
class Outcome:
    """What every request was answered before, during and after; how often it was felt."""

    statuses: Counter[int | str]
    examples: dict[int | str, str]
    felt: int

    @property
    def failed(self) -> int:
        """How many requests were answered by anything but 200."""
        return self.statuses.total() - self.statuses[200]


class World:
    """A provider whose port stays, an agent and its Envoy, and calls of *users* people."""

    def __init__(self, folder: Path, stack: ExitStack, users: int = 8) -> None:
        self._stack = stack
        self.folder = folder
        self.idp = provider(folder / "idp", refresh_in=1)
        self.idp.start()
        stack.callback(self.idp.stop)
        application, store = free_port(), free_port()
        learning = Listening(application)
        stack.callback(learning.stop)
        self._server(envoys.application(store), "store", store)
        self.pair = Pair(self.idp, application, store, folder)
        for each in (self.pair.agent, self.pair.envoy):
            stack.enter_context(each)
        for port in (self.pair.inbound, self.pair.outbound):
            self.pair.envoy.wait_until(partial(listening, port), "the agent's Envoy")
        self._calls: Iterator[tuple[str, str]] = iter(())
        self._handles: dict[str, str] = {}
        self.arrive(users)

    def arrive(self, users: int = 8) -> None:
        """Let new people come, and have a token in hand for each of them."""
        bearers = [f"Bearer {user_token(self.idp)}" for _ in range(users)]
        self._handles = {bearer: self._enter(bearer) for bearer in bearers}
        calls = [("own", ""), *((way, bearer) for bearer in bearers for way in ("out", "in"))]
        self._calls = itertools.cycle(calls)
        with requests.Session() as session:
            for _ in calls:
                self.ask(session).raise_for_status()

    def _server(self, config: dict[str, object], name: str, port: int) -> Measured:
        made = self._stack.enter_context(envoy(require_envoy(), config, self.folder, name))
        made.wait_until(lambda: listening(port), name)
        return made

    def _enter(self, bearer: str) -> str:
        answer = requests.get(
            f"http://127.0.0.1:{self.pair.inbound}/api/x",
            headers={"authorization": bearer},
            timeout=10,
        )
        answer.raise_for_status()
        return answer.headers["x-handle"]

    def ask(self, session: requests.Session) -> requests.Response:
        """The next request of the round: in, out for its user, or out for ourselves.

        Calls are made for the latest request that came in, as an application would make them.
        """
        what, bearer = next(self._calls)
        if what == "in":
            url, headers = f"http://127.0.0.1:{self.pair.inbound}/api/x", {"authorization": bearer}
        else:
            url = f"http://127.0.0.1:{self.pair.outbound}/things"
            headers = {"host": "store.bench" if what == "out" else "log.bench"}
            headers |= {HANDLE: self._handles[bearer]} if bearer else {}
        answer = session.get(url, headers=headers, timeout=30)
        if what == "in" and answer.ok:
            self._handles[bearer] = answer.headers["x-handle"]
        return answer

    def outage(self, kind: str, seconds: float) -> Outcome:
        """Let the provider be away for *seconds* under load, in the way that *kind* names."""
        fault = TROUBLES[kind]
        with Load(self.ask) as load:
            before = self._felt(fault)
            port = int(self.idp.base_url.rpartition(":")[2])
            if fault is None:
                self.idp.stop()
            else:
                self.idp.fault(fault)
            end = time.monotonic() + seconds
            until(lambda: time.monotonic() >= end, "the end of the outage", seconds + 5)
            load.more(50)
            felt = self._felt(fault) - before
            if fault is None:
                self.idp.start(port)
            else:
                self.idp.clear_faults()
            load.more(50)
        return Outcome(load.statuses, load.examples, felt)

    def _felt(self, fault: Fault | None) -> int:
        """How often a token was asked for in vain; where nobody counts, how often the log says so.

        The log says each sentence once a minute.
        """
        if fault is not None:
            return self.idp.counters.total("token")
        log = (self.folder / "agent.log").read_text(errors="replace")
        return log.count("Tokens in hand serve")


def main() -> None:
    """Print what became of every request."""
    parser = argparse.ArgumentParser(prog="bench.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kind", choices=tuple(TROUBLES), default=DOWN)
    parser.add_argument("--users", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-") as folder, ExitStack() as stack:
        world = World(Path(folder), stack, options.users)
        found = world.outage(options.kind, options.seconds)
    print(
        f"{options.kind} for {options.seconds:g} s: {found.statuses.total()} requests, "
        f"{found.failed} failed; tokens were asked for in vain (or it was said) {found.felt} times"
    )
    for status, count in found.statuses.items():
        if status != 200:
            print(f"  {count} times {status}: {found.examples[status]}")
    raise SystemExit(1 if found.failed or not found.felt else 0)


if __name__ == "__main__":
    main()
