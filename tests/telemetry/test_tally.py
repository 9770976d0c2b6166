"""What is counted by two additions is what prometheus-client would have counted."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from agent.telemetry.tally import Decisions, Words

BOUNDS = (0.0001, 0.001, 0.5, 5)
LABELS = ("inbound", "allow", "", "/api/**")


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100)), max_size=30))
def test_the_buckets_are_those_of_the_library(seconds: list[float]) -> None:
    registry, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Decisions(BOUNDS, 10)
    registry.register(tally)
    name = "attache_decision_seconds"
    library = Histogram(name, "x", ("direction",), buckets=BOUNDS, registry=theirs)
    library.labels("inbound")
    for each in seconds:
        tally.add(LABELS, each)
        library.labels("inbound").observe(each)
    for le in ("0.0001", "0.001", "0.5", "5.0", "+Inf"):
        labels = {"direction": "inbound", "le": le}
        assert registry.get_sample_value(f"{name}_bucket", labels) == theirs.get_sample_value(
            f"{name}_bucket", labels
        )
    for part in ("count", "sum"):
        labels = {"direction": "inbound"}
        ours = registry.get_sample_value(f"{name}_{part}", labels)
        assert ours == pytest.approx(theirs.get_sample_value(f"{name}_{part}", labels))


def test_threads_lose_nothing() -> None:
    registry = CollectorRegistry()
    tally = Decisions(BOUNDS, 10)
    registry.register(tally)

    def count() -> None:
        for _ in range(5000):
            tally.add(LABELS, 0.25)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = dict(zip(("direction", "decision", "reason", "rule"), LABELS, strict=True))
    assert registry.get_sample_value("attache_decisions_total", labels) == 20_000
    assert (
        registry.get_sample_value("attache_decision_seconds_sum", {"direction": "inbound"}) == 5000
    )


def test_words_are_counted_by_all_threads() -> None:
    registry = CollectorRegistry()
    words = Words("attache_link_total", "x", "outcome")
    registry.register(words)

    def count() -> None:
        for _ in range(5000):
            words.add("resolved")
        words.add("none")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [
        registry.get_sample_value("attache_link_total", {"outcome": word})
        for word in ("resolved", "none")
    ]
    assert found == [20_000, 4]


@pytest.mark.must(42)
def test_what_nobody_ever_reads_is_held_in_few_notes() -> None:
    tally, words = Decisions(BOUNDS, 10), Words("x", "x", "x")
    for _ in range(10_000):
        tally.add(LABELS, 0.1)
        words.add("resolved")
    assert len(tally._notes) < 100
    assert len(words._notes) < 100
