"""Requests without a pause, from several threads, and every status that came back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import requests

from demo.waiting import until


class Load:
    """A context manager: *ask* is called over and over until the end of the block.

    `statuses` counts the answers; an exception counts under its name.
    """

    def __init__(self, ask: Callable[[requests.Session], requests.Response], threads: int = 4):
        self._ask = ask
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        self.statuses: Counter[int | str] = Counter()
        self.examples: dict[int | str, str] = {}

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def total(self) -> int:
        """How many requests were answered, or failed."""
        with self._lock:
            return self.statuses.total()

    def more(self, count: int) -> None:
        """Let *count* more requests pass."""
        goal = self.total + count
        until(lambda: self.total >= goal, f"{count} requests", 60)

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.is_set():
                outcome, example = self._once(session)
                with self._lock:
                    self.statuses[outcome] += 1
                    self.examples.setdefault(outcome, example)

    def _once(self, session: requests.Session) -> tuple[int | str, str]:
        try:
            answer = self._ask(session)
        except requests.RequestException as error:
            return type(error).__name__, str(error)
        return answer.status_code, answer.text[:300]
