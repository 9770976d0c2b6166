"""How much, how fast, how often refused? Prometheus metrics in a registry of our own."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.errors import Reason
from agent.telemetry.tally import Decisions, Words

CONTENT_TYPE = CONTENT_TYPE_LATEST
MAX_SERIES = 4096  # of one counter: far above any configuration, far below any flood

# A hit takes well under a millisecond, a miss as long as a token endpoint.
_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
)  # fmt: skip


class Metrics:
    """Every metric of the agent, one method for each thing that happens.

    No label carries what a caller sent (SECURITY.md 46): `rule` is a route's path or a
    destination's name as the configuration writes it, never the request's own path. Should anyone
    err, a counter stays bounded all the same; the rest is counted under `rule=""`.
    """

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which nobody reads
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self._decisions = Decisions(_SECONDS, MAX_SERIES)
        self.registry.register(self._decisions)
        self._tokens = self._counter(
            "attache_token_requests_total",
            "Requests to token endpoints.",
            ("identity", "result"),
        )
        self._links = Words(
            "attache_link_total", "How an outbound call found its caller.", "outcome"
        )
        self.registry.register(self._links)
        self._sessions = self._counter(
            "attache_sessions_total", "What happened to sessions of people who sign in.", ("event",)
        )
        self._nacks = self._counter(
            "attache_xds_nacks_total", "Resources that Envoy refused.", ("type",)
        )
        self._reloads = self._counter(
            "attache_config_reloads_total", "Changes of the configuration file.", ("result",)
        )
        self._revoked = self._counter(
            "attache_revoked_total",
            "Refusals of a revoked token, by the most telling selector of the entry.",
            ("selector",),
        )
        self._refreshes = self._counter(
            "attache_stored_token_requests_total",
            "Requests that sent a stored refresh token, by what came back.",
            ("token", "result"),
        )
        self._dropped_headers = Counter(
            "attache_header_values_dropped_total",
            "Claim values that no header may carry.",
            registry=self.registry,
        )
        self._dropped_audit = Counter(
            "attache_audit_dropped_total", "Audit records that were lost.", registry=self.registry
        )
        build = Gauge("attache_build_info", "1", ("version", "python"), registry=self.registry)
        build.labels(version, platform.python_version()).set(1)

    def decision(
        self, direction: str, decision: str, reason: Reason | None, rule: str, seconds: float
    ) -> None:
        """Count one decision and its time. *rule* is the configuration's text, or empty."""
        self._decisions.add((direction, decision, reason or "", rule), seconds)

    def token_request(self, identity: str, result: str) -> None:
        """Count one request to a token endpoint; *result* is `ok` or a reason of ours."""
        self._tokens.add(identity, result)

    def link(self, outcome: str) -> None:
        """Count how one outbound call found its caller: by which carrier, or why not."""
        self._links.add(outcome)

    def session(self, event: str) -> None:
        """Count what happened to a session: a word of `agent.login`."""
        self._sessions.add(event)

    def header_values_dropped(self, count: int) -> None:
        """Count claim values that were left out of headers (SECURITY.md 22)."""
        self._dropped_headers.inc(count)

    def audit_dropped(self, count: int) -> None:
        """Count audit records that were lost."""
        self._dropped_audit.inc(count)

    def xds_nack(self, resource_type: str) -> None:
        """Count one refusal by Envoy; *resource_type* is one that we serve."""
        self._nacks.add(resource_type)

    def config_reload(self, result: str) -> None:
        """Count one change of the file: `ok` or `invalid`."""
        self._reloads.add(result)

    def revoked(self, selector: str) -> None:
        """Count one token refused as revoked; *selector* is the list's word for why."""
        self._revoked.add(selector)

    def stored_token_request(self, token: str, result: str) -> None:
        """Count one request with a stored refresh token; both are words of ours."""
        self._refreshes.add(token, result)

    def watch_stored_tokens(self, states: Callable[[], Mapping[str, str]]) -> None:
        """Ask *states* at each scrape how each stored token stands."""
        self.registry.register(_StoredTokens(states))

    def watch_revocations(self, ask: Callable[[], Mapping[str, Any] | None]) -> None:
        """Ask at each scrape for /status's part on the list of revoked tokens; None: no list."""
        self.registry.register(_Revocations(ask))

    def watch_key_ages(self, ages: Callable[[], Mapping[str, float]]) -> None:
        """Ask *ages* at each scrape for the seconds since each issuer's keys were fetched."""
        self.registry.register(_KeyAges(ages))

    def watch_contexts(self, ask: Callable[[], Mapping[str, int]]) -> None:
        """Ask at each scrape for /status's part on the requests that calls can be made for."""
        self.registry.register(_Contexts(ask))

    def watch_expiries(self, ask: Callable[[], Iterable[tuple[str, str, float]]]) -> None:
        """Ask at each scrape for (name, kind, seconds left) of what expires."""
        self.registry.register(_Expiries(ask))

    def expose(self) -> bytes:
        """Return the text that Prometheus reads; its type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> _Counters:
        return _Counters(Counter(name, text, labels, registry=self.registry))


class _Counters:
    """A counter's series by their labels; beyond `MAX_SERIES` the last label is left empty.

    Prometheus-client's own look-up takes a lock and copies the labels each time.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._series: dict[tuple[str, ...], Counter] = {}

    def add(self, *labels: str) -> None:
        series = self._series.get(labels)
        if series is None:
            if len(self._series) < MAX_SERIES:
                series = self._series[labels] = self._counter.labels(*labels)
            else:
                series = self._counter.labels(*labels[:-1], "")
        series.inc()


