"""What does a login ask, and which answers does it believe?"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from agent.config.stored_tokens import StoredToken
from agent.credentials.answers import Answer
from agent.credentials.stored.login import (
    Begun,
    Device,
    Mistake,
    Server,
    begin,
    code_form,
    device_of,
    landed,
    polled,
    record_of,
    server_of,
)
from agent.credentials.stored.loopback import Loopback
from agent.credentials.stored.record import Access, Record
from agent.credentials.stored.rules import Rules

ISSUER = "https://crm.example"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth?realm=a",
    "device_authorization_endpoint": f"{ISSUER}/device",
}
RULES = Rules("crm", ISSUER, "us", 60.0)
STATE, VERIFIER = "the-state", "v" * 43


def token(**more: Any) -> StoredToken:
    store = {"file": {"path": "/p", "keyFile": "/k"}}
    given = {"name": "crm", "identity": "crm", "store": store, "scopes": ["a", "b"], **more}
    return StoredToken.model_validate(given)


def begun(document: dict[str, Any] = DOCUMENT, **more: Any) -> Begun:
    server = server_of(token(**more), document)
    assert isinstance(server, Server)
    found = begin(token(**more), server, "us", "http://127.0.0.1:9/callback", STATE, VERIFIER)
    assert isinstance(found, Begun)
    return found


def test_the_page_is_asked_with_pkce_and_a_state() -> None:
    found = begun(resource="https://api.example", login={"parameters": {"prompt": "consent"}})
    asked = {name: values[0] for name, values in parse_qs(urlsplit(found.url).query).items()}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    assert asked == {
        "realm": "a",
        "prompt": "consent",
        "response_type": "code",
        "client_id": "us",
        "redirect_uri": "http://127.0.0.1:9/callback",
        "scope": "a b",
        "resource": "https://api.example",
        "state": STATE,
        "code_challenge": challenge.rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    form = code_form(token(), found, "c")
    assert (form["code_verifier"], "scope" in form) == (VERIFIER, False)
    assert VERIFIER not in found.url
    assert VERIFIER not in repr(found)


@pytest.mark.parametrize(
    ("said", "issuers", "found"),
    [
        ({"code": "c", "state": STATE}, False, "c"),
        ({"code": "c", "state": STATE, "iss": ISSUER}, False, "c"),
        ({"code": "c", "state": STATE, "iss": ISSUER}, True, "c"),
        ({"code": "c", "state": STATE}, True, Mistake),
        ({"code": "c", "state": STATE, "iss": "https://evil.example"}, False, Mistake),
        ({"error": "access_denied", "state": STATE}, False, Mistake),
        ({"state": STATE}, False, Mistake),
        ({"code": "c", "state": "guess"}, False, None),
        ({"code": "c"}, False, None),
        ({"error": "access_denied"}, False, None),
        ({}, False, None),
    ],
)
def test_the_table_of_answers(said: dict[str, str], issuers: bool, found: Any) -> None:
    document = DOCUMENT | {"authorization_response_iss_parameter_supported": issuers}
    server = server_of(token(), document)
    assert isinstance(server, Server)
    result = landed(urlencode(said), begun(), server)
    assert result == found if found in ("c", None) else isinstance(result, found)


def test_a_parameter_said_twice_is_no_answer() -> None:
    server = server_of(token(), DOCUMENT)
    assert isinstance(server, Server)
    assert landed(f"code=a&code=b&state={STATE}", begun(), server) is None


def test_what_the_provider_says_is_printed_without_its_control_characters() -> None:
    server = server_of(token(), DOCUMENT)
    assert isinstance(server, Server)
    said = {"error": "bad\x1b[2J", "error_description": "no\nway", "state": STATE}
    mistake = landed(urlencode(said), begun(), server)
    assert isinstance(mistake, Mistake)
    assert mistake.sentence == "the provider refused: bad [2J: no way"


def test_only_https_pages_are_opened() -> None:
    for name in ("authorization_endpoint", "device_authorization_endpoint"):
        assert isinstance(server_of(token(), DOCUMENT | {name: "http://far.example/"}), Mistake)
    unknown = server_of(token(), {})
    assert isinstance(unknown, Server)
    mistake = begin(token(), unknown, "us", "r", STATE, VERIFIER)
    assert isinstance(mistake, Mistake)
    assert "login.authorizeUrl" in mistake.sentence


DEVICE = {
    "device_code": "canary-device",
    "user_code": "AB-CD",
    "verification_uri": "https://crm.example/go",
}


def test_a_device_code_is_read_with_sensible_times() -> None:
    device = device_of(Answer(200, DEVICE | {"interval": 7, "expires_in": 60}))
    assert device == Device("canary-device", "AB-CD", "https://crm.example/go", "", 7.0, 60.0)
    assert "canary" not in repr(device)
    odd = device_of(Answer(200, DEVICE | {"interval": -1, "expires_in": "x"}))
    assert isinstance(odd, Device)
    assert (odd.interval, odd.lasts) == (5.0, 1800.0)
    for wrong in ({}, DEVICE | {"verification_uri": "http://far.example/"}):
        assert isinstance(device_of(Answer(200, wrong)), Mistake)


@pytest.mark.parametrize(
    ("answer", "interval"),
    [
        (Answer(400, {"error": "authorization_pending"}), 5.0),
        (Answer(400, {"error": "slow_down"}), 10.0),
        (Answer(0, failure="does not answer in time"), 10.0),
        (Answer(503), 10.0),
        (Answer(400, {"error": "expired_token"}), None),
        (Answer(400, {"error": "access_denied"}), None),
        (Answer(200, {"access_token": "a"}), None),
    ],
)
def test_the_device_asks_as_often_as_it_may(answer: Answer, interval: float | None) -> None:
    assert polled(answer, 5.0) == interval


def test_a_login_without_a_refresh_token_says_what_to_ask_for() -> None:
    found = record_of(Answer(200, {"access_token": "a"}), RULES, 5.0)
    assert isinstance(found, Mistake)
    assert "offline_access" in found.sentence
    refused = record_of(Answer(400, {"error": "invalid_grant"}), RULES, 5.0)
    assert refused == Mistake("the provider refused: invalid_grant")
    body = {"access_token": "a", "refresh_token": "r", "expires_in": 60}
    record = record_of(Answer(200, body), RULES, 5.0)
    assert isinstance(record, Record)
    assert (record.token, record.access, record.used_at) == ("r", Access("a", 5.0, 65.0), 5.0)


def test_the_listener_takes_one_answer_on_its_own_name_and_path() -> None:
    loopback = Loopback("127.0.0.1", 0, "/callback")
    try:
        base = loopback.redirect.removesuffix("/callback")
        get = requests.Session()
        get.trust_env = False
        assert get.get(f"{base}/callback?x=1", timeout=5).status_code == 400  # nobody waits yet
        assert isinstance(loopback.wait(lambda query: None, 0.01), Mistake)
        loopback._judge = lambda query: "code" if query == "good" else None
        assert get.get(f"{base}/favicon.ico", timeout=5).status_code == 404
        stranger = get.get(f"{base}/callback?good", headers={"Host": "evil.example"}, timeout=5)
        assert stranger.status_code == 404
        got = get.get(f"{base}/callback?good", timeout=5)
        assert (got.status_code, got.headers["cache-control"]) == (200, "no-store")
        assert loopback.wait(lambda query: None, 1.0) == "code"
        assert get.get(f"{base}/callback?good", timeout=5).status_code == 404  # once only
    finally:
        loopback.close()
