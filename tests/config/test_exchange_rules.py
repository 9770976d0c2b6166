"""OAuth identities and token exchanges: what is accepted, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agent.config.attache import Attache
from agent.config.identities import OAuthIdentity
from agent.config.loading import ConfigInvalid, Finding, parse
from agent.config.token_exchange import TokenExchange

URL = "https://sso.example/token"
SECRET, KEY, CERT = "/s/secret", "/s/key.pem", "/s/cert.pem"


def oauth(**more: Any) -> dict[str, Any]:
    return {"tokenUrl": URL, "clientId": "us", **more}


@pytest.mark.parametrize(
    ("written", "method"),
    [
        (oauth(secretFile=SECRET), "client_secret_basic"),
        (oauth(secretFile=SECRET, authMethod="client_secret_post"), "client_secret_post"),
        (oauth(keyFile=KEY), "private_key_jwt"),
        (oauth(keyFile=KEY, algorithm="PS256", keyId="k1"), "private_key_jwt"),
        (oauth(keyFile=KEY, certificateFile=CERT), "tls_client_auth"),
        (oauth(federatedTokenFile="/s/token"), "private_key_jwt"),
        (oauth(federatedTokenFile="/s/token", authMethod="private_key_jwt"), "private_key_jwt"),
        (oauth(authMethod="none"), "none"),
        ({"tokenUrl": URL, "authMethod": "none"}, "none"),
        ({"issuer": "https://sso.example", "clientId": "us", "keyFile": KEY}, "private_key_jwt"),
    ],
)
def test_a_client_proves_itself_with_what_is_written(written: dict[str, Any], method: str) -> None:
    assert OAuthIdentity.model_validate(written).method == method


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (oauth(), "nothing says how the client proves itself"),
        (oauth(secretFile=SECRET, keyFile=KEY), "nothing says how"),
        (oauth(secretFile=SECRET, authMethod="private_key_jwt"), "goes with keyFile, found secret"),
        (oauth(authMethod="client_secret_post"), "goes with secretFile, found none"),
        (oauth(secretFile=SECRET, authMethod="none"), "goes with no file"),
        (oauth(keyFile=KEY, authMethod="tls_client_auth"), "certificateFile and keyFile"),
        (oauth(secretFile=SECRET, keyId="k"), "keyId is for assertions"),
        (oauth(secretFile=SECRET, algorithm="ES256"), "algorithm is for assertions"),
        (oauth(federatedTokenFile="/t", assertionAudience="x"), "assertionAudience is for"),
        (oauth(keyFile=KEY, issuer="https://sso.example"), "exactly one of tokenUrl, issuer"),
        ({"clientId": "us", "keyFile": KEY}, "exactly one of tokenUrl, issuer"),
        ({"tokenUrl": URL, "keyFile": KEY}, "clientId is missing"),
        (oauth(keyFile=KEY, algorithm="HS256"), "RS256"),
        (oauth(keyFile=KEY) | {"tokenUrl": "http://sso.example"}, "plain http"),
    ],
)
def test_a_proof_that_does_not_fit_is_refused(written: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        OAuthIdentity.model_validate(written)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({}, "write audience, resource or scopes"),
        ({"audience": "a", "subject": "app"}, "or use clientCredentials"),
        ({"audience": "a", "own": "internal"}, "subject: user never is"),
        ({"audience": "a", "subject": "app", "own": "internal", "issuers": ["x"]}, "issuers"),
        ({"resource": "billing"}, "absolute URI"),
        ({"resource": "https://x.example/#part"}, "without a fragment"),
        ({"audience": "a", "subjectTokenType": "saml"}, "no token type"),
        ({"audience": "a", "requestedTokenType": "id_token"}, "access_token"),
        ({"audience": "a", "actor": {}}, "exactly one of clientCredentials, internal, file"),
        ({"audience": "a", "actor": {"internal": {}, "file": "/f"}}, "exactly one of"),
    ],
)
def test_an_exchange_that_means_nothing_is_refused(written: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TokenExchange.model_validate({"identity": "us", **written})


def test_no_actor_may_be_said() -> None:
    said = TokenExchange.model_validate({"identity": "us", "audience": "a", "actor": "none"})
    assert said.actor is None


def test_the_short_forms_mean_the_long_ones() -> None:
    short = TokenExchange.model_validate(
        {"identity": "us", "scopes": ["s"], "actor": "internal", "subject": "either"}
        | {"own": {"file": "/f"}}
    )
    long = TokenExchange.model_validate(
        {"identity": "us", "scopes": ["s"], "actor": {"internal": {}}, "subject": "either"}
        | {"own": {"file": {"path": "/f", "tokenType": "jwt"}}}
    )
    assert short == long


CONFIG = """\
workload: {name: task-api, namespace: shop}
listeners: {inbound: {port: 15006, application: "127.0.0.1:8000"}, outbound: {port: 15001}}
issuers:
  - {name: sso, oidc: {issuer: "https://sso.example", audiences: [us]}}
  - name: mesh
    internal: {trustDomain: d, issuers: [i], audience: us, jwks: {file: /j}}
