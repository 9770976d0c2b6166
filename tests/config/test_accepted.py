"""What a configuration may say, and in how many ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.attache import Attache
from agent.config.destinations import OnBehalfOf
from agent.config.fields import Address
from agent.config.loading import load, parse

EXAMPLE = Path(__file__).with_name("example.yaml")
GOOD = EXAMPLE.read_text()
FILE = "attache.yaml"


def test_the_example_of_the_design_loads() -> None:
    config = load(EXAMPLE)
    assert config.workload.id == "shop/task-api"
    assert config.listeners.inbound is not None
    assert config.listeners.inbound.application == Address("127.0.0.1", 8000)
    assert [issuer.name for issuer in config.issuers] == ["entra", "customers", "partner", "mesh"]
    assert config.routes[1].require is not None
    assert config.routes[1].require.any_role == ("Admin", "Editor")
    assert config.destinations[0].credential.obo == OnBehalfOf(
        identity="task-api", scopes=("api://notification/.default",)
    )
    assert config.destinations[2].upstream == Address("billing.shop", 80)
    assert config.internal_tokens is not None
    assert config.internal_tokens.lifetime == 300


def example_with(old: str, new: str) -> Attache:
    assert GOOD.count(old) == 1
    return parse(GOOD.replace(old, new).encode(), FILE)


BILLING = "credential: {internal: {audience: billing, scopes: [billing.read]}}"


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("credential: none", "none"),
        ("credential: {none: }", "none"),
        ("credential: forward", "forward"),
        ("credential: {forward: }", "forward"),
        ("credential: {forward: {subject: either}}", "forward"),
        ("credential: {internal: {audience: billing}, subject: app}", "internal"),
    ],
)
def test_a_credential_may_be_written_shortly(written: str, kind: str) -> None:
    assert example_with(BILLING, written).destinations[2].credential.kind == kind


def test_subject_beside_a_kind_means_the_same_as_inside() -> None:
    beside = example_with(BILLING, "credential: {internal: {audience: billing}, subject: app}")
    inside = example_with(BILLING, "credential: {internal: {audience: billing, subject: app}}")
    assert beside == inside


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("250ms", 0.25), ("2m", 120), ("1h", 3600)]
)
def test_durations_are_seconds_or_have_a_unit(text: str, seconds: float) -> None:
    config = example_with("  lifetime: 5m", f"  lifetime: {text}")
    assert config.internal_tokens is not None
    assert config.internal_tokens.lifetime == seconds


def test_an_anchor_and_its_alias_say_the_same_thing_twice() -> None:
    text = GOOD.replace("require: {scopes: [access_as_user]}", "require: {scopes: *access}")
    text = text.replace(
        "scopes: [access_as_user], anyRole", "scopes: &access [access_as_user], anyRole"
    )
    assert parse(text.encode(), FILE) == load(EXAMPLE)


def test_a_byte_order_mark_of_utf_8_is_no_part_of_the_text() -> None:
    assert parse(b"\xef\xbb\xbf" + GOOD.encode(), FILE) == load(EXAMPLE)


def test_upper_case_tenants_are_compared_as_entra_writes_them() -> None:
    config = example_with("22222222-bbbb", "22222222-BBBB")
    assert config.issuers[0].entra is not None
    assert config.issuers[0].entra.tenants[1] == "22222222-bbbb-4222-8222-222222222222"
