"""On-Behalf-Of where it cannot be: refused when the configuration is loaded, with a way out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.config.attache import Attache
from agent.config.loading import ConfigInvalid, parse
from agent.config.obo_rules import on_behalf_of_fits

GUID = "11111111-1111-4111-8111-111111111111"
ENTRA = {"name": "entra", "entra": {"tenants": [GUID], "audiences": ["api://us"]}}
B2C_ISSUER = {
    "name": "customers",
    "b2c": {
        "authority": "https://contoso.b2clogin.com",
        "tenant": GUID,
        "policies": ["B2C_1_signin"],
        "audiences": ["us"],
    },
}
DISGUISED = {
    "name": "customers",
    "entra": {
        "tenants": [GUID],
        "audiences": ["us"],
        "authority": "https://contoso.b2clogin.com",
    },
}
PARTNER = {"name": "partner", "oidc": {"issuer": "https://sso.example", "audiences": ["us"]}}
OBO = {"obo": {"identity": "us", "scopes": ["api://there/.default"]}}


def written(
    issuers: list[dict[str, Any]], authority: str = "https://login.microsoftonline.com"
) -> dict[str, Any]:
    entra = {"tenant": GUID, "clientId": GUID, "authority": authority, "secretFile": "/s/us"}
    return {
        "workload": {"name": "us"},
        "listeners": {"inbound": {"application": "127.0.0.1:8000"}, "outbound": {}},
        "issuers": issuers,
        "identities": [{"name": "us", "entra": entra}],
        "destinations": [{"name": "there", "hosts": ["there"], "credential": OBO}],
    }


def findings(document: dict[str, Any]) -> list[str]:
    try:
        parse(json.dumps(document).encode(), "attache.yaml")
    except ConfigInvalid as invalid:
        return [str(finding) for finding in invalid.findings]
    return []


@pytest.mark.parametrize(
    "document",
    [
        written([B2C_ISSUER]),
        written([B2C_ISSUER, PARTNER]),
        written([DISGUISED]),
        written([ENTRA], "https://contoso.b2clogin.com"),
        written([ENTRA], "https://login.microsoftonline.com/tfp/contoso.example/B2C_1_signin"),
    ],
    ids=["issuer", "beside another", "as entra", "our client", "our client by tfp"],
)
def test_b2c_has_no_on_behalf_of_and_the_finding_names_what_there_is(
    document: dict[str, Any],
) -> None:
    (found,) = findings(document)
    assert "destinations[0].credential.obo" in found
    assert "B2C has no On-Behalf-Of" in found
    for alternative in ("internal", "clientCredentials", "forward"):
        assert alternative in found


def test_without_any_issuer_of_entra_there_is_nobody_to_act_for() -> None:
    (found,) = findings(written([PARTNER]))
    assert "needs an entra issuer" in found


@pytest.mark.parametrize("issuers", [[ENTRA], [ENTRA, B2C_ISSUER, PARTNER]])
def test_users_of_entra_may_be_acted_for_also_where_others_come_too(
    issuers: list[dict[str, Any]],
) -> None:
    assert findings(written(issuers)) == []


CLAIMS = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}


@pytest.mark.parametrize("claims", [CLAIMS, json.dumps(CLAIMS)])
def test_a_standing_demand_may_be_written_as_yaml_or_as_json(claims: object) -> None:
    document = written([ENTRA])
    document["destinations"][0]["credential"] = {"obo": {**OBO["obo"], "claims": claims}}
    obo = Attache.model_validate(document).destinations[0].credential.obo
    assert obo
    assert obo.claims == '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
    assert list(on_behalf_of_fits(Attache.model_validate(document))) == []


@pytest.mark.parametrize("claims", ["", "c1", [1], {}, {"access_token": "x" * 5000}])
def test_a_demand_that_is_none_is_refused(claims: object) -> None:
    document = written([ENTRA])
    document["destinations"][0]["credential"] = {"obo": {**OBO["obo"], "claims": claims}}
    (found,) = findings(document)
    assert "not a claims request" in found
