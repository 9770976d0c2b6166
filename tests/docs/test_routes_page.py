"""Every example in docs/routes.md is a configuration that loads, and the page names every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config.loading import parse
from agent.config.requirements import Requirement
from agent.envoy.snapshot import Snapshot
from agent.envoy.tls import system_bundle
from agent.policy.routes import Routes
from agent.policy.shadows import warnings

PAGE = (Path(__file__).parents[2] / "docs" / "routes.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_loads_and_has_no_rule_that_never_decides(text: str) -> None:
    config = parse(text.encode(), "docs/routes.md")
    Routes(config.routes, config.inbound.cors)
    Snapshot.of(config, system_bundle())
    assert warnings(config.routes) == []


def test_the_page_names_every_part_of_a_requirement() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {str(info.alias) for info in Requirement.model_fields.values()} <= named
