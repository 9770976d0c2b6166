"""Does the provider that judges us work at all? Each door that other tests go through, once."""

from __future__ import annotations

import pytest

from tests.e2e.peers.oidc_provider import OidcProvider

pytestmark = pytest.mark.e2e


def test_a_person_signs_in_and_refreshes_once(oidc_provider: OidcProvider) -> None:
    tokens = oidc_provider.sign_in("alice", offline=True)
    claims = oidc_provider.claims(tokens["access_token"], "https://api.example/us")
    assert (claims["sub"], claims["scope"]) == ("alice", "tasks.read")
    form = {"grant_type": "refresh_token", "client_id": "web"}
    once = {**form, "refresh_token": tokens["refresh_token"]}
    new = oidc_provider.post(oidc_provider.token_url, once)
    assert new.status_code == 200, new.text
    again = oidc_provider.post(oidc_provider.token_url, once)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    theirs = {**form, "refresh_token": new.json()["refresh_token"]}
    assert oidc_provider.post(oidc_provider.token_url, theirs).status_code == 400  # all revoked


def test_an_opaque_token_is_known_to_introspection_only(oidc_provider: OidcProvider) -> None:
    tokens = oidc_provider.sign_in("bob", resource="https://api.example/opaque")
    assert tokens["access_token"].count(".") != 2
    told = oidc_provider.introspect(tokens["access_token"])
    assert (told["active"], told["sub"], told["scope"]) == (True, "bob", "tasks.read")
    assert oidc_provider.introspect("made-up") == {"active": False}
