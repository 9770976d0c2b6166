"""An application's own chart: its pod is the same as the one that charts/attache deploys itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import kubernetes_validate
import pytest

from tests.charts.conftest import CHARTS, EVERYTHING, REDIRECT, VALUES, documents, helm, over, pod

PARENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels:
        app: shop
        {{- include "attache.podLabels" .Subcharts.attache | nindent 8 }}
      annotations: {{- include "attache.podAnnotations" .Subcharts.attache | nindent 8 }}
    spec:
      initContainers: {{- include "attache.initContainers" .Subcharts.attache | nindent 8 }}
      containers:
        - name: application
          image: localhost/shop:1
          env: {{- include "attache.env" .Subcharts.attache | nindent 12 }}
          lifecycle: {{- include "attache.lifecycle" .Subcharts.attache | nindent 12 }}
        {{- include "attache.containers" .Subcharts.attache | nindent 8 }}
      volumes: {{- include "attache.volumes" .Subcharts.attache | nindent 8 }}
"""


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A chart of somebody else's with ours in its charts/."""
    folder = tmp_path / "shop"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(
        "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
        "dependencies: [{name: attache, version: 0.1.0, repository: ''}]\n"
    )
    (folder / "templates" / "deployment.yaml").write_text(PARENT)
    shutil.copytree(CHARTS / "attache", folder / "charts" / "attache")
    return folder


@pytest.mark.parametrize("change", [{}, EVERYTHING, REDIRECT, {"sidecars": "ordinary"}])
def test_one_include_each_makes_the_same_pod(render, parent, change):
    values = over(over(VALUES, change), {"workload": {"image": ""}})
    with helm.Chart.load(parent) as chart:
        manifests = documents(chart.render({"attache": values}, name="tasks", namespace="shop"))
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "ConfigMap", "ServiceAccount"):
            kubernetes_validate.validate(manifest, "1.33", strict=True)
    theirs, ours = pod(manifests), pod(render(change))

    def of_attache(template):
        spec = template["spec"]
        containers = [
            one
            for one in [*spec["initContainers"], *spec["containers"]]
            if one["name"] != "application"
        ]
        return containers, spec["volumes"]

    assert of_attache(theirs) == of_attache(ours)
    annotations = ours["metadata"]["annotations"].items()
    assert theirs["metadata"]["annotations"].items() <= annotations


def test_values_of_the_parent_are_checked_too(parent):
    values = over(VALUES, {"config": {"foo": 1}})
    with helm.Chart.load(parent) as chart, pytest.raises(helm.HelmError, match="foo"):
        chart.validate_schema({"attache": values})
