"""When does Envoy get new resources? With a new configuration, credential or certificate."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.config.attache import Attache
from agent.envoy.injection import NOTHING_PUSHED, Pushed
from agent.envoy.material import NOTHING_READ, Contents, Material, places
from agent.envoy.pod import ALONE, Pod
from agent.envoy.snapshot import Snapshot

log = logging.getLogger("attache.ads")

LOOK = 0.25  # seconds between two looks at pushed credentials and at certificates' files
AtHand = Callable[[float], Pushed]
"""The credentials to push at a time (UTC seconds); it also has those fetched that are missing."""


def changes(before: Pushed, now: Pushed, wanted: frozenset[str]) -> list[tuple[int, str]]:
    """What an operator is told when the pushed credentials change: (level, sentence). Pure."""
    told = [
        (logging.INFO, f"destination '{name}': Envoy injects its credential and asks nobody")
        for name in sorted(now.keys() - before.keys())
    ]
    told += [
        (
            logging.WARNING,
            f"destination '{name}': no valid credential is in hand, so Envoy asks the agent for "
            "each call again, until there is one. Why stands in the lines before, and in /status",
        )
        for name in sorted((before.keys() - now.keys()) & wanted)
    ]
    return told


class Delivery:
    """Publishes snapshots; *clock* gives UTC seconds. A thread runs only where one is needed."""

    def __init__(
        self, publish: Callable[[Snapshot], None], bundle: Callable[[], Path],
        clock: Callable[[], float], pod: Pod = ALONE,
    ) -> None:  # fmt: skip
        self._publish = publish
        self._bundle = bundle
        self._clock = clock
        self._pod = pod
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._config: Attache | None = None
        self._at_hand: AtHand = lambda _: NOTHING_PUSHED
        self._wanted: frozenset[str] = frozenset()
        self._pushed: Pushed = NOTHING_PUSHED
        self._material = Material()
        self._contents: Contents = NOTHING_READ

    @property
    def problems(self) -> list[str]:
        """What is wrong with the files of certificates, a sentence each."""
        return self._material.problems

    @property
    def pushed(self) -> tuple[str, ...]:
        """The destinations whose credential Envoy injects now."""
        return tuple(sorted(self._pushed))

    def take(self, config: Attache, at_hand: AtHand) -> None:
        """Publish the resources of *config*, and from now on what *at_hand* gives for it."""
        with self._lock:
            self._config, self._at_hand = config, at_hand
            self._wanted = frozenset(
                destination.name
                for destination in config.destinations
                if destination.delivery == "sds"
            )
            self._look(always=True)
        files = any(places(config))
        if (self._wanted or files) and self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="delivery", daemon=True)
            self._thread.start()

    def settle(self, seconds: float) -> None:
        """Wait until every credential that is to be pushed is there, for at most *seconds*."""
        end = self._clock() + seconds
        while self._wanted - self._pushed.keys() and self._clock() < end:
            self._stopping.wait(0.02)
            self.look()

    def look(self) -> None:
        """Publish anew if a pushed credential or a certificate has changed."""
        with self._lock:
            self._look(always=False)

    def leave(self) -> None:
        """Have Envoy send its callers elsewhere: this pod is about to end."""
        with self._lock:
            self._pod = replace(self._pod, leaving=True)
            self._look(always=True)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _look(self, always: bool) -> None:
        if self._config is None:
            return
        pushed = self._at_hand(self._clock()) if self._wanted else NOTHING_PUSHED
        contents = self._material.look(self._config)
        if pushed == self._pushed and contents == self._contents and not always:
            return
        for level, sentence in changes(self._pushed, pushed, self._wanted):
            log.log(level, "%s", sentence)
        self._pushed, self._contents = pushed, contents
        self._publish(Snapshot.of(self._config, self._bundle(), pushed, contents, self._pod))

    def _loop(self) -> None:
        while not self._stopping.wait(LOOK):
            try:
                self.look()
            except Exception:
                log.exception("pushing what Envoy needs failed. This is a bug: report it")
