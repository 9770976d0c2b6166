"""What outlives a reload: the cache of tokens, and all that the requests for them need."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from agent.config.attache import Attache
from agent.credentials.bulkhead import Bulkhead
from agent.credentials.cache import TokenCache
from agent.credentials.exchange import Count, Exchange, nobody_counts
from agent.credentials.ledger import Ledger
from agent.moment import Waiting

FETCHES = 64  # requests to authorization servers under way at once, in all


@dataclass(frozen=True, slots=True)
class Shared:
    """Kept while the size of the cache stays; `owned`: the executor ends with us."""

    executor: Executor
    owned: bool
    exchange: Exchange
    entries: int


def share(
    config: Attache,
    clock: Callable[[], float],
    random: Callable[[], float],
    executor: Executor | None,
    previous: Shared | None,
    waiting: Waiting,
    count: Count = nobody_counts,
) -> Shared:
    """*previous* where its cache still has the right size, else one that goes on with its threads.

    *clock* gives UTC seconds, *random* [0, 1).
    """
    if previous and previous.entries == config.agent.max_tokens:
        return previous
    owned = executor is None
    if executor is None and previous:
        executor, owned = previous.executor, previous.owned
    executor = executor or ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
    entries = config.agent.max_tokens
    # Half of the threads that may wait at all: the other half is other tenants'.
    bulkhead = Bulkhead(clock, total=FETCHES, waiters=max(8, config.agent.threads // 2))
    cache = TokenCache(
        clock=clock,
        random=random,
        executor=executor,
        bulkhead=bulkhead,
        waiting=waiting,
        entries=entries,
    )
    exchange = Exchange(cache, Ledger(clock), clock, random, count)
    return Shared(executor, owned, exchange, entries)
