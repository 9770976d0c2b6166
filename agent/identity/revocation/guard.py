"""Which list is in force, through starts, reloads and stops? What the pipelines ask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from agent.config.finding import ConfigInvalid, Finding
from agent.config.revocation import Revocation
from agent.errors import Denial
from agent.identity.fetch import Fetcher
from agent.identity.principal import Principal, Verified
from agent.identity.revocation.file_source import FileSource
from agent.identity.revocation.listing import MAX_BYTES
from agent.identity.revocation.snapshot import MAX_BYTES as MAX_SNAPSHOT
from agent.identity.revocation.snapshot import Snapshot
from agent.identity.revocation.state import Standing
from agent.identity.revocation.watch import RevocationWatch, Source

log = logging.getLogger(__name__)

Clock = Callable[[], float]
Revoked = Callable[[Verified, float], Denial | None]
"""Why a verified token is refused at a time (UTC seconds); None where it is not."""

FIRST_LOOK = 3.0  # seconds that a start or a reload waits for the list


def nothing_revoked(verified: Verified, now: float) -> Denial | None:
    """`Revoked` where there is no list to ask."""
    return None


class RevocationGuard:
    """Asks the list of the configuration in force; without a `revocation` section, none.

    *clock* gives UTC seconds, *ticks* seconds of a monotonic clock; *on_hit* hears the selector of
    each entry by which a token is refused.
    """

    def __init__(
        self, rules: Revocation | None, clock: Clock, ticks: Clock, on_hit: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._ticks = ticks
        self._on_hit = on_hit
        self._watch = self._watch_of(rules) if rules else None

    def denial(self, verified: Verified, now: float) -> Denial | None:
        """`Revoked` by the list in force."""
        watch = self._watch
        return watch.denial(verified, now) if watch is not None else None

    def refusal(self, principal: Principal, now: float) -> Denial | None:
        """Why a session of *principal* is refused by the list in force."""
        watch = self._watch
        return watch.refusal(principal, now) if watch is not None else None

    def start(self) -> None:
        """Read the list and watch it; waits a moment for the first look."""
        if self._watch is not None:
            self._watch.start()
            self._watch.wait_looked(FIRST_LOOK)

    def stop(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.stop()

    def prepare(self, rules: Revocation | None) -> RevocationWatch | None:
        """Return the watch that *rules* need, at work; raise `ConfigInvalid` without a list.

        The configuration before stays in force then: better than refusing every token by this
        one. An old list holds until the new source answers.
        """
        old = self._watch
        if rules is None:
            return None
        if old is not None and old.rules == rules:
            return old
        watch = self._watch_of(rules)
        if old is not None:
            watch.inherit(old)
        watch.start()
        watch.wait_looked(FIRST_LOOK)
        if not watch.known:
            why = "; ".join(watch.standing().missing)
            watch.stop()
            remedy = "make the list readable, then write the configuration again"
            raise ConfigInvalid([Finding(0, "", why, remedy)])
        return watch

    def adopt(self, watch: RevocationWatch | None) -> None:
        """Ask *watch* from now on."""
        old, self._watch = self._watch, watch
        if old is not None and old is not watch:
            old.stop()
            if watch is None:
                log.warning(
                    "revocation: the section is gone, and with it the list: what it "
                    "revoked is accepted again until it expires"
                )

    def standing(self) -> Standing:
        """What /readyz says."""
        return self._watch.standing() if self._watch else Standing()

    def status(self) -> dict[str, Any] | None:
        """What /status says; None where no list is configured."""
        return self._watch.status() if self._watch else None

    def _watch_of(self, rules: Revocation) -> RevocationWatch:
        source: Source
        if rules.redis is not None:
            # redis takes 8 MB, which only those pay who use it
            from agent.identity.revocation.redis_source import RedisSource

            source = RedisSource(rules.redis, self._clock)
        elif rules.file is not None:
            source = FileSource(rules.file, Fetcher(max_body=MAX_BYTES))
        else:
            raise ValueError("a revocation section without a source")
        kept = None
        if rules.snapshot is not None:
            kept = Snapshot(rules.snapshot, Fetcher(max_body=MAX_SNAPSHOT))
        return RevocationWatch(rules, source, kept, self._clock, self._ticks, self._on_hit)
