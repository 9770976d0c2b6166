"""How many decisions, and how long did they take? Counted on every request, so put off.

Prometheus-client's own counter and histogram took 4 µs of a hit: look-ups by label, a lock each,
and a walk over the buckets. Here a decision is noted, which takes no lock, and a few dozen notes
are added up at a time; what the library would show is put together when somebody asks.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, str, str, str]
"""Direction, decision, reason, rule."""


_AT_ONCE = 64  # notes that are added up together: few enough that none waits for it


class Decisions(Collector):
    """Counts decisions by their labels, and times them by their direction.

    *bounds* are the histogram's, in seconds and ascending. Beyond *most* series the rule is left
    empty.
    """

    def __init__(self, bounds: Sequence[float], most: int) -> None:
        self._bounds = tuple(bounds)
        self._most = most
        self._notes: deque[tuple[Labels, float]] = deque()
        self._lock = threading.Lock()
        self._counts: dict[Labels, int] = {}
        self._timed = {name: _Times(len(self._bounds)) for name in ("inbound", "outbound")}

    def add(self, labels: Labels, seconds: float) -> None:
        """Count one decision that took *seconds*."""
        notes = self._notes
        notes.append((labels, seconds))  # atomic, as is the other end (collections.deque)
        if len(notes) >= _AT_ONCE:
            with self._lock:
                self._add_up()

    def _add_up(self) -> None:
        """Empty the notes. The lock is held, so no two threads count at a time."""
        for _ in range(len(self._notes)):
            labels, seconds = self._notes.popleft()
            if labels not in self._counts:
                if len(self._counts) >= self._most:
                    labels = (*labels[:3], "")
                self._counts.setdefault(labels, 0)
            self._counts[labels] += 1
            times = self._timed[labels[0]]
            times.counts[bisect_left(self._bounds, seconds)] += 1  # le: a bound is in its bucket
            times.sum += seconds

    def collect(self) -> Iterable[Metric]:
        """What Prometheus reads."""
        with self._lock:
            self._add_up()
            counts = dict(self._counts)
            timed = {name: (list(each.counts), each.sum) for name, each in self._timed.items()}
        counter = CounterMetricFamily(
            "attache_decisions_total",
            "Decisions, by the configured route or destination that they fell under.",
            labels=("direction", "decision", "reason", "rule"),
        )
        for labels, count in counts.items():
            counter.add_metric(labels, count)
        yield counter
        histogram = HistogramMetricFamily(
            "attache_decision_seconds",
            "Time from the Check's arrival to its answer.",
            labels=("direction",),
        )
        names = [floatToGoString(bound) for bound in (*self._bounds, float("inf"))]  # type: ignore[no-untyped-call]
        for direction, (each, total) in timed.items():
            buckets = list(zip(names, accumulate(each), strict=True))
            histogram.add_metric((direction,), buckets, total)
        yield histogram


class Words(Collector):
    """Counts words of ours, which are few: a counter with one label."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name, self._text, self._label = name, text, label
        self._notes: deque[str] = deque()
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, word: str) -> None:
        """Count *word*."""
        notes = self._notes
        notes.append(word)
        if len(notes) >= _AT_ONCE:
            with self._lock:
                self._add_up()

    def _add_up(self) -> None:
        for _ in range(len(self._notes)):
            word = self._notes.popleft()
            self._counts[word] = self._counts.get(word, 0) + 1

    def collect(self) -> Iterable[Metric]:
        """What Prometheus reads."""
        with self._lock:
            self._add_up()
            counts = dict(self._counts)
        family = CounterMetricFamily(self._name, self._text, labels=(self._label,))
        for word, count in counts.items():
            family.add_metric((word,), count)
        yield family


class _Times:
    """How many fell into each bucket (the last: above every bound), and their sum in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum = 0.0