class _StoredTokens(Collector):
    def __init__(self, states: Callable[[], Mapping[str, str]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "attache_stored_token_state",
            "1 for the state in which a stored refresh token is; all but live and in_doubt need a "
            "person.",
            labels=("token", "state"),
        )
        for token, state in self._states().items():
            family.add_metric((token, state), 1)
        yield family


class _Revocations(Collector):
    def __init__(self, ask: Callable[[], Mapping[str, Any] | None]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        state = self._ask()
        if state is None:
            return
        yield GaugeMetricFamily(
            "attache_revocation_entries",
            "Entries of the list in force.",
            value=state["entries"] or 0,
        )
        yield GaugeMetricFamily(
            "attache_revocation_source_up", "1 while the list's source answers.", value=state["up"]
        )
        if state["ageSeconds"] is not None:
            yield GaugeMetricFamily(
                "attache_revocation_age_seconds",
                "Seconds since the source last confirmed the list.",
                value=state["ageSeconds"],
            )


class _Expiries(Collector):
    def __init__(self, ask: Callable[[], Iterable[tuple[str, str, float]]]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "attache_credential_expiry_seconds",
            "Seconds until it expires; negative once it has.",
            labels=("name", "kind"),
        )
        for name, kind, seconds in self._ask():
            family.add_metric((name, kind), seconds)
        yield family


class _Contexts(Collector):
    def __init__(self, ask: Callable[[], Mapping[str, int]]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        state = self._ask()
        yield GaugeMetricFamily(
            "attache_contexts", "Inbound requests that calls can be made for.", value=state["live"]
        )
        yield CounterMetricFamily(
            "attache_contexts_evicted",
            "Requests that newer ones took the place of; a later call for one has no subject.",
            value=state["evicted"],
        )


class _KeyAges(Collector):
    def __init__(self, ages: Callable[[], Mapping[str, float]]) -> None:
        self._ages = ages

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "attache_issuer_keys_age_seconds",
            "Seconds since the issuer's keys were fetched.",
            labels=("issuer",),
        )
        for issuer, age in self._ages().items():
            family.add_metric((issuer,), age)
        yield family
