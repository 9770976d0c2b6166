"""Every metric of the contract, and none that a caller can grow."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from agent.errors import Reason
from agent.telemetry.metrics import CONTENT_TYPE, MAX_SERIES, Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_decision_is_counted_and_timed(metrics: Metrics) -> None:
    metrics.decision("inbound", "allow", None, "/api/**", 0.0003)
    metrics.decision("inbound", "deny", Reason.NO_ROUTE, "", 0.002)
    metrics.decision("inbound", "deny", Reason.NO_ROUTE, "", 0.002)
    metrics.decision("outbound", "allow", None, "billing", 0.1)

    name = "attache_decisions_total"
    labels = {"direction": "inbound", "decision": "deny", "reason": "no_route", "rule": ""}
    assert value(metrics, name, **labels) == 2
    labels = {"direction": "inbound", "decision": "allow", "reason": "", "rule": "/api/**"}
    assert value(metrics, name, **labels) == 1
    assert value(metrics, "attache_decision_seconds_count", direction="inbound") == 3
    assert value(metrics, "attache_decision_seconds_bucket", direction="inbound", le="0.001") == 1
    assert value(metrics, "attache_decision_seconds_sum", direction="outbound") == 0.1


def test_everything_else_that_happens_is_counted(metrics: Metrics) -> None:
    metrics.token_request("task-api", "ok")
    metrics.link("handle")
    metrics.link("handle")
    metrics.header_values_dropped(3)
    metrics.audit_dropped(4)
    metrics.xds_nack("Listener")
    metrics.config_reload("invalid")
    expected = {
        ("attache_token_requests_total", (("identity", "task-api"), ("result", "ok"))): 1,
        ("attache_link_total", (("outcome", "handle"),)): 2,
        ("attache_header_values_dropped_total", ()): 3,
        ("attache_audit_dropped_total", ()): 4,
        ("attache_xds_nacks_total", (("type", "Listener"),)): 1,
        ("attache_config_reloads_total", (("result", "invalid"),)): 1,
    }
    for (name, labels), count in expected.items():
        assert value(metrics, name, **dict(labels)) == count, name


def test_the_age_of_keys_is_asked_at_each_scrape(metrics: Metrics) -> None:
    ages = {"entra": 10.0}
    metrics.watch_key_ages(lambda: ages)
    assert value(metrics, "attache_issuer_keys_age_seconds", issuer="entra") == 10
    ages["entra"] = 70.0
    ages["partner"] = 5.0
    assert value(metrics, "attache_issuer_keys_age_seconds", issuer="entra") == 70
    assert value(metrics, "attache_issuer_keys_age_seconds", issuer="partner") == 5


def test_the_list_of_revoked_tokens_is_asked_at_each_scrape(metrics: Metrics) -> None:
    states: list[dict[str, Any] | None] = [
        {"entries": None, "up": False, "ageSeconds": None},
        {"entries": 7, "up": True, "ageSeconds": 0.5},
        None,
    ]
    now = [states[0]]
    metrics.watch_revocations(lambda: now[0])
    metrics.revoked("subject")
    assert value(metrics, "attache_revoked_total", selector="subject") == 1
    seen = []
    for state in states:
        now[0] = state
        names = ("entries", "source_up", "age_seconds")
        seen.append([value(metrics, f"attache_revocation_{name}") for name in names])
    assert seen == [[0, 0, None], [7, 1, 0.5], [None] * 3]


def test_what_is_remembered_for_calls_is_asked_at_each_scrape(metrics: Metrics) -> None:
    state = {"live": 3, "places": 10, "evicted": 0}
    metrics.watch_contexts(lambda: state)
    assert value(metrics, "attache_contexts") == 3
    state |= {"live": 10, "evicted": 7}
    assert value(metrics, "attache_contexts") == 10
    assert value(metrics, "attache_contexts_evicted_total") == 7


def test_what_expires_is_asked_at_each_scrape(metrics: Metrics) -> None:
    rows = [("identities.us.entra.certificateFile", "certificate", 60.0)]
    metrics.watch_expiries(lambda: rows)
    labels = '{kind="certificate",name="identities.us.entra.certificateFile"}'
    assert f"attache_credential_expiry_seconds{labels} 60.0" in metrics.expose().decode()
    rows[0] = (*rows[0][:2], -1.0)
    assert f"attache_credential_expiry_seconds{labels} -1.0" in metrics.expose().decode()


@pytest.mark.must(42, 46)
def test_a_flood_of_labels_stays_bounded_and_is_still_counted(metrics: Metrics) -> None:
    flood = MAX_SERIES + 1000
    for number in range(flood):
        metrics.decision("inbound", "deny", Reason.NO_ROUTE, f"/attack/{number}", 0.001)
        metrics.token_request("task-api", f"result-{number}")
    for family in metrics.registry.collect():
        if family.name in ("attache_decisions", "attache_token_requests"):
            assert len(family.samples) <= MAX_SERIES + 1
            assert sum(sample.value for sample in family.samples) == flood
    labels = {"direction": "inbound", "decision": "deny", "reason": "no_route", "rule": ""}
    assert value(metrics, "attache_decisions_total", **labels) == 1000


def test_the_exposition_is_what_prometheus_reads(metrics: Metrics) -> None:
    metrics.decision("inbound", "deny", Reason.BAD_PATH, 'a"b\\c\nd', 0.001)
    metrics.watch_key_ages(lambda: {"entra": 1.0})
    metrics.watch_revocations(lambda: {"entries": 1, "up": True, "ageSeconds": 0.5})
    metrics.watch_stored_tokens(lambda: {"crm": "live"})
    metrics.stored_token_request("crm", "rotated")
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.expose().decode())
    }
    names = {
        f"{name}_total" if family.type == "counter" else name for name, family in families.items()
    }
    assert {name for name in names if name.startswith("attache_")} == {
        "attache_decisions_total",
        "attache_decision_seconds",
        "attache_token_requests_total",
        "attache_link_total",
        "attache_sessions_total",
        "attache_header_values_dropped_total",
        "attache_audit_dropped_total",
        "attache_xds_nacks_total",
        "attache_config_reloads_total",
        "attache_issuer_keys_age_seconds",
        "attache_revoked_total",
        "attache_revocation_entries",
        "attache_revocation_source_up",
        "attache_revocation_age_seconds",
        "attache_stored_token_requests_total",
        "attache_stored_token_state",
        "attache_build_info",
    }
    assert "process_resident_memory_bytes" in families
    build = families["attache_build_info"].samples[0]
    assert build.labels["version"] == "1.2.3"
    assert re.fullmatch(r"3\.\d+\.\d+.*", build.labels["python"])
    assert families["attache_decisions"].samples[0].labels["rule"] == 'a"b\\c\nd'
    assert CONTENT_TYPE.startswith("text/plain")


def test_two_agents_in_one_process_do_not_share_a_registry(metrics: Metrics) -> None:
    other = Metrics("1.2.3")
    other.link("handle")
    assert value(metrics, "attache_link_total", outcome="handle") is None
    assert REGISTRY.get_sample_value("attache_link_total", {"outcome": "handle"}) is None
