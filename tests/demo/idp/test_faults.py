"""Each fault does what its name says, where it is meant, and as often as it is meant."""

import threading

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from demo.idp import Fault, IdentityProvider
from demo.idp.caller import Caller
from demo.idp.faults import FaultBoard, Visit

CONTOSO = "11111111-1111-4111-8111-111111111111"
NORTHWIND = "22222222-2222-4222-8222-222222222222"
DISCOVERY = f"/{CONTOSO}/v2.0/.well-known/openid-configuration"


def own(caller: Caller, tenant: str = CONTOSO) -> requests.Response:
    return caller.own_token("task-api", "api://audit/.default", tenant)


def test_throttle_is_plain_text_with_retry_after(idp: IdentityProvider, caller: Caller) -> None:
    idp.fault(Fault("throttle", endpoint="token", retry_after=7, count=1))
    answer = own(caller)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert own(caller).status_code == 200


@pytest.mark.parametrize(
    ("kind", "media"), [("html_error", "text/html"), ("json_error", "application/json")]
)
def test_a_5xx(idp: IdentityProvider, caller: Caller, kind: str, media: str) -> None:
    caller.control("POST", "faults", json={"kind": kind, "endpoint": "token", "status": 502})
    answer = own(caller)
    assert answer.status_code == 502
    assert answer.headers["Content-Type"].startswith(media)


@pytest.mark.parametrize("kind", ["empty", "html", "truncated"])
def test_a_200_that_is_not_json(idp: IdentityProvider, caller: Caller, kind: str) -> None:
    caller.control("POST", "faults", json={"kind": kind})
    answer = caller.get(DISCOVERY)
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_reset_leaves_no_answer(idp: IdentityProvider, caller: Caller) -> None:
    idp.fault(Fault("reset", endpoint="keys"))
    with pytest.raises(requests.ConnectionError):
        caller.get("/common/discovery/v2.0/keys")
    assert caller.get(DISCOVERY).status_code == 200


def test_a_wrong_issuer(idp: IdentityProvider, caller: Caller) -> None:
    idp.fault(Fault("wrong_issuer", endpoint="discovery"))
    document = caller.get(DISCOVERY).json()
    assert document["issuer"] == "https://login.attacker.example/v2.0"
    assert document["token_endpoint"].startswith(idp.base_url)


def test_an_aad_error(idp: IdentityProvider, caller: Caller) -> None:
    idp.fault(Fault("aad_error", endpoint="token", code=50196))
    assert own(caller).json()["error_codes"] == [50196]


def test_latency_ends_in_the_right_answer(idp: IdentityProvider, caller: Caller) -> None:
    idp.fault(Fault("latency", endpoint="token", milliseconds=1))
    assert own(caller).status_code == 200


def test_a_hang_lasts_until_it_is_cleared(idp: IdentityProvider, caller: Caller) -> None:
    idp.fault(Fault("hang", endpoint="token", count=1))
    outcome: list[BaseException | requests.Response] = []

    def ask() -> None:
        try:
            outcome.append(own(caller))
        except requests.ConnectionError as error:
            outcome.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while idp.counters.total("token") == 0:
        asking.join(0.01)
    assert outcome == []
    idp.clear_faults()
    asking.join()
    assert isinstance(outcome[0], requests.ConnectionError)


def test_a_fault_is_bound_to_its_tenant_and_grant(idp: IdentityProvider, caller: Caller) -> None:
    idp.fault(Fault("throttle", endpoint="token", tenant=NORTHWIND, grant="client_credentials"))
    assert own(caller).status_code == 200
    assert own(caller, "northwind.example").status_code == 429
    signed_in = caller.sign_in("rita@northwind.example", "api://task-api/access_as_user")
    assert signed_in.status_code == 200
    assert len(caller.control("GET", "faults").json()) == 1
    assert caller.control("DELETE", "faults").status_code == 200
    assert own(caller, NORTHWIND).status_code == 200


@pytest.mark.parametrize(
    "wrong", [{"kind": "earthquake"}, {"kind": "reset", "endpoint": "moon"}, {}, {"colour": 1}]
)
def test_a_fault_that_does_not_exist_is_refused(caller: Caller, wrong: dict[str, object]) -> None:
    answer = caller.control("POST", "faults", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_control_surface_wants_its_key(idp: IdentityProvider, caller: Caller) -> None:
    for headers in ({}, {"X-Control-Key": "guess"}):
        answer = caller.get("/_control/counters", headers=headers)
        assert answer.status_code == 403
    assert idp.control_key_file.stat().st_mode & 0o077 == 0


def test_counters_tell_endpoints_tenants_and_grants_apart(
    idp: IdentityProvider, caller: Caller
) -> None:
    own(caller)
    own(caller)
    own(caller, "northwind.example")
    caller.get(DISCOVERY)
    assert idp.counters.total("token", grant="client_credentials") == 3
    assert idp.counters.total("token", tenant=CONTOSO) == 2
    rows = caller.control("GET", "counters").json()
    assert {"endpoint": "discovery", "tenant": CONTOSO, "grant": "", "count": 1} in rows
    caller.control("DELETE", "counters")
    assert idp.counters.total() == 0


@given(st.lists(st.integers(min_value=1, max_value=4), max_size=4))
def test_counted_faults_are_met_exactly_as_often_as_they_say(counts: list[int]) -> None:
    board, visit = FaultBoard(), Visit("token", CONTOSO)
    for count in counts:
        board.post(Fault("empty", count=count))
    met = sum(board.take(visit) is not None for _ in range(sum(counts) + 2))
    assert met == sum(counts)
    assert board.posted() == ()
