"""What may be said of stored tokens, and what is refused with which words?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.config.finding import ConfigInvalid
from agent.config.loading import missing_files, parse

FILE = {"file": {"path": "/var/lib/attache/crm", "keyFile": "/secrets/key"}}
REDIS = {"redis": {"url": "rediss://redis.shop:6379/0", "keyFile": "/secrets/key"}}
SECRET = {"kubernetesSecret": {"name": "attache-tokens", "keyFile": "/secrets/key"}}
OAUTH = {"issuer": "https://crm.example", "clientId": "us", "secretFile": "/secrets/crm"}
ENTRA = {"tenant": "11111111-1111-4111-8111-111111111111", "clientId": "us"}


def configuration(*tokens: dict[str, Any], **identity: Any) -> bytes:
    return json.dumps(
        {
            "workload": {"name": "task-api", "namespace": "shop"},
            "listeners": {"outbound": {"port": 15001}},
            "identities": [{"name": "crm", **(identity or {"oauth": OAUTH})}],
            "storedTokens": list(tokens),
            "destinations": [
                {
                    "name": "crm",
                    "hosts": ["crm.shop"],
                    "credential": {"refreshToken": {"token": "crm"}},
                }
            ],
        }
    ).encode()


def token(**more: Any) -> dict[str, Any]:
    return {"name": "crm", "identity": "crm", "store": FILE} | more


@pytest.mark.parametrize("store", [FILE, REDIS, SECRET])
def test_a_token_is_kept_in_each_store(store: dict[str, Any]) -> None:
    config = parse(configuration(token(store=store)), "a.yaml")
    kept = config.stored_tokens[0]
    assert (kept.grace, kept.reusable, kept.idle_lifetime) == (60.0, False, None)
    assert config.destinations[0].credential.kind == "refreshToken"
    assert config.destinations[0].credential.subject == "app"


@pytest.mark.parametrize(
    ("changes", "place", "reason", "remedy"),
    [
        ({"store": FILE | REDIS}, "store", "exactly one of", "write one of them"),
        ({"store": {}}, "store", "exactly one of", "write one of them"),
        ({"store": {"file": {"path": "/p"}}}, "store.file.keyFile", "missing", "keyFile"),
        (
            {"store": {"redis": {"url": "redis://far.example", "keyFile": "/k"}}},
            "store.redis.url",
            "plain text",
            "rediss://",
        ),
        (
            {"store": {"kubernetesSecret": {"name": "A_B", "keyFile": "/k"}}},
            "store.kubernetesSecret.name",
            "no name of Kubernetes",
            "lower-case",
        ),
        ({"identity": "erp"}, "identity", "'erp' does not exist", "crm"),
        ({"grace": -1}, "grace", "out of bounds", "at least 0"),
        ({"login": {"host": "0.0.0.0"}}, "login.host", "not one of the choices", "localhost"),
        (
            {"login": {"parameters": {"state": "x"}}},
            "login.parameters",
            "'state' is the sign-in's own",
            "remove it",
        ),
        ({"refreshToken": "eyJ"}, "refreshToken", "unknown", ""),
    ],
)
def test_what_does_not_fit_is_refused_with_its_remedy(
    changes: dict[str, Any], place: str, reason: str, remedy: str
) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        parse(configuration(token(**changes)), "a.yaml")
    (finding,) = [f for f in refused.value.findings if f.path.endswith(place)]
    assert reason in finding.reason
    assert remedy in finding.remedy
    assert finding.remedy


def test_two_tokens_never_share_a_place() -> None:
    with pytest.raises(ConfigInvalid) as refused:
        parse(configuration(token(), token(name="erp")), "a.yaml")
    assert "'crm' lies there already" in str(refused.value)
    parse(configuration(token(store=SECRET), token(name="erp", store=SECRET)), "a.yaml")


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (ENTRA | {"secretFile": "/s"}, ""),
        (ENTRA | {"federatedTokenFile": "/s"}, ""),
        (ENTRA | {"certificateFile": "/s"}, "secretFile or federatedTokenFile"),
        (ENTRA | {"tenant": "contoso.example", "secretFile": "/s"}, "write the GUID"),
    ],
)
def test_an_entra_identity_proves_itself_by_what_any_server_takes(
    identity: dict[str, Any], said: str
) -> None:
    if not said:
        parse(configuration(token(), entra=identity), "a.yaml")
        return
    with pytest.raises(ConfigInvalid) as refused:
        parse(configuration(token(), entra=identity), "a.yaml")
    assert said in str(refused.value)


def test_the_store_itself_is_ours_to_make() -> None:
    config = parse(configuration(token(mounted="/not/there")), "a.yaml")
    missing = {finding.path for finding in missing_files(config)}
    assert missing == {"identities[0].oauth.secretFile", "storedTokens[0].store.file.keyFile"}