routes: [{path: "/**"}]
identities:
  - {name: us, oauth: {tokenUrl: "https://sso.example/t", clientId: us, secretFile: /s}}
  - {name: public, oauth: {tokenUrl: "https://sso.example/t", clientId: us, authMethod: none}}
  - {name: entra, entra: {tenant: contoso.example, clientId: us, secretFile: /s}}
destinations:
  - name: billing
    hosts: ["billing:80"]
    credential: {tokenExchange: {identity: us, audience: billing}}
"""
WHERE = "destinations[0].credential.tokenExchange"


def findings(old: str, new: str) -> list[Finding]:
    assert CONFIG.count(old) == 1
    with pytest.raises(ConfigInvalid) as refused:
        parse(CONFIG.replace(old, new).encode(), "a.yaml")
    return refused.value.findings


def test_the_configuration_of_these_tests_is_valid() -> None:
    config: Attache = parse(CONFIG.encode(), "a.yaml")
    assert config.destinations[0].credential.kind == "tokenExchange"
    assert config.destinations[0].credential.subject == "user"


@pytest.mark.parametrize(
    ("new", "path", "reason", "remedy"),
    [
        ("{identity: them, audience: b}", f"{WHERE}.identity", "'them' does not exist", "us"),
        ("{identity: entra, audience: b}", f"{WHERE}.identity", "needs an oauth", "use obo"),
        (
            "{identity: us, audience: b, issuers: [other]}",
            f"{WHERE}.issuers[0]", "'other' does not exist", "mesh, sso",
        ),
        (
            "{identity: us, audience: b, actor: internal}",
            f"{WHERE}.actor.internal", "needs internalTokens", "configure",
        ),
        (
            "{identity: us, audience: b, actor: {clientCredentials: {identity: them}}}",
            f"{WHERE}.actor.clientCredentials.identity", "does not exist", "add it",
        ),
        (
            "{identity: us, audience: b, actor: {clientCredentials: {identity: public}}}",
            f"{WHERE}.actor.clientCredentials.identity", "no oauth client", "name one",
        ),
        (
            "{identity: public, audience: b, subject: either}",
            WHERE, "cannot prove itself", "write own",
        ),
    ],
)  # fmt: skip
def test_what_an_exchange_names_must_fit(new: str, path: str, reason: str, remedy: str) -> None:
    (found,) = findings("{identity: us, audience: billing}", new)
    assert (found.path, found.line) == (path, 15)
    assert reason in found.reason
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("clientCredentials: {identity: public}", "gets no token of its own"),
        ("clientCredentials: {identity: entra, resource: 'https://x'}", "no resource parameter"),
        ("obo: {identity: us, scopes: [x]}", "On-Behalf-Of needs an entra identity"),
    ],
)
def test_other_kinds_ask_only_what_an_identity_can(new: str, words: str) -> None:
    found = findings("tokenExchange: {identity: us, audience: billing}", new)
    assert words in " ".join(one.reason for one in found)


def test_internal_tokens_leave_the_trust_domain_only_where_that_is_said() -> None:
    line = '  - {name: sso, oidc: {issuer: "https://sso.example", audiences: [us]}}\n'
    (found,) = findings(line, "")
    assert found.path == WHERE
    assert "no issuer's tokens may be exchanged" in found.reason
    named = CONFIG.replace(line, "").replace("audience: billing}", "audience: b, issuers: [mesh]}")
    parse(named.encode(), "a.yaml")
