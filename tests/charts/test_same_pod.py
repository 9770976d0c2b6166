"""charts/attache renders and `attache inject` patches in the same pod (docs/decisions/017)."""

from __future__ import annotations

from typing import Any

import pytest

from agent.inject import names
from agent.inject.levels import Level
from agent.inject.pod import Injected, inject
from agent.inject.settings import Settings
from tests.charts.conftest import REDIRECT, Manifest, Render, over, pod

ORDINARY = {"sidecars": "ordinary"}
FILES = {
    "secrets": [
        {"mountPath": "/secrets", "existingSecret": "tasks"},
        {"mountPath": "/trust", "existingConfigMap": "trust"},
        {"mountPath": "/vault", "secretProviderClass": "vault"},
        {
            "mountPath": "/var/run/tokens",
            "serviceAccountToken": {"audience": "api://x", "path": "azure"},
        },
    ]
}
ASKED = {
    "redirect": {
        names.MODE: "redirect",
        names.EXCLUDE_INBOUND_PORTS: "9090",
        names.EXCLUDE_OUTBOUND_PORTS: "5432",
        names.EXCLUDE_OUTBOUND_CIDRS: "10.1.0.0/16,fd00::/8",
        names.SECRETS: "tasks",
    },
    "files": {
        names.SECRETS: "tasks",
        names.CONFIG_MAPS: "trust=/trust",
        names.SECRET_PROVIDER_CLASSES: "vault=/vault",
        names.TOKENS: "api://x=/var/run/tokens/azure",
    },
    "plain": {names.SECRETS: "tasks"},
}


@pytest.mark.parametrize(
    ("change", "asked", "level"),
    [
        ({}, "plain", "restricted"),
        (REDIRECT, "redirect", "privileged"),
        (ORDINARY, "plain", "restricted"),
        (over(REDIRECT, ORDINARY), "redirect", "privileged"),
        (FILES, "files", "restricted"),
    ],
)
def test_both_ways_lead_to_one_pod(
    render: Render, change: dict[str, Any], asked: str, level: Level
) -> None:
    theirs = pod(render(change))
    volumes = {one["name"]: one for one in theirs["spec"]["volumes"]}
    for volume in volumes.values():
        if "secret" in volume:  # 0444: Kubernetes reads YAML 1.1, our tests 1.2
            volume["secret"]["defaultMode"] = int(str(volume["secret"]["defaultMode"]), 8)
    settings = Settings.model_validate(
        {
            "sidecars": change.get("sidecars", "native"),
            "configMap": volumes["attache-config"]["configMap"]["name"],
        }
    )
    application = theirs["spec"]["containers"][0]
    bare = {key: value for key, value in application.items() if key not in ("env", "lifecycle")}
    metadata = {"annotations": {names.INJECT: "true", **ASKED[asked]}}
    outcome = inject({"metadata": metadata, "spec": {"containers": [bare]}}, settings, level)
    assert isinstance(outcome, Injected), outcome
    ours = outcome.pod
    assert ours["spec"]["initContainers"] == theirs["spec"]["initContainers"]
    assert ours["spec"]["containers"] == theirs["spec"]["containers"]
    assert ours["spec"]["volumes"] == theirs["spec"]["volumes"]
    for name in (names.INJECTED, names.DEFAULT_CONTAINER):
        assert annotation(ours, name) == annotation(theirs, name)


def annotation(template: Manifest, name: str) -> Any:
    """What the pod says by an annotation."""
    return template["metadata"]["annotations"].get(name)
