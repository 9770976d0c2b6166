"""Whether the values that docs/kubernetes.md shows are such as the chart takes."""

from __future__ import annotations

import re

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.charts.conftest import CHARTS, documents, helm

PAGE = (CHARTS.parent / "docs" / "kubernetes.md").read_text()
BLOCKS = [
    YAML(typ="safe", pure=True).load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
]


def test_the_first_service_renders_as_it_stands():
    with helm.Chart.load(CHARTS / "attache") as chart:
        chart.validate_schema(BLOCKS[0])
        manifests = documents(chart.render(BLOCKS[0], name="task-api", namespace="shop"))
    assert {"Deployment", "Service", "ConfigMap"} <= {one["kind"] for one in manifests}
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.33", strict=True)


@pytest.mark.parametrize("block", BLOCKS[1:], ids=range(1, len(BLOCKS)))
def test_every_other_part_fits_into_it(block):
    config = {**BLOCKS[0]["config"], **block.get("config", {})}
    with helm.Chart.load(CHARTS / "attache") as chart:
        chart.validate_schema({**BLOCKS[0], **block, "config": config})
