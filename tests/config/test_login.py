"""Where people may sign in is checked before anybody tries."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agent.config.attache import Attache
from agent.config.login_rules import issuer_of, written

PEOPLE = {"name": "people", "oidc": {"issuer": "https://id.example", "audiences": ["a"]}}
ENTRA = {
    "name": "entra",
    "entra": {"tenants": ["11111111-1111-4111-8111-111111111111"], "audiences": ["a"]},
}
OAUTH = {"issuer": "https://id.example", "clientId": "us", "secretFile": "/s"}
LOGIN = {"identity": "us", "scopes": ["access"]}


def configuration(**different: Any) -> dict[str, Any]:
    return {
        "workload": {"name": "gateway"},
        "listeners": {"inbound": {"application": "127.0.0.1:8000"}},
        "issuers": [PEOPLE],
        "identities": [{"name": "us", "oauth": OAUTH}],
        "routes": [{"path": "/app/**", "login": LOGIN}],
    } | different


def entra_identity(**different: Any) -> dict[str, Any]:
    return {"name": "us", "entra": {"tenant": "t", "clientId": "c", "secretFile": "/s"} | different}


GOOD = [
    {},
    {"sessions": {"keyFile": "/k", "origin": "https://shop.example", "idle": "5m"}},
    {"sessions": {"keyFile": "/k", "redis": {"url": "rediss://r.example"}}},
    {"identities": [entra_identity()], "issuers": [PEOPLE, ENTRA]},
    {"routes": [{"path": "/a", "login": LOGIN | {"parameters": {"prompt": "consent"}}}]},
    {
        "routes": [{"path": "/a"}],
        "listeners": {"inbound": {"application": "127.0.0.1:1", "login": LOGIN}},
    },
    {
        "identities": [
            {
                "name": "us",
                "oauth": {"tokenUrl": "https://x/t", "clientId": "c", "secretFile": "/s"},
            }
        ],
        "routes": [{"path": "/a", "login": LOGIN | {"issuer": "people"}}],
    },
    {
        "identities": [
            {
                "name": "us",
                "oauth": {"tokenUrl": "https://x/t", "clientId": "c", "secretFile": "/s"},
            }
        ],
    },
]


@pytest.mark.parametrize("different", GOOD)
def test_a_login_that_fits_is_accepted(different):
    config = Attache.model_validate(configuration(**different))
    for _, login in written(config):
        assert issuer_of(config, login, config.identities[0]) is not None
        assert hash(login) == hash(login.model_copy())


BAD = [
    ({"routes": [{"path": "/a", "login": {"identity": "x"}}]}, "does not exist"),
    ({"issuers": [ENTRA]}, "no issuer fits"),
    ({"identities": [entra_identity()]}, "no issuer fits"),
    ({"routes": [{"path": "/a", "login": LOGIN | {"issuer": "nobody"}}]}, "no issuer fits"),
    (
        {
            "issuers": [PEOPLE, ENTRA],
            "routes": [{"path": "/a", "login": LOGIN | {"issuer": "entra"}}],
        },
        "cannot sign people in",
    ),
    ({"routes": [{"path": "/a", "login": LOGIN | {"tenant": "x"}}]}, "tenant is for Entra"),
    (
        {
            "identities": [entra_identity()],
            "issuers": [ENTRA],
            "routes": [{"path": "/a", "login": {"identity": "us"}}],
        },
        "without scopes",
    ),
    ({"routes": [{"path": "/a", "anonymous": True, "login": LOGIN}]}, "contradict"),
    ({"routes": [{"path": "/a", "login": LOGIN | {"scopes": ["a b"]}}]}, "not one scope"),
    ({"routes": [{"path": "/a", "login": LOGIN | {"parameters": {"state": "x"}}}]}, "not yours"),
    ({"routes": [{"path": "/a"}], "sessions": {}}, "nobody signs in"),
    ({"sessions": {"origin": "http://shop.example"}}, "plain http"),
    ({"sessions": {"origin": "https://shop.example/x"}}, "more than an origin"),
    ({"sessions": {"afterLogout": "//evil.example"}}, "not a path of ours"),
    ({"sessions": {"afterLogout": "https://evil.example"}}, "not a path of ours"),
    ({"sessions": {"idle": "2h", "absolute": "1h"}}, "never apply"),
    ({"sessions": {"redis": {"url": "rediss://r"}}}, "write keyFile"),
    (
        {"sessions": {"keyFile": "/k", "redis": {"url": "redis://r.example.com"}}},
        "in plain text",
    ),
]


@pytest.mark.parametrize(("different", "reason"), BAD)
def test_a_login_that_cannot_work_is_refused_with_a_reason(different, reason):
    with pytest.raises(ValidationError, match=reason):
        Attache.model_validate(configuration(**different))
