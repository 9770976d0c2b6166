"""Every example in docs/destinations.md is a configuration that loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config.destinations import KINDS
from agent.config.loading import parse
from agent.envoy.snapshot import Snapshot
from agent.envoy.tls import system_bundle

PAGE = (Path(__file__).parents[2] / "docs" / "destinations.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_loads_and_becomes_resources_of_envoy(text: str) -> None:
    config = parse(text.encode(), "docs/destinations.md")
    Snapshot.of(config, system_bundle())


def test_the_page_names_every_kind() -> None:
    words = {re.sub(r"_([a-z])", lambda m: m[1].upper(), kind) for kind in KINDS}
    assert words <= set(re.findall(r"^\| \[?`(\w+)`", PAGE, re.MULTILINE))
