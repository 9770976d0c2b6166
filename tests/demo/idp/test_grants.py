"""Each grant answers as Entra does, and refuses with Entra's number."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from demo.idp import IdentityProvider, edits, jose
from demo.idp.caller import OBO, Caller

CONTOSO = "11111111-1111-4111-8111-111111111111"
NORTHWIND = "22222222-2222-4222-8222-222222222222"
TASK_API = "aaaaaaaa-0000-4000-8000-000000000001"
SIGN_IN = "aaaaaaaa-0000-4000-8000-000000000006"
UNKNOWN = "aaaaaaaa-0000-4000-8000-00000000ffff"
TASKS = "api://task-api/access_as_user"
NOTIFY = "api://notification/.default"
ACRS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


def claims(token: str) -> dict[str, Any]:
    jws = jose.parse(token)
    assert jws
    return jws.claims


def refused(answer: requests.Response, code: int, error: str, status: int = 400) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (body.get("error_codes"), body["error"]) == ([code], error), body
    assert answer.status_code == status
    return body


def test_an_error_has_entras_body(caller: Caller) -> None:
    given = "5f0c3cd6-4a6b-4f5b-9bb4-0d33c0f0d0a1"
    answer = caller.token(
        CONTOSO, {"grant_type": "client_credentials"}, headers={"client-request-id": given}
    )
    body = refused(answer, 900144, "invalid_request")
    assert re.fullmatch(
        r"AADSTS900144: The request body must contain the following parameter: 'scope'\. "
        r"Trace ID: [0-9a-f-]{36} Correlation ID: [0-9a-f-]{36} "
        r"Timestamp: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ",
        body["error_description"],
    )
    assert set(body) == {
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    }
    assert body["correlation_id"] == given
    assert answer.headers["Cache-Control"] == "no-store, no-cache"


Ask = Callable[[Caller], requests.Response]


def _own(scope: str = "api://audit/.default", tenant: str = CONTOSO, **form: str) -> Ask:
    return lambda caller: caller.own_token("task-api", scope, tenant, **form)


def _user(username: str = "alice@contoso.example", scope: str = TASKS, **form: str) -> Ask:
    return lambda caller: caller.sign_in(username, scope, **form)


@pytest.mark.parametrize(
    ("ask", "code", "error", "status"),
    [
        (_own(client_secret="wrong"), 7000215, "invalid_client", 401),
        (_own(client_secret=""), 7000218, "invalid_client", 401),
        (_own(client_id=UNKNOWN), 700016, "unauthorized_client", 400),
        (_own(client_id="task-api"), 700016, "unauthorized_client", 400),
        (_own(scope="api://audit/Audit.Read"), 1002012, "invalid_scope", 400),
        (_own(scope="api://audit"), 1002012, "invalid_scope", 400),
        (_own(scope="api://nobody/.default"), 500011, "invalid_resource", 400),
        (_own(tenant="nowhere.example"), 90002, "invalid_request", 400),
        (_own(tenant="common"), 50059, "invalid_request", 400),
        (_own(grant_type="device_code"), 70003, "unsupported_grant_type", 400),
        (_own(claims="{"), 9002313, "invalid_request", 400),
        (_user(password="wrong"), 50126, "invalid_grant", 400),
        (_user(scope="api://task-api/nothing"), 70011, "invalid_scope", 400),
        (_user(scope=f"{TASKS} api://audit/Audit.Read"), 28000, "invalid_request", 400),
        (_user(scope="api://notification/Notification.Send"), 65001, "invalid_grant", 400),
        (_user(client_secret="any"), 700025, "invalid_client", 401),
        (_user("ed@contoso.example", claims=ACRS), 50076, "invalid_grant", 400),
    ],
)  # fmt: skip
def test_a_request_is_refused_with_entras_number(
    caller: Caller, ask: Ask, code: int, error: str, status: int
) -> None:
    refused(ask(caller), code, error, status)


def test_an_unknown_user_is_50034(caller: Caller) -> None:
    form = {
        "grant_type": "password",
        "client_id": SIGN_IN,
        "username": "nobody@contoso.example",
        "password": "any",
        "scope": TASKS,
    }
    refused(caller.token(CONTOSO, form), 50034, "invalid_grant")


def test_an_expired_secret_is_7000222(idp: IdentityProvider, caller: Caller) -> None:
    idp.change(edits.expire_secrets, client="task-api")
    answer = caller.own_token("task-api", "api://audit/.default", CONTOSO)
    refused(answer, 7000222, "invalid_client", 401)


def test_a_secret_may_come_in_http_basic(caller: Caller) -> None:
    form = {"grant_type": "client_credentials", "scope": "api://audit/.default"}
    good = caller.token(CONTOSO, form, auth=(TASK_API, "task-api-secret"))
    assert good.status_code == 200
    refused(caller.token(CONTOSO, form, auth=(TASK_API, "no")), 7000215, "invalid_client", 401)


def test_a_service_principal_that_is_not_there_is_500011(
    idp: IdentityProvider, caller: Caller
) -> None:
    idp.change(edits.remove_service_principal, client="audit", tenant="northwind.example")
    answer = caller.own_token("task-api", "api://audit/.default", NORTHWIND)
    refused(answer, 500011, "invalid_resource")


def test_the_v1_endpoint_takes_a_resource(idp: IdentityProvider, caller: Caller) -> None:
    answer = caller.session.post(
        f"{idp.base_url}/{CONTOSO}/oauth2/token",
        data={
            "grant_type": "client_credentials",
            "client_id": TASK_API,
            "client_secret": "task-api-secret",
            "resource": "api://audit",
        },
    )
    assert claims(answer.json()["access_token"])["aud"] == "api://audit"


# On-Behalf-Of


@pytest.fixture
def assertion(caller: Caller) -> str:
    return caller.user_token("alice@contoso.example", TASKS)


def test_on_behalf_of_answers_scope_id_token_client_info_and_refresh_token(
    caller: Caller, assertion: str
) -> None:
    scope = f"openid profile offline_access {NOTIFY}"
    body = caller.on_behalf_of("task-api", assertion, scope).json()
    assert body["scope"] == "api://notification/Notification.Send api://notification/.default"
    info = json.loads(jose.unb64url(body["client_info"]))
    assert info == {"uid": claims(assertion)["oid"], "utid": CONTOSO}
    assert claims(body["id_token"])["aud"] == TASK_API
    assert body["refresh_token"]
    assert claims(body["access_token"])["scp"] == "Notification.Send"
    assert "refresh_token" not in caller.on_behalf_of("task-api", assertion, NOTIFY).json()


def _minted(idp: IdentityProvider, assertion: str, **changes: Any) -> str:
    return idp.mint(claims(assertion) | changes)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": "aaaaaaaa-0000-4000-8000-000000000002"}, 500131),
        ({"exp": 1}, 500133),
        ({"iss": "https://elsewhere.example/"}, 50013),
        ({"tid": NORTHWIND}, 50013),
        ({"idtyp": "app"}, 7000114),
        ({"oid": "bbbbbbbb-0000-4000-8000-0000000000ff"}, 50034),
    ],
)
def test_an_assertion_is_refused(
    idp: IdentityProvider, caller: Caller, assertion: str, changes: dict[str, Any], code: int
) -> None:
    bad = _minted(idp, assertion, **changes)
    refused(caller.on_behalf_of("task-api", bad, NOTIFY, CONTOSO), code, "invalid_grant")


def test_an_assertion_may_name_us_by_app_id_uri(
    idp: IdentityProvider, caller: Caller, assertion: str
) -> None:
    named = _minted(idp, assertion, aud="api://task-api/")
    assert caller.on_behalf_of("task-api", named, NOTIFY).status_code == 200


def test_a_forged_assertion_is_50013(caller: Caller, assertion: str) -> None:
    head, body, signature = assertion.split(".")
    tampered = jose.b64url(json.dumps(claims(assertion) | {"oid": "x"}).encode())
    for forged in (f"{head}.{tampered}.{signature}", f"{head}.{body}.{signature[::-1]}"):
        answer = caller.on_behalf_of("task-api", forged, NOTIFY, CONTOSO)
        refused(answer, 50013, "invalid_grant")
    unknown = jose.b64url(json.dumps({"alg": "RS256", "kid": "other"}).encode())
    answer = caller.on_behalf_of("task-api", f"{unknown}.{body}.{signature}", NOTIFY, CONTOSO)
    refused(answer, 50013, "invalid_grant")


def test_a_malformed_assertion_is_50027(caller: Caller) -> None:
    answer = caller.on_behalf_of("task-api", "no.token", NOTIFY, CONTOSO)
    refused(answer, 50027, "invalid_request")


def test_another_tenants_assertion_is_50013(caller: Caller, assertion: str) -> None:
    answer = caller.on_behalf_of("task-api", assertion, NOTIFY, NORTHWIND)
    refused(answer, 50013, "invalid_grant")


def test_an_app_only_assertion_is_7000114(idp: IdentityProvider, caller: Caller) -> None:
    own = caller.app_token("gateway", "api://task-api/.default", CONTOSO)
    refused(caller.on_behalf_of("task-api", own, NOTIFY), 7000114, "invalid_grant")


def test_missing_consent_is_65001(idp: IdentityProvider, caller: Caller, assertion: str) -> None:
    gone = {"client": "task-api", "resource": "notification", "tenant": CONTOSO}
    assert caller.control("POST", "directory/revoke_consent", json=gone).status_code == 200
    body = refused(caller.on_behalf_of("task-api", assertion, NOTIFY), 65001, "invalid_grant")
    assert body["suberror"] == "consent_required"


def test_a_demand_for_mfa_is_50076_until_the_user_stepped_up(
    idp: IdentityProvider, caller: Caller, assertion: str
) -> None:
    idp.change(edits.set_policy, resource="notification", demand="mfa")
    body = refused(caller.on_behalf_of("task-api", assertion, NOTIFY), 50076, "invalid_grant")
    assert body["suberror"] == "basic_action"
    assert json.loads(body["claims"])["access_token"]["polids"]["essential"] is True
    stepped_up = caller.user_token("alice@contoso.example", TASKS, claims=body["claims"])
    assert caller.on_behalf_of("task-api", stepped_up, NOTIFY).status_code == 200


def test_a_blocked_resource_is_53003_and_message_only(
    idp: IdentityProvider, caller: Caller, assertion: str
) -> None:
    idp.change(edits.set_policy, resource="notification", demand="block")
    body = refused(caller.on_behalf_of("task-api", assertion, NOTIFY), 53003, "invalid_grant")
    assert body["suberror"] == "message_only"


def test_an_authentication_context_that_was_asked_for_is_in_the_token(caller: Caller) -> None:
    weak = caller.user_token("alice@contoso.example", TASKS)
    assert "acrs" not in claims(weak)
    body = refused(
        caller.on_behalf_of("task-api", weak, NOTIFY, claims=ACRS), 50076, "invalid_grant"
    )
    assert json.loads(body["claims"])["access_token"]["acrs"]["value"] == "c1"
    strong = caller.user_token("alice@contoso.example", TASKS, claims=ACRS)
    assert claims(strong)["acrs"] == ["c1"]
    answer = caller.on_behalf_of("task-api", strong, NOTIFY, claims=ACRS).json()
    assert claims(answer["access_token"])["acrs"] == ["c1"]


def test_requested_token_use_is_required(caller: Caller, assertion: str) -> None:
    form = {"grant_type": OBO, "assertion": assertion, "scope": NOTIFY}
    refused(caller.token(CONTOSO, form), 900144, "invalid_request")


# Refresh tokens


def _refresh(caller: Caller, handle: str) -> requests.Response:
    form = {"grant_type": "refresh_token", "client_id": SIGN_IN, "refresh_token": handle}
    return caller.token(CONTOSO, form)


def test_a_refresh_token_brings_the_next_one(caller: Caller) -> None:
    scope = f"{TASKS} openid offline_access"
    first = caller.sign_in("alice@contoso.example", scope).json()
    second = _refresh(caller, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert claims(second["access_token"])["sub"] == claims(first["access_token"])["sub"]
    assert _refresh(caller, second["refresh_token"]).status_code == 200
    refused(_refresh(caller, "1.unknown"), 70000, "invalid_grant")


def test_revoked_sessions_are_50173(caller: Caller) -> None:
    first = caller.sign_in("alice@contoso.example", f"{TASKS} offline_access").json()
    user = claims(first["access_token"])["oid"]
    caller.control("POST", "sessions/revoke", json={"user": user})
    refused(_refresh(caller, first["refresh_token"]), 50173, "invalid_grant")


def test_a_disabled_user_is_50057(idp: IdentityProvider, caller: Caller) -> None:
    idp.change(edits.enable_user, user="ed@contoso.example", tenant=CONTOSO, enabled=False)
    refused(caller.sign_in("ed@contoso.example", TASKS), 50057, "invalid_grant")


def test_a_user_signs_in_under_organizations(caller: Caller) -> None:
    form = {
        "grant_type": "password",
        "client_id": SIGN_IN,
        "username": "rita@northwind.example",
        "password": "rita-password",
        "scope": TASKS,
    }
    body = caller.token("organizations", form).json()
    assert claims(body["access_token"])["tid"] == NORTHWIND
    assert claims(body["access_token"])["exp"] > time.time()
