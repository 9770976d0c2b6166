"""Has attache.yaml changed for good? Until it has, and is valid, the old one stays whole."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.config.attache import Attache
from agent.config.finding import ConfigInvalid
from agent.config.loading import content_of, parse

log = logging.getLogger(__name__)

SETTLE = 0.5  # seconds that a content must stand still: nobody can tell a half-written file


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the file: the fingerprint last acted on, and the one that stands there.

    Times are seconds of a monotonic clock. A fingerprint is of the content, never of the inode or
    the modification time: a ConfigMap's `..data` swap, a rename and a rewrite all look alike.
    """

    acted: str = ""
    found: str = ""
    since: float = 0.0


def due(seen: Seen, found: str, now: float) -> tuple[Seen, bool]:
    """Return what is known at *now*, and whether to act on *found*: once, when it has settled."""
    if found == seen.acted:
        return Seen(found, found, now), False
    if found != seen.found:
        return Seen(seen.acted, found, now), False
    if now - seen.since < SETTLE:
        return seen, False
    return Seen(found, found, now), True


class Watcher:
    """Calls `on_change` with each new configuration, `on_invalid` once for each broken one.

    A file that vanished or cannot be read is a broken one. When a broken file is put right,
    `on_change` is called even if it says what is *running* already: that ends the alarm.
    `on_change` may raise `ConfigInvalid` itself. Both are called on the watcher's thread.
    """

    def __init__(
        self,
        path: Path,
        running: Attache,
        on_change: Callable[[Attache], None],
        on_invalid: Callable[[ConfigInvalid], None],
        clock: Callable[[], float],
        interval: float = 1.0,
    ) -> None:
        self._path = path
        self._running = running
        self._on_change = on_change
        self._on_invalid = on_invalid
        self._clock = clock
        self._interval = interval
        self._seen = Seen()
        self._broken = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="config-watch", daemon=True)

    def start(self) -> None:
        """Look every *interval* seconds from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when a call in flight has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def tick(self, now: float) -> None:
        """Look once; *now* is in seconds of a monotonic clock."""
        content: bytes | ConfigInvalid
        try:
            content = content_of(self._path)
            found = hashlib.sha256(content).hexdigest()
        except ConfigInvalid as unreadable:
            content, found = unreadable, str(unreadable)
        self._seen, act = due(self._seen, found, now)
        if act:
            self._act(content)

    def _act(self, content: bytes | ConfigInvalid) -> None:
        try:
            if isinstance(content, ConfigInvalid):
                raise content
            # The very bytes that settled are parsed: the file may be another one by now.
            config = parse(content, str(self._path))
            if self._broken or config != self._running:
                self._on_change(config)
        except ConfigInvalid as invalid:
            self._broken = True
            self._on_invalid(invalid)
        else:
            self._broken = False
            self._running = config

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.tick(self._clock())
            except Exception:  # the old configuration goes on, and so does the watch
                log.exception(
                    "cannot take over the new configuration from %s; the old one stays. "
                    "This is a fault of the agent: report the trace below",
                    self._path,
                )
