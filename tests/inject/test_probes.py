"""Whether kubelet's probes get past the routes."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.routes import Route
from agent.inject.probes import refused
from agent.policy.routes import Routes

ROUTES = Routes(
    Route.model_validate(route)
    for route in (
        {"path": "/healthz", "methods": ["GET"], "anonymous": True},
        {"path": "/status", "hosts": ["shop.example"], "methods": ["GET"], "anonymous": True},
        {"path": "/**", "require": {"scopes": ["x"]}},
    )
)


@pytest.mark.parametrize(
    ("probe", "inbound", "let_in"),
    [
        ({"path": "/healthz", "port": 15006}, 15006, True),
        ({"path": "/healthz?full=1", "port": 15006}, 15006, True),
        ({"path": "/live", "port": 15006}, 15006, False),
        ({"path": "/live", "port": 9090}, 15006, True),  # not through Envoy
        ({"path": "/live", "port": 9090}, 0, False),  # redirected
        ({"port": 15006}, 15006, False),
        ({"path": "/a/../healthz", "port": 15006}, 15006, False),
        ({"path": "/status", "port": 15006}, 15006, False),
        (
            {
                "path": "/status",
                "port": 15006,
                "httpHeaders": [{"name": "host", "value": "shop.example"}],
            },
            15006,
            True,
        ),
    ],
)
def test_a_probe_needs_an_anonymous_route(
    probe: dict[str, Any], inbound: int, let_in: bool
) -> None:
    own = {"name": "app", "readinessProbe": {"httpGet": probe}, "livenessProbe": {"exec": {}}}
    ours = {"name": "attache-envoy", "readinessProbe": {"httpGet": {"path": "/x", "port": 15006}}}
    said = refused({"spec": {"containers": [own, ours]}}, ROUTES, inbound)
    assert (said == []) == let_in
