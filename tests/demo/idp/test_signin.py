"""A browser signs in at the authorize endpoint, with PKCE, state and nonce."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msal
import pytest
import requests

from demo.idp import IdentityProvider, edits, jose
from demo.idp.caller import Caller

CONTOSO = "11111111-1111-4111-8111-111111111111"
GATEWAY = "aaaaaaaa-0000-4000-8000-000000000004"
SIGN_IN = "aaaaaaaa-0000-4000-8000-000000000006"
CALLBACK = "http://localhost:8400/"
TASKS = "api://task-api/access_as_user"


class Browser:
    """A person's browser: reads the form of the page, fills it in, and sends it."""

    def __init__(self, caller: Caller) -> None:
        self.session = caller.session

    def open(self, url: str) -> requests.Response:
        return self.session.get(url, allow_redirects=False)

    def submit(self, url: str, page: str, **typed: str) -> requests.Response:
        hidden = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page)
        form = {name: html.unescape(value) for name, value in hidden}
        return self.session.post(url, data=form | typed, allow_redirects=False)


def landed(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    return {
        name: values[0]
        for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()
    }


@pytest.fixture
def public(idp: IdentityProvider) -> Any:
    return msal.PublicClientApplication(
        SIGN_IN,
        authority=idp.authority(CONTOSO),
        instance_discovery=False,
        verify=str(idp.ca_file),
    )


ALICE = {"username": "alice@contoso.example", "password": "alice-password"}


def test_msals_code_flow_with_pkce_and_nonce(
    public: Any, caller: Caller, idp: IdentityProvider
) -> None:
    browser = Browser(caller)
    flow = public.initiate_auth_code_flow([TASKS], redirect_uri=CALLBACK)
    page = browser.open(flow["auth_uri"])
    assert "sign-in" in page.text
    back = landed(browser.submit(flow["auth_uri"], page.text, **ALICE))
    assert back["state"] == flow["state"]
    result = public.acquire_token_by_auth_code_flow(flow, back)
    assert result["id_token_claims"]["preferred_username"] == "alice@contoso.example"
    account = public.get_accounts()[0]
    again = public.acquire_token_silent([TASKS], account=account, force_refresh=True)
    assert again["token_source"] == "identity_provider"
    assert idp.counters.total("token", grant="refresh_token") == 1


def test_a_confidential_client_redeems_a_code_for_its_own_scope(
    idp: IdentityProvider, caller: Caller
) -> None:
    app = msal.ConfidentialClientApplication(
        GATEWAY,
        authority=idp.authority("organizations"),
        client_credential="gateway-secret",
        instance_discovery=False,
        verify=str(idp.ca_file),
    )
    browser = Browser(caller)
    callback = "http://localhost:15006/.attache/callback"
    flow = app.initiate_auth_code_flow(["api://gateway/access"], redirect_uri=callback)
    page = browser.open(flow["auth_uri"])
    back = landed(browser.submit(flow["auth_uri"], page.text, **ALICE))
    result = app.acquire_token_by_auth_code_flow(flow, back)
    jws = jose.parse(result["access_token"])
    assert jws
    assert (jws.claims["aud"], jws.claims["azpacr"]) == (GATEWAY, "1")


def authorize(idp: IdentityProvider, **changes: str) -> str:
    parameters = {
        "client_id": SIGN_IN,
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": TASKS,
        "state": "s",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    request = requests.Request(
        "GET", f"{idp.base_url}/{CONTOSO}/oauth2/v2.0/authorize", params=parameters | changes
    )
    return str(request.prepare().url)


# RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def redeem(caller: Caller, code: str, **changes: str) -> requests.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": SIGN_IN,
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return caller.token(CONTOSO, form | changes)


def code_of(idp: IdentityProvider, caller: Caller, **changes: str) -> str:
    browser, url = Browser(caller), authorize(idp, **changes)
    return landed(browser.submit(url, browser.open(url).text, **ALICE))["code"]


def test_a_code_works_once(idp: IdentityProvider, caller: Caller) -> None:
    code = code_of(idp, caller)
    assert redeem(caller, code).status_code == 200
    assert redeem(caller, code).json()["error_codes"] == [54005]


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"code_verifier": "wrong"}, 501481),
        ({"code_verifier": ""}, 501481),
        ({"redirect_uri": "http://localhost:8400"}, 500112),
        ({"code": "1.unknown"}, 70000),
    ],
)
def test_a_code_is_bound_to_its_request(
    idp: IdentityProvider, caller: Caller, changes: dict[str, str], number: int
) -> None:
    form = {"code": code_of(idp, caller)} | changes
    assert redeem(caller, form.pop("code"), **form).json()["error_codes"] == [number]


def test_a_public_client_needs_a_challenge(idp: IdentityProvider, caller: Caller) -> None:
    code = code_of(idp, caller, code_challenge="")
    assert redeem(caller, code).json()["error_codes"] == [9002325]


@pytest.mark.parametrize(
    "uri", ["http://localhost:8400", "http://localhost:8400/x", "", "http://attacker.example/"]
)
def test_nothing_is_redirected_to_an_address_that_is_not_registered(
    idp: IdentityProvider, caller: Caller, uri: str
) -> None:
    answer = Browser(caller).open(authorize(idp, redirect_uri=uri))
    assert answer.status_code == 400
    assert "AADSTS50011" in answer.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"scope": ""}, "invalid_request"),
    ],
)
def test_a_wrong_request_is_told_at_the_redirect_uri(
    idp: IdentityProvider, caller: Caller, changes: dict[str, str], error: str
) -> None:
    back = landed(Browser(caller).open(authorize(idp, **changes)))
    assert (back["error"], back["state"]) == (error, "s")


def test_a_wrong_password_shows_the_page_again(idp: IdentityProvider, caller: Caller) -> None:
    browser, url = Browser(caller), authorize(idp)
    answer = browser.submit(url, browser.open(url).text, **ALICE | {"password": "no"})
    assert answer.status_code == 200
    assert "AADSTS50126" in answer.text


def test_what_a_request_carries_is_escaped_on_the_page(
    idp: IdentityProvider, caller: Caller
) -> None:
    page = Browser(caller).open(authorize(idp, state='"><script>', login_hint="<b>")).text
    assert "<script>" not in page
    assert "<b>" not in page


def test_consent_is_asked_for_and_remembered(idp: IdentityProvider, caller: Caller) -> None:
    idp.change(edits.revoke_consent, client="sign-in", resource="task-api")
    browser, url = Browser(caller), authorize(idp)
    page = browser.submit(url, browser.open(url).text, **ALICE)
    assert page.status_code == 200
    assert 'name="consent"' in page.text
    back = landed(browser.submit(url, page.text, **ALICE, consent="accept"))
    assert redeem(caller, back["code"]).status_code == 200
    assert "code" in landed(browser.submit(url, browser.open(url).text, **ALICE))


def test_a_step_up_is_done_by_who_has_a_second_factor(
    idp: IdentityProvider, caller: Caller
) -> None:
    idp.change(edits.set_policy, resource="task-api", demand="mfa")
    assert code_of(idp, caller)
    browser, url = Browser(caller), authorize(idp)
    ed = {"username": "ed@contoso.example", "password": "ed-password"}
    back = landed(browser.submit(url, browser.open(url).text, **ed))
    assert "AADSTS50076" in back["error_description"]
