"""docs/expiry.md: its example loads, and it names every kind of thing that expires."""

from __future__ import annotations

import re
from pathlib import Path

from agent.config.loading import parse
from agent.expiry.sources import sources
from agent.expiry.table import Kind

PAGE = (Path(__file__).parents[2] / "docs" / "expiry.md").read_text()


def test_the_example_loads_and_its_secrets_have_an_end() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    found = sources(parse(example.encode(), "docs/expiry.md"))
    assert [source.name for source in found if source.expires] == [
        "identities.task-api.entra.secretFile",
        "destinations.crm.credential.secretFile.file",
    ]


def test_the_page_names_every_kind() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)) == set(Kind)
