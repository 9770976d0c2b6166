"""Managed identities and API keys: what may be written, and what is refused with a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.attache import Attache
from agent.config.loading import ConfigInvalid, parse

TEXT = """
workload: {{name: task-api}}
listeners: {{outbound: {{}}}}
identities:
  - {{name: us, entra: {{tenant: t, clientId: c, {proof}}}}}
destinations:
  - name: crm
    hosts: [crm]
    credential: {credential}
"""


def read(credential: str, proof: str = "secretFile: /s") -> Attache:
    return parse(TEXT.format(credential=credential, proof=proof).encode(), "attache.yaml")


@pytest.mark.parametrize(
    ("credential", "kind"),
    [
        ("{managedIdentity: {scopes: [api://audit/.default]}}", "managedIdentity"),
        ("{managedIdentity: {resource: api://audit, clientId: c}}", "managedIdentity"),
        ("{managedIdentity: {resource: r}, subject: app}", "managedIdentity"),
        ("{secretFile: {file: /k}}", "secretFile"),
        ("{secretFile: {file: /k, header: x-api-key, prefix: ''}}", "secretFile"),
        ("{secretFile: {file: /k, prefix: 'Token token='}, subject: app}", "secretFile"),
    ],
)
def test_both_kinds_load(credential: str, kind: str) -> None:
    choice = read(credential).destinations[0].credential
    assert (choice.kind, choice.subject) == (kind, "app")


@pytest.mark.parametrize(
    "proof", ["managedIdentity: {clientId: mi}", "managedIdentity: {}", "managedIdentity: "]
)
def test_a_managed_identity_may_vouch_for_a_registration(proof: str) -> None:
    config = read("{clientCredentials: {identity: us, scopes: [s]}}", proof)
    assert config.identities[0].entra
    assert config.identities[0].entra.managed_identity is not None
    named = read("{managedIdentity: {identity: us, resource: r}}", proof)
    assert named.destinations[0].credential.managed_identity


REFUSED: dict[str, tuple[str, str]] = {
    "{managedIdentity: {}}": ("is for one resource", "write resource, or one scope"),
    "managedIdentity": ("is for one resource", "write resource, or one scope"),
    "{managedIdentity: {scopes: [a, b]}}": ("is for one resource", "write resource"),
    "{managedIdentity: {scopes: [a], resource: a}}": ("is for one resource", "or one scope"),
    "{managedIdentity: {resource: a, identity: us}}": ("'us' is no entra identity", "clientId"),
    "{managedIdentity: {resource: a, identity: no}}": ("'no' is no entra identity", "clientId"),
    "{managedIdentity: {resource: a, identity: us, clientId: c}}": ("already", "there only"),
    "{managedIdentity: {resource: a, subject: user}}": ("not one of the choices", "'app'"),
    "{secretFile: {}}": ("'file' is missing", "write file"),
    "{secretFile: {file: /k, header: Host}}": ("not a header's name", "lower-case"),
    "{secretFile: {file: /k, header: ':path'}}": ("not a header's name", "x-api-key"),
    "{secretFile: {file: /k, header: x_api_key}}": ("not a header's name", "x-api-key"),
    "{secretFile: {file: /k, header: host}}": ("belongs to the connection", "choose another"),
    "{secretFile: {file: /k, header: te}}": ("belongs to the connection", "choose another"),
    "{secretFile: {file: /k, header: proxy-authorization}}": ("belongs to the conn", "another"),
    "{secretFile: {file: /k, header: x-auth-kind}}": ("agent's or Envoy's own", "another"),
    "{secretFile: {file: /k, header: x-auth-email}}": ("agent's or Envoy's own", "another"),
    "{secretFile: {file: /k, header: baggage}}": ("agent's or Envoy's own", "another"),
    "{secretFile: {file: /k, header: x-correlation-id}}": ("agent's or Envoy's own", "another"),
    "{secretFile: {file: /k, header: x-envoy-force-trace}}": ("agent's or Envoy's own", "another"),
    "{secretFile: {file: /k, prefix: \"a\\nb\"}}": ("plain ASCII", "'Bearer '"),
    "{secretFile: {file: /k, prefix: ' x'}}": ("plain ASCII", "'Bearer '"),
    "{secretFile: {file: \"-----BEGIN\\nx\"}}": ("this is key material", "write the path"),
    "{secretFile: {key: abc}}": ("unknown key 'key'", "references to files"),
}  # fmt: skip


@pytest.mark.parametrize("credential", REFUSED)
def test_what_cannot_be_meant_is_refused_with_a_remedy(credential: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(credential)
    reason, remedy = REFUSED[credential]
    found: list[Any] = [
        finding
        for finding in caught.value.findings
        if reason in finding.reason and remedy in finding.remedy
    ]
    assert found, caught.value.findings


@pytest.mark.must(28)
@pytest.mark.parametrize(
    ("credential", "said"),
    [
        ("none", "'none' has nothing to push"),
        ("{forward: {}}", "'forward' differs from caller to caller"),
        ("{obo: {identity: us, scopes: [s]}}", "'obo' differs from caller to caller"),
    ],
)
def test_only_our_own_credentials_are_pushed(credential: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(credential + "\n    delivery: sds")
    (found,) = (f for f in caught.value.findings if f.path == "destinations[0].delivery")
    assert said in found.reason
    assert "use one of clientCredentials, managedIdentity, refreshToken, secretFile" in found.remedy


def test_ours_may_be_pushed_and_are_not_unless_that_is_written() -> None:
    assert read("{secretFile: {file: /k}}").destinations[0].delivery == "check"
    assert read("{secretFile: {file: /k}}\n    delivery: sds").destinations[0].delivery == "sds"
