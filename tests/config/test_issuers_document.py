"""docs/issuers.md: every configuration in it loads as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config.issuers import Issuer
from agent.config.loading import parse

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "issuers.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
FRAME = """
workload: {name: task-api, namespace: shop}
listeners:
  inbound: {application: 127.0.0.1:8000}
routes:
  - {path: "/**", require: {caller: user}}
"""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("name: ")[1].split()[0])
def test_a_configuration_of_the_document_loads(block: str) -> None:
    assert parse((FRAME + block).encode(), "issuers.md").issuers


def test_every_kind_has_one() -> None:
    shown = {
        kind
        for block in BLOCKS
        for issuer in parse((FRAME + block).encode(), "issuers.md").issuers
        for kind in issuer.model_fields_set - {"name"}
    }
    assert shown == set(Issuer.model_fields) - {"name"}
