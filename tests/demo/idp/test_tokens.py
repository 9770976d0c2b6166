"""Tokens carry Entra's claims, in the version of their resource."""

from typing import Any

import pytest

from demo.idp import IdentityProvider, edits, jose
from demo.idp.caller import Caller
from demo.idp.directory import service_principal_id

CONTOSO = "11111111-1111-4111-8111-111111111111"
FOREIGN = "99999999-9999-4999-8999-999999999999"
ALICE = "bbbbbbbb-0000-4000-8000-000000000001"
TASK_API = "aaaaaaaa-0000-4000-8000-000000000001"
SIGN_IN = "aaaaaaaa-0000-4000-8000-000000000006"
TASKS = "api://task-api/access_as_user"


def claims(token: str) -> dict[str, Any]:
    jws = jose.parse(token)
    assert jws
    return jws.claims


def test_a_v2_user_token_is_for_the_client_id(idp: IdentityProvider, caller: Caller) -> None:
    token = claims(caller.user_token("alice@contoso.example", TASKS))
    expected = {
        "aud": TASK_API,
        "iss": f"{idp.base_url}/{CONTOSO}/v2.0",
        "tid": CONTOSO,
        "oid": ALICE,
        "ver": "2.0",
        "azp": SIGN_IN,
        "azpacr": "0",
        "scp": "access_as_user",
        "roles": ["Admin"],
        "name": "Alice Admin",
        "preferred_username": "alice@contoso.example",
    }
    assert {name: token.get(name) for name in expected} == expected
    assert token["exp"] - token["iat"] == 3600
    assert token["nbf"] == token["iat"]
    assert {"uti", "rh", "aio"} <= token.keys()
    assert not {"appid", "upn", "unique_name", "idtyp", "acct", "idp"} & token.keys()


def test_the_version_follows_the_resource_not_the_endpoint(caller: Caller) -> None:
    assertion = caller.user_token("alice@contoso.example", TASKS)
    answer = caller.on_behalf_of("task-api", assertion, "api://audit/.default").json()
    token = claims(answer["access_token"])
    expected = {
        "aud": "api://audit",
        "iss": f"https://sts.windows.net/{CONTOSO}/",
        "ver": "1.0",
        "appid": TASK_API,
        "appidacr": "1",
        "scp": "Audit.Read",
        "upn": "alice@contoso.example",
        "unique_name": "alice@contoso.example",
        "amr": ["pwd"],
    }
    assert {name: token.get(name) for name in expected} == expected
    assert not {"azp", "preferred_username"} & token.keys()


@pytest.mark.parametrize("asked", ["api://audit", "api://audit/", "{guid}"])
def test_a_v1_audience_is_what_was_asked_for(caller: Caller, asked: str) -> None:
    identifier = asked.format(guid="aaaaaaaa-0000-4000-8000-000000000003")
    token = claims(caller.app_token("task-api", f"{identifier}/.default", CONTOSO))
    assert token["aud"] == identifier


def test_the_subject_is_pairwise_and_the_object_id_is_not(caller: Caller) -> None:
    first = caller.user_token("alice@contoso.example", TASKS)
    scope = "openid api://notification/.default"
    answer = caller.on_behalf_of("task-api", first, scope).json()
    one, two = claims(first), claims(answer["access_token"])
    own = claims(answer["id_token"])
    assert one["oid"] == two["oid"] == own["oid"] == ALICE
    assert len({one["sub"], two["sub"]}) == 2
    assert own["sub"] == one["sub"], "an id token is for the client, as its access token was"
    again = claims(caller.user_token("alice@contoso.example", TASKS))
    assert again["sub"] == one["sub"]


def test_an_app_token_has_roles_and_no_scope(caller: Caller) -> None:
    answer = caller.own_token("task-api", "api://audit/.default", CONTOSO).json()
    assert set(answer) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    token = claims(answer["access_token"])
    principal = service_principal_id(CONTOSO, TASK_API)
    assert token["oid"] == token["sub"] == principal
    assert token["roles"] == ["AuditLog.Write"]
    assert "scp" not in token
    assert "idtyp" not in token


def test_an_app_token_without_assignments_has_no_roles(caller: Caller) -> None:
    token = claims(caller.app_token("gateway", "api://audit/.default", CONTOSO))
    assert "roles" not in token


def test_idtyp_is_an_optional_claim_of_the_resource(caller: Caller) -> None:
    token = claims(caller.app_token("task-api", "api://suite/.default", CONTOSO))
    assert token["idtyp"] == "app"


def test_a_guest_comes_from_another_identity_provider(
    idp: IdentityProvider, caller: Caller
) -> None:
    token = claims(caller.user_token("guest@foreign.example", TASKS))
    assert (token["tid"], token["acct"]) == (CONTOSO, 1)
    assert token["idp"] == f"https://sts.windows.net/{FOREIGN}/"
    assert token["email"] == "guest@foreign.example"


def test_a_foreign_tenants_token_is_genuine_and_its_own(caller: Caller) -> None:
    assert claims(caller.user_token("fay@foreign.example", TASKS))["tid"] == FOREIGN


def test_capabilities_are_echoed_as_xms_cc(caller: Caller) -> None:
    asked = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
    token = claims(caller.user_token("alice@contoso.example", TASKS, claims=asked))
    assert token["xms_cc"] == ["cp1"]


def test_a_role_taken_away_is_gone_from_the_next_token(
    idp: IdentityProvider, caller: Caller
) -> None:
    gone = {"principal": "task-api", "resource": "audit", "role": "AuditLog.Write"}
    idp.change(edits.remove_role, **gone, tenant="contoso.example")
    assert "roles" not in claims(caller.app_token("task-api", "api://audit/.default", CONTOSO))
    other = caller.app_token("task-api", "api://audit/.default", "northwind.example")
    assert claims(other)["roles"] == ["AuditLog.Write"]


def test_minted_tokens_carry_any_claims_under_a_published_key(
    idp: IdentityProvider, caller: Caller
) -> None:
    kid = idp.world.ring.published()[-1].kid
    minted = caller.control("POST", "mint", json={"claims": {"tid": CONTOSO}, "kid": kid}).json()
    jws = jose.parse(minted["token"])
    assert jws
    assert jws.claims == {"tid": CONTOSO}
    assert jose.proves(jws, idp.world.ring.find(kid).private.public_key())
