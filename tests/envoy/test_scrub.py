"""Which headers are taken away from a request, whoever allows it?"""

from __future__ import annotations

import re
from typing import Any

import pytest
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as filter_pb2
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2

from agent.envoy import scrub

# name, removed inside, removed at the edge
NAMES = (
    ("x-envoy-retry-on", True, True),
    ("x.auth.subject", True, True),
    ("x-auth.subject", True, True),
    ("x~team", True, True),
    ("x-http-method.override", True, True),
    ("x-auth-subject", False, False),  # the agent's own work
    ("x-request-id", False, False),
    ("x-amz-meta-photo.jpg", False, False),
    ("user-agent", False, False),
    ("content-type", False, False),
    (":path", False, False),
    ("x-forwarded-host", False, True),
    ("x-forwarded-port", False, True),
    ("forwarded", False, True),
    ("x-real-ip", False, True),
    ("x-forwarded-for", False, False),
    ("x-forwarded-proto", False, False),
)


def removed(name: str, edge: bool) -> bool:
    mutation = header_mutation_pb2.HeaderMutation()
    assert scrub.callers(edge).typed_config.Unpack(mutation)
    return any(_matches(one.remove_on_match.key_matcher, name) for one in mutation.mutations)


def _matches(matcher: Any, name: str) -> bool:
    if matcher.prefix:
        return name.startswith(matcher.prefix)
    return re.fullmatch(matcher.safe_regex.regex, name) is not None


@pytest.mark.must(19)
@pytest.mark.parametrize(("name", "inside", "edge"), NAMES)
def test_what_no_caller_may_say_is_removed_before_anyone_reads_it(name, inside, edge):
    assert (removed(name, False), removed(name, True)) == (inside, edge)


def test_the_application_loses_the_orders_alone():
    mutation = header_mutation_pb2.HeaderMutation()
    assert scrub.orders().typed_config.Unpack(mutation)
    orders, *moved = mutation.mutations
    assert orders.remove_on_match.key_matcher.prefix == "x-envoy-"
    assert [one.remove or one.append.header.value for one in moved] == [
        "x-attache-tracestate",
        "%REQ(tracestate)%",
        "tracestate",
    ]


@pytest.mark.must(19)
def test_trailers_are_dropped_and_an_upgrade_names_nothing_else():
    settings = filter_pb2.HeaderMutation()
    assert scrub.last().typed_config.Unpack(settings)
    (trailers,) = settings.mutations.request_trailers_mutations
    assert trailers.remove_on_match.key_matcher.safe_regex.regex == ".*"
    (upgrade,) = settings.mutations.request_mutations
    assert (upgrade.append.header.key, upgrade.append.header.value) == ("connection", "Upgrade")
    assert upgrade.append.append_action == upgrade.append.OVERWRITE_IF_EXISTS
