"""How often was each endpoint asked?"""

import threading
from collections import Counter

from demo.idp.faults import Visit


class Counters:
    """Requests by endpoint, tenant and grant, counted when they arrive. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits: Counter[Visit] = Counter()

    def add(self, visit: Visit) -> None:
        """Count one request."""
        with self._lock:
            self._visits[visit] += 1

    def reset(self) -> None:
        """Start again at nought."""
        with self._lock:
            self._visits.clear()

    def total(
        self, endpoint: str | None = None, tenant: str | None = None, grant: str | None = None
    ) -> int:
        """Return how many requests there were; None means any."""
        with self._lock:
            return sum(
                count
                for visit, count in self._visits.items()
                if endpoint in (None, visit.endpoint)
                and tenant in (None, visit.tenant)
                and grant in (None, visit.grant, visit.grant.rpartition(":")[2])
            )

    def rows(self) -> list[dict[str, str | int]]:
        """Return the counts as rows of endpoint, tenant, grant and count."""
        with self._lock:
            visits = list(self._visits.items())
        return [
            {"endpoint": v.endpoint, "tenant": v.tenant, "grant": v.grant, "count": count}
            for v, count in visits
        ]
