"""What may be said about issuers, and what is refused with a remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.config.loading import ConfigInvalid, parse

BASE: dict[str, Any] = {
    "workload": {"name": "task-api"},
    "listeners": {"inbound": {"application": "127.0.0.1:8000"}},
}
ISS = "https://as.example"
OIDC: dict[str, Any] = {"issuer": ISS, "audiences": ["a"]}
ASKED: dict[str, Any] = {
    "url": f"{ISS}/introspect",
    "clientId": "c",
    "secretFile": "/secret",
    "audiences": ["a"],
}
INTERNAL = {"trustDomain": "d", "issuers": [ISS], "audience": "a", "jwks": {"file": "/jwks"}}


def load(*issuers: tuple[str, dict[str, Any]]) -> Any:
    listed = [{"name": f"i{index}", kind: said} for index, (kind, said) in enumerate(issuers)]
    return parse(json.dumps(BASE | {"issuers": listed}).encode(), "attache.yaml")


def test_one_name_of_a_claim_is_a_list_of_one() -> None:
    said = OIDC | {"claims": {"roles": "a.b", "scopes": ["x", "y"]}}
    claims = load(("oidc", said)).issuers[0].oidc.claims
    assert (claims.roles, claims.scopes, claims.client) == (("a.b",), ("x", "y"), None)


@pytest.mark.parametrize(
    "issuers",
    [
        [("oidc", OIDC), ("introspection", ASKED | {"issuer": ISS})],
        [("introspection", ASKED | {"issuer": ISS}), ("oidc", OIDC)],
        [("introspection", ASKED | {"url": "http://127.0.0.1:9/introspect"})],
        [("oidc", OIDC | {"issuer": "kubernetes/serviceaccount", "jwks": {"file": "/j"}})],
        [("oidc", OIDC | {"issuer": "http://127.0.0.1:9", "jwks": {"file": "/j"}})],
        [("oidc", OIDC | {"jwks": {"url": "https://x.example/k", "caFile": "/ca"}})],
        [("oidc", OIDC | {"profile": "rfc9068", "callers": "apps"})],
    ],
    ids=str,
)
def test_what_belongs_together_loads(issuers: Any) -> None:
    assert load(*issuers).issuers


@pytest.mark.must(8, 49)
@pytest.mark.parametrize(
    ("issuers", "path", "reason", "remedy"),
    [
        ([("introspection", ASKED), ("introspection", ASKED)],
         "issuers[1].introspection", "go to 'i0' already", "remove one"),
        ([("internal", INTERNAL), ("introspection", ASKED | {"issuer": ISS})],
         "issuers[1].introspection.issuer", "'i0' mints in this name", "opaque tokens"),
        ([("introspection", ASKED | {"url": "http://as.example/introspect"})],
         "issuers[0].introspection.url", "plain http", "https://"),
        ([("introspection", ASKED | {"audiences": []})],
         "issuers[0].introspection.audiences", "empty", "at least one"),
        ([("introspection", ASKED | {"cache": "2h"})],
         "issuers[0].introspection.cache", "out of bounds", "3600"),
        ([("introspection", ASKED | {"cache": 0})],
         "issuers[0].introspection.cache", "out of bounds", "greater than 0"),
        ([("introspection", ASKED | {"authMethod": "none"})],
         "issuers[0].introspection.authMethod", "choices", "client_secret_basic"),
        ([("introspection", ASKED | {"clientSecret": "hunter2-hunter2"})],
         "issuers[0].introspection.clientSecret", "unknown key", "secretFile"),
        ([("oidc", OIDC | {"issuer": "as.example"})],
         "issuers[0].oidc.issuer", "not an absolute URL", "https://"),
        ([("oidc", OIDC | {"issuer": "http://as.example", "jwks": {"file": "/j"}})],
         "issuers[0].oidc.issuer", "plain http", "https://"),
        ([("oidc", OIDC | {"caFile": "/ca", "jwks": {"file": "/j"}})],
         "issuers[0].oidc", "caFile is for discovery", "jwks.caFile"),
        ([("oidc", OIDC | {"jwks": {"file": "/j", "caFile": "/ca"}})],
         "issuers[0].oidc.jwks", "belongs to a url", "remove"),
        ([("oidc", OIDC | {"jwks": {}})],
         "issuers[0].oidc.jwks", "exactly one of file, url", "write one"),
        ([("oidc", OIDC | {"profile": "rfc7519"})],
         "issuers[0].oidc.profile", "choices", "rfc9068"),
        ([("oidc", OIDC | {"claims": {"role": "x"}})],
         "issuers[0].oidc.claims.role", "unknown key", "roles"),
        ([("oidc", OIDC | {"claims": {"roles": []}})],
         "issuers[0].oidc.claims.roles", "empty", "at least one"),
        ([("oidc", OIDC | {"claims": {"roles": ""}})],
         "issuers[0].oidc.claims.roles[0]", "empty", "at least one"),
        ([("oidc", OIDC), ("oidc", OIDC)],
         "issuers[1]", "trusted by 'i0' already", "merge"),
    ],
)  # fmt: skip
def test_what_does_not_is_refused_with_a_remedy(
    issuers: Any, path: str, reason: str, remedy: str
) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        load(*issuers)
    (finding,) = refused.value.findings
    assert finding.path == path
    assert reason in finding.reason
    assert remedy in finding.remedy
    assert "hunter2" not in str(finding)
