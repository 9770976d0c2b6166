"""What an ID token and a logout token must say, and must not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.errors import Denial
from agent.identity.issuers.entry import Signed
from agent.identity.jose import Header
from agent.identity.sign_in import LOGOUT_EVENT, Ended, ended, half_hash, not_this_sign_in


def signed(claims: dict[str, Any], typ: str | None = None, alg: str = "RS256") -> Signed:
    kept = {name: value for name, value in claims.items() if value is not None}
    return cast("Signed", SimpleNamespace(header=Header(alg, "k1", typ), claims=kept))


ID = {"sub": "ann", "aud": "us", "iat": 1000, "exp": 2000, "nonce": "n"}
# OpenID Connect Core, A.3
ACCESS = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"

IDS = [
    ({}, None, True),
    ({}, "JWT", True),
    ({"aud": ["us"]}, None, True),
    ({"aud": ["us", "them"], "azp": "us"}, None, True),
    ({"azp": "us"}, None, True),
    ({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}, None, True),
    ({"nonce": "m"}, None, False),
    ({"nonce": None}, None, False),
    ({"nonce": 1}, None, False),
    ({"aud": ["us", "them"]}, None, False),
    ({"aud": ["us", "them"], "azp": "them"}, None, False),
    ({"azp": "them"}, None, False),
    ({"azp": None}, "at+jwt", False),
    ({}, "logout+jwt", False),
    ({"events": {}}, None, False),
    ({"sub": None}, None, False),
    ({"iat": None}, None, False),
    ({"at_hash": "x"}, None, False),
    ({"at_hash": 1}, None, False),
]


@pytest.mark.parametrize(("different", "typ", "good"), IDS)
def test_an_id_token_answers_one_sign_in_of_one_client(different, typ, good):
    found = not_this_sign_in(signed(ID | different, typ), "us", "n", ACCESS)
    assert (found is None) is good


def test_at_hash_is_half_of_the_hash_that_the_algorithm_says():
    sizes = {"RS256": 22, "ES256": 22, "PS384": 32, "ES512": 43, "EdDSA": 43}
    assert {name: len(half_hash(name, ACCESS)) for name in sizes} == sizes


OUT = {"sub": "ann", "sid": "s1", "jti": "j1", "iat": 1000, "events": {LOGOUT_EVENT: {}}}

OUTS = [
    ({}, "logout+jwt", True),
    ({}, None, True),
    ({"sid": None}, None, True),
    ({"sub": None}, None, True),
    ({"sub": None, "sid": None}, None, False),
    ({"sub": "", "sid": ""}, None, False),
    ({"sid": 7}, None, False),
    ({"sid": "x" * 2000}, None, False),
    ({"nonce": "n"}, None, False),
    ({"events": None}, None, False),
    ({"events": [LOGOUT_EVENT]}, None, False),
    ({"events": {LOGOUT_EVENT: None}}, None, False),
    ({"events": {LOGOUT_EVENT: True}}, None, False),
    ({"jti": None}, None, False),
    ({"jti": ""}, None, False),
    ({"iat": None}, None, False),
    ({"iat": 600}, None, False),
    ({}, "at+jwt", False),
]


@pytest.mark.parametrize(("different", "typ", "good"), OUTS)
def test_a_logout_token_says_that_somebody_signed_out(different, typ, good):
    found = ended(signed(OUT | different, typ), 1010.0)
    assert isinstance(found, Ended) is good
    assert isinstance(found, Denial) is not good
