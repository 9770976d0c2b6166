"""Who looks at what expires while the agent runs, and says so in the log?"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from agent.config.attache import Attache
from agent.expiry.files import Reader
from agent.expiry.sources import Source, sources
from agent.expiry.table import Fact, Memory, Row, due, table

log = logging.getLogger("attache.expiry")

LOOK = 2.0  # seconds between two looks; files that have not changed are not read

Live = Callable[[], Iterable[Fact]]
"""What no file says: keys and refresh tokens as the running agent knows them."""


class ExpiryWatch:
    """Keeps the table of what expires, and speaks of each thing in time. *clock*: UTC seconds."""

    def __init__(self, live: Live, clock: Callable[[], float], interval: float = LOOK) -> None:
        self._live = live
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._reader = Reader()
        self._sources: tuple[Source, ...] = ()
        self._told: Memory = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="expiry", daemon=True)

    def take(self, config: Attache) -> None:
        """Watch what *config* names from now on."""
        found = sources(config)
        with self._lock:
            self._sources = found

    def start(self) -> None:
        """Look now, and every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def rows(self) -> tuple[Row, ...]:
        """The table of this moment."""
        now = self._clock()
        with self._lock:
            read = self._reader.facts(self._sources, now)
        return table(now, (*read, *self._live()))

    def documents(self) -> list[dict[str, Any]]:
        """The table as /status shows it. No secret is in it."""
        return [row.document() for row in self.rows()]

    def seconds(self) -> list[tuple[str, str, float]]:
        """(name, kind, seconds until the end) of what has a known end; negative once it is over."""
        return [
            (row.fact.name, row.fact.kind.value, row.remaining)
            for row in self.rows()
            if row.remaining is not None
        ]

    def tick(self) -> None:
        """Look once, and say what is to be said."""
        self._told, remarks = due(self._told, self.rows())
        for remark in remarks:
            level = logging.INFO if remark.good else logging.WARNING
            log.log(logging.ERROR if remark.loud else level, "%s", remark.sentence)

    def _loop(self) -> None:
        while True:
            try:
                self.tick()
            except Exception:
                log.exception("looking at what expires failed. This is a bug: report it")
            if self._stop.wait(self._interval):
                return
