"""docs/tokens-for-other-calls.md: its example loads, and it names every key of tokenService."""

from __future__ import annotations

import re
from pathlib import Path

from agent.config.loading import parse
from agent.config.token_service import TokenService
from agent.envoy.snapshot import Snapshot
from agent.envoy.tls import system_bundle

PAGE = (Path(__file__).parents[2] / "docs" / "tokens-for-other-calls.md").read_text()


def test_the_example_loads_and_envoy_is_told_of_no_destination() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    config = parse(example.encode(), "docs/tokens-for-other-calls.md")
    resources = Snapshot.of(config, system_bundle())
    names = {name for group in resources.types.values() for name in group.items}
    assert not any("database" in name or "graph" in name for name in names)


def test_the_page_names_every_key() -> None:
    keys = {str(info.alias) for info in TokenService.model_fields.values()}
    assert keys == set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
