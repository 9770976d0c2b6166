"""What charts/attache refuses, and whether it says what to do instead."""

from __future__ import annotations

from typing import Any

import pytest

from tests.charts.conftest import REDIRECT, helm

MUST = pytest.mark.must(49)

# change, words of the sentence
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"interception": {"mode": "redirect"}}, "write the same in both"),
    ({"config": {"agent": {"socket": "/tmp/a.sock"}}}, "share /run/attache only"),
    ({"config": {"listeners": {"outbound": {"address": "0.0.0.0"}}}}, "write 127.0.0.1"),
    ({"config": {"listeners": {"inbound": {"address": "127.0.0.1"}}}}, "write 0.0.0.0"),
    ({"config": {"listeners": {"inbound": {"application": "other:1"}}}}, "write 127.0.0.1"),
    ({"config": {"listeners": {"inbound": {"port": 15021}}}}, "choose another"),
    ({"workload": {"securityContext": {"runAsUser": 10021}}}, "choose another"),
    ({"workload": {"podSecurityContext": {"runAsUser": 10020}}}, "choose another"),
    ({"secrets": []}, "add an entry to secrets"),
    ({"secrets": [{"mountPath": "/secrets"}]}, "write existingSecret"),
    ({"existingConfigMap": "mine"}, "remove one"),
    ({"interception": {"excludeInboundPorts": [80]}}, "belongs to mode redirect"),
    ({"workloadIdentity": {"enabled": True}}, "needs workloadIdentity.clientId"),
    ({"keyVault": {"enabled": True}}, "needs keyVault."),
    (
        {"podDisruptionBudget": {"enabled": True, "minAvailable": 1, "maxUnavailable": 1}},
        "remove one",
    ),
)


@MUST
@pytest.mark.parametrize(("change", "words"), REFUSED, ids=lambda part: str(part)[:60])
def test_what_cannot_work_is_refused_with_a_sentence(render, change, words):
    with pytest.raises(helm.HelmError, match=words):
        render(change)


def test_nothing_configured_is_said_before_anything_is_made():
    from tests.charts.conftest import CHARTS

    with (
        helm.Chart.load(CHARTS / "attache") as chart,
        pytest.raises(helm.HelmError, match="write attache"),
    ):
        chart.render({}, name="x")


ENTRA = {"tenants": ["11111111-1111-4111-8111-111111111111"], "audiences": ["a"]}
AUDIENCE = {"audiences": ["a"]}
# change, what the schema names
INVALID: tuple[tuple[dict[str, Any], str], ...] = (
    ({"replicas": 1}, "replicas"),
    ({"config": {"route": []}}, "route"),
    ({"config": {"issuers": [{"name": "e", "entra": {"tenants": ["x"]}}]}}, "audiences"),
    ({"config": {"issuers": [{"name": "e", "entra": {**ENTRA, "audiences": []}}]}}, "audiences"),
    (
        {"config": {"issuers": [{"name": "e", "entra": {**ENTRA, "authority": "http://e.x"}}]}},
        "authority",
    ),
    (
        {
            "config": {
                "issuers": [{"name": "o", "oidc": {"issuer": "http://e", "audiences": ["a"]}}]
            }
        },
        "issuer",
    ),
    (
        {"config": {"identities": [{"name": "i", "entra": {"secret": "hunter2"}}]}},
        "secret",
    ),
    (
        {"config": {"internalTokens": {"issuer": "i", "trustDomain": "t", "keys": "-----B\nx"}}},
        "keys",
    ),
    ({"interception": {"mode": "iptables"}}, "mode"),
    ({"secrets": [{"mountPath": "secrets", "existingSecret": "a"}]}, "mountPath"),
)


@MUST
@pytest.mark.parametrize(("change", "named"), INVALID, ids=lambda part: str(part)[:60])
def test_the_schema_refuses_unknown_keys_and_unsafe_values(render, change, named):
    with pytest.raises(helm.HelmError, match=named) as refused:
        render(change)
    assert "hunter2" not in str(refused.value)


@MUST
def test_a_secret_in_the_place_of_a_file_is_refused_and_not_repeated(render):
    identity = {"tenant": "t", "clientId": "c", "secretFile": "hunter2"}
    with pytest.raises(helm.HelmError, match="never the secret itself") as refused:
        render({"config": {"identities": [{"name": "tasks", "entra": identity}]}})
    assert "hunter2" not in str(refused.value)


def test_redirect_with_the_same_mode_in_the_configuration_is_accepted(render):
    assert render(REDIRECT)
