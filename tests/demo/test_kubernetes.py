"""Whether the chart takes every service of the demo, with all the files that it names."""

from __future__ import annotations

import pytest

from demo.kubernetes import ON_CLUSTER, values

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")


@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize("name", ON_CLUSTER)
def test_the_chart_takes_every_service_and_all_its_files_are_mounted(name, redirect):
    given = values(name, "shop", "localhost/attache-demo:1", redirect=redirect)
    with helm.Chart.load("charts/attache") as chart:
        chart.validate_schema(given)
        assert "Deployment" in "".join(chart.render(given, name=name, namespace="shop").values())
