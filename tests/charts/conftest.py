"""Charts rendered by Helm's own engine, from PyPI."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")
CHARTS = Path(__file__).parents[2] / "charts"
Manifest = dict[str, Any]

VALUES: dict[str, Any] = {
    "workload": {"image": "localhost/tasks:1"},
    "config": {
        "workload": {"name": "tasks", "namespace": "shop"},
        "listeners": {"inbound": {"application": "127.0.0.1:8000"}, "outbound": {"mode": "proxy"}},
        "issuers": [
            {
                "name": "entra",
                "entra": {
                    "tenants": ["11111111-1111-4111-8111-111111111111"],
                    "audiences": ["api://tasks"],
                },
            }
        ],
        "routes": [
            {"path": "/healthz", "methods": ["GET"], "anonymous": True},
            {"path": "/api/**", "require": {"scopes": ["access_as_user"]}},
        ],
        "identities": [
            {
                "name": "tasks",
                "entra": {
                    "tenant": "11111111-1111-4111-8111-111111111111",
                    "clientId": "a0000000-0000-4000-8000-000000000001",
                    "secretFile": "/secrets/client-secret",
                },
            }
        ],
        "destinations": [
            {
                "name": "notification",
                "hosts": ["notification.shop:8001"],
                "credential": {"obo": {"identity": "tasks", "scopes": ["api://n/.default"]}},
            }
        ],
    },
    "secrets": [{"mountPath": "/secrets", "existingSecret": "tasks"}],
}
EVERYTHING: dict[str, Any] = {
    "podDisruptionBudget": {"enabled": True},
    "networkPolicy": {"enabled": True, "metricsFrom": [{"podSelector": {}}]},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "workloadIdentity": {"enabled": True, "clientId": "c", "tenantId": "t"},
    "keyVault": {
        "enabled": True,
        "className": "tasks-vault",
        "name": "v",
        "tenantId": "t",
        "objects": [{"objectName": "client-secret"}],
    },
}
REDIRECT: dict[str, Any] = {
    "interception": {
        "mode": "redirect",
        "excludeInboundPorts": [9090],
        "excludeOutboundPorts": [5432],
        "excludeOutboundCidrs": ["10.1.0.0/16", "fd00::/8"],
    },
    "config": {"listeners": {"outbound": {"mode": "redirect"}}},
}


def over(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """*base* with *change* laid over it, as Helm lays one values file over another."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        inner = result.get(key)
        both = isinstance(value, dict) and isinstance(inner, dict)
        result[key] = over(inner, value) if both else copy.deepcopy(value)
    return result


Render = Callable[..., list[Manifest]]


@pytest.fixture(scope="session")
def render() -> Iterator[Render]:
    """Render charts/attache: the values are those of `VALUES`, with changes over them."""
    with helm.Chart.load(CHARTS / "attache") as chart:

        def rendered(*changes: dict[str, Any]) -> list[Manifest]:
            values = VALUES
            for change in changes:
                values = over(values, change)
            chart.validate_schema(values)
            return documents(chart.render(values, name="tasks", namespace="shop"))

        yield rendered


def documents(rendered: dict[str, str]) -> list[Manifest]:
    """Every manifest of a rendering, without notes."""
    texts = [text for path, text in rendered.items() if path.endswith(".yaml")]
    yaml = YAML(typ="safe", pure=True)
    return [one for text in texts for one in yaml.load_all(text) if one]


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    """The one manifest of a kind."""
    (found,) = [one for one in manifests if one["kind"] == kind]
    return found


def pod(manifests: list[Manifest]) -> Manifest:
    """The Deployment's pod."""
    template: Manifest = of_kind(manifests, "Deployment")["spec"]["template"]
    return template


def container(template: Manifest, name: str) -> Manifest:
    """One container of a pod, wherever it stands."""
    spec = template["spec"]
    (found,) = [
        one for one in [*spec["initContainers"], *spec["containers"]] if one["name"] == name
    ]
    return dict(found)
