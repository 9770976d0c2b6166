"""What does a usual token of an issuer say, where a test says only what matters to it?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agent.config.issuers import B2C, Entra, Internal, Introspection, Issuer, Oidc
from agent.explain.standin import Claimed, issuer_of
from agent.identity.issuers.b2c import B2CIssuer
from agent.identity.issuers.document import TEMPLATE
from agent.identity.issuers.entra import EntraIssuer

LIFE = 3600  # seconds; internal tokens live for minutes
INTERNAL_LIFE = 300

# Whom a token is about unless the test says so: recognisable, and nobody.
TENANT = "00000000-0000-4000-8000-00000000000a"
PERSON = "00000000-0000-4000-8000-00000000000b"
CLIENT = "00000000-0000-4000-8000-00000000000c"
# A user's token of Entra has a scope; this one no rule asks for.
SCOPE = "attache.test"

# A token that only its server could explain; the test gives the answer.
OPAQUE = "attache-test-token"

_TIMES = ("exp", "nbf", "iat")
_DISTANCE = re.compile(r"([+-])(\d{1,9})(s|m|h|d)", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Claims = dict[str, Any]


def claims_of(issuer: Issuer, said: Mapping[str, Any], now: float) -> Claims:
    """The claims of a token of *issuer*: usual ones, with what a test *said* in their place.

    A claim said to be null is left out. `exp`, `nbf` and `iat` may be distances from *now*:
    "-5m", "+1h".
    """
    life = INTERNAL_LIFE if issuer.internal else LIFE
    usual = {"iat": int(now), "nbf": int(now), "exp": int(now) + life}
    usual |= _USUAL[type(issuer.rules)](issuer, said)
    whole = usual | {name: _time(name, value, now) for name, value in said.items()}
    return {name: value for name, value in whole.items() if value is not None}


def header_of(issuer: Issuer) -> dict[str, Any]:
    """What is special about the header of this issuer's tokens."""
    profile = issuer.oidc.profile if issuer.oidc else ""
    return {"typ": "at+jwt"} if issuer.internal or profile == "rfc9068" else {}


def _time(name: str, value: object, now: float) -> object:
    match = _DISTANCE.fullmatch(value) if name in _TIMES and isinstance(value, str) else None
    if match is None:
        return value
    distance = int(match[2]) * _UNITS[match[3]]
    return int(now) + (distance if match[1] == "+" else -distance)


def _entra(issuer: Issuer, said: Mapping[str, Any]) -> Claims:
    rules = issuer.entra
    assert rules is not None
    tid = said.get("tid") or next(iter(rules.tenants), TENANT)
    version = said.get("ver") or "2.0"
    documents = EntraIssuer(issuer.name, rules).documents
    of_version = [each for each in documents if each.version == version] or list(documents)
    document = next((each for each in of_version if each.tenant in ("", tid)), of_version[0])
    named = issuer_of(document, Claimed(claims={"tid": tid}))
    # A tenant that is not listed has the issuer that it would have if it were.
    iss = named.replace(document.tenant or TEMPLATE, str(tid))
    app = said.get("idtyp") == "app"
    client = "appid" if version == "1.0" else "azp"
    return {
        "iss": iss,
        "aud": rules.audiences[0],
        "tid": tid,
        "oid": PERSON,
        "sub": PERSON if app else "test-subject",
        "ver": version,
        client: CLIENT,
        **({} if app else {"scp": SCOPE, "name": "Test Person"}),
    }


def _b2c(issuer: Issuer, said: Mapping[str, Any]) -> Claims:
    rules = issuer.b2c
    assert rules is not None
    documents = B2CIssuer(issuer.name, rules).documents
    policy = str(said.get("tfp") or said.get("acr") or rules.policies[0])
    document = next((each for each in documents if each.policy == policy.lower()), documents[0])
    tid = said.get("tid") or TENANT
    return {
        "iss": issuer_of(document, Claimed(claims={"tid": tid})),
        "aud": rules.audiences[0],
        "tid": tid,
        "oid": PERSON,
        "sub": PERSON,
        "ver": "1.0",
        "azp": CLIENT,
        "scp": SCOPE,
        **({} if "acr" in said else {"tfp": policy}),
    }


def _oidc(issuer: Issuer, said: Mapping[str, Any]) -> Claims:
    rules = issuer.oidc
    assert rules is not None
    return {
        "iss": rules.issuer,
        "aud": rules.audiences[0],
        "sub": "test-subject",
        "client_id": "test-client",
        "jti": "test-token",
    }


def _introspected(issuer: Issuer, said: Mapping[str, Any]) -> Claims:
    rules = issuer.introspection
    assert rules is not None
    return {
        "active": True,
        **({"iss": rules.issuer} if rules.issuer else {}),
        "aud": rules.audiences[0],
        "sub": "test-subject",
        "client_id": "test-client",
    }


def _internal(issuer: Issuer, said: Mapping[str, Any]) -> Claims:
    rules = issuer.internal
    assert rules is not None
    client = said.get("client_id") or "test/caller"
    return {
        "iss": rules.issuers[0],
        "aud": rules.audience,
        "sub": "test-subject",
        "client_id": client,
        "act": {"sub": client},
        "txn": "test-transaction",
        "hops": 1,
        "jti": "test-token",
    }


_USUAL: Mapping[type, Callable[[Issuer, Mapping[str, Any]], Claims]] = {
    Entra: _entra,
    B2C: _b2c,
    Oidc: _oidc,
    Internal: _internal,
    Introspection: _introspected,
}
