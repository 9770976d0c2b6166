"""What does an agent begin with, while all the rest of it is still being imported?"""

from __future__ import annotations

import time
from dataclasses import dataclass

from agent.config.attache import Attache
from agent.envoy.pool import CheckPool
from agent.identity.fetch import Fetcher
from agent.identity.trust import Trust

AT_ONCE = 2  # threads that decide at a time; more only wake each other up


@dataclass(frozen=True, slots=True)
class Groundwork:
    """A configuration, its issuers, and the threads that may wait for their keys."""

    config: Attache
    pool: CheckPool
    fetch: Fetcher
    trust: Trust

    @classmethod
    def of(cls, config: Attache) -> Groundwork:
        """Lay it; nothing runs before `trust.start`."""
        # All but four of the threads may wait for somebody.
        pool = CheckPool(AT_ONCE, config.agent.threads - 4)
        fetch = Fetcher()
        return cls(config, pool, fetch, Trust.build(config, time.time, fetch, None, pool.waiting))
