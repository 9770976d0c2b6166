"""ENTRA.md §2 end to end: what the application's caller sees of Entra's every answer.

Caller → Envoy → application → Envoy → destination, with the agent asked twice and a provider that
refuses as Entra does. The application relays status, challenge and body, and knows nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from demo.idp import Fault, edits
from tests.e2e.behalf_world import TASK_API, World, claims_of
from tests.e2e.contract_outbound_tools import Got, ask, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:response_mode"),  # msal's advice to those who sign in
]

ED = "ed@contoso.example"
POLICY = {"access_token": {"polids": {"essential": True, "values": ["p1"]}}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("behalf"))
    yield made
    made.stop()


@pytest.fixture
def world(whole: World) -> Iterator[World]:
    whole.back_to_normal()
    yield whole
    whole.back_to_normal()


@pytest.fixture
def token(world: World) -> str:
    """A token of Ed's that no test before has used: nothing is in hand for it."""
    return world.token(ED)


def refused(code: int, **more: Any) -> Fault:
    return Fault("aad_error", "token", grant="jwt-bearer", code=code, **more)


# (the row's words, the fault, status, reason, what the log says to do)
TABLE: list[tuple[str, Fault, int, str, str]] = [
    ("blocked", refused(53003, suberror="message_only"), 403, "access_blocked", "sign-in log"),
    (
        "blocked, with claims",
        refused(53003, suberror="message_only", claims=POLICY),
        403,
        "access_blocked",
        "sign-in log",
    ),
    ("second factor", refused(50076, claims=POLICY), 401, "interaction_required", "must relay"),
    ("enrolment", refused(50079, claims=POLICY), 401, "interaction_required", "must relay"),
    ("consent", refused(65001, suberror="consent_required"), 403, "consent_required", "Grant it"),
    ("not assigned", refused(50105), 403, "access_blocked", "Assign the user"),
    ("expired", refused(500133), 401, "invalid_token", "this machine's clock"),
    ("bad signature", refused(50013), 401, "invalid_token", "Its audience must be client"),
    ("revoked", refused(50173), 401, "invalid_token", "signs in again"),
    ("too old", refused(700082), 401, "invalid_token", "signs in again"),
    ("sign-in frequency", refused(70043), 401, "invalid_token", "signs in again"),
    ("audience", refused(500131), 500, "internal_error", "issuers[].audiences"),
    ("resource", refused(500011), 500, "internal_error", "Correct the scope"),
    ("scopes", refused(70011), 500, "internal_error", "/.default"),
    ("two resources", refused(28000), 500, "internal_error", "Split the scopes"),
    ("not .default", refused(1002012), 500, "internal_error", "Correct the scopes"),
    ("itself", refused(90009), 500, "internal_error", "by its GUID"),
    ("wrong secret", refused(7000215), 503, "credential_error", "Write the secret's value"),
    ("old secret", refused(7000222), 503, "credential_error", "Rotate the secret"),
    ("unknown client", refused(700016), 503, "credential_error", "correct clientId"),
    ("certificate", refused(700027), 503, "credential_error", "Upload the certificate"),
    ("federated issuer", refused(700211), 503, "credential_error", "the cluster's issuer"),
    ("federated audience", refused(700212), 503, "credential_error", "AzureADTokenExchange"),
    ("federated subject", refused(700213), 503, "credential_error", "this service account"),
    ("old assertion", refused(700024), 503, "credential_error", "is renewed"),
    ("app-only", refused(7000114), 403, "user_required", "clientCredentials"),
    ("request loop", refused(50196), 503, "rate_limited", "without a pause"),
    ("429", Fault("throttle", "token", retry_after=9), 503, "rate_limited", "in 9 s"),
    ("5xx", Fault("html_error", "token"), 503, "issuer_unavailable", "status page"),
    ("5xx in JSON", Fault("json_error", "token"), 503, "issuer_unavailable", "status page"),
    ("reset", Fault("reset", "token"), 503, "issuer_unavailable", "status page"),
    ("not JSON", Fault("html", "token"), 503, "issuer_unavailable", "status page"),
    ("half an answer", Fault("truncated", "token"), 503, "issuer_unavailable", "status page"),
]


@pytest.mark.must(18)
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_each_answer_of_entra_reaches_the_caller_and_the_operator(
    world: World, row: tuple[str, Fault, int, str, str]
) -> None:
    _, fault, status, reason, remedy = row
    token = world.token(ED)
    world.idp.fault(fault)
    got = world.use(token, "tried")
    assert got.denial == (status, reason)
    challenge = got.headers.get("www-authenticate", "")
    if reason == "interaction_required":
        assert claims_of(got) == POLICY
        assert 'error="insufficient_claims"' in challenge
        assert f'client_id="{TASK_API}"' in challenge
        assert 'authorization_uri="https://' in challenge
    elif reason == "invalid_token":
        assert 'error="invalid_token"' in challenge
        assert "claims=" not in challenge
    elif reason != "user_required":  # RFC 6750 §3: a token that does not open this is challenged
        assert not challenge
    if reason == "consent_required":
        assert got.body["required"] == ["api://notification/Notify.Send"]
    if reason in ("rate_limited", "issuer_unavailable"):
        assert 1 <= int(got.headers["retry-after"]) <= 9
    until(lambda: remedy in world.pod.logged(), f"'{remedy}' in the log")
    assert token not in world.pod.logged()


def test_conditional_access_is_met_by_msal_and_the_call_then_passes(
    world: World, token: str
) -> None:
    world.idp.change(edits.set_policy, resource="notification", demand="mfa")
    got = world.use(token, "behalf")
    assert got.denial == (401, "interaction_required")
    stepped_up = world.token(ED, claims_of(got))
    assert world.use(stepped_up, "behalf").by == "api"
    assert world.use(token, "behalf").denial[0] == 401  # the session of before stays as weak


def test_a_block_and_missing_consent_send_nobody_to_sign_in(world: World) -> None:
    world.idp.change(edits.set_policy, resource="notification", demand="block")
    got = world.use(world.token(ED), "behalf")
    assert got.denial == (403, "access_blocked")
    assert "www-authenticate" not in got.headers
    world.back_to_normal()
    world.idp.change(edits.revoke_consent, client="task-api", resource="notification")
    got = world.use(world.token(ED), "behalf")
    assert got.denial == (403, "consent_required")
    assert got.body["required"] == ["api://notification/.default"]
    assert "www-authenticate" not in got.headers


@pytest.mark.must(27, 38)
def test_a_refusal_is_remembered_for_its_user_and_briefly(world: World) -> None:
    ed, ada = world.token(ED), world.token("ada@contoso.example")
    asked = world.idp.counters.total("token", grant="jwt-bearer")
    world.idp.fault(Fault("aad_error", "token", grant="jwt-bearer", code=500133, count=1))
    refusals = [world.use(ed, "behalf").denial for _ in range(3)]
    assert refusals == [(401, "invalid_token")] * 3
    assert world.idp.counters.total("token", grant="jwt-bearer") == asked + 1
    assert world.use(ada, "behalf").by == "api"  # the refusal is not hers
    until(lambda: world.use(ed, "behalf").by == "api", "Ed is asked for again, soon")


@pytest.mark.must(27)
def test_what_a_destination_demands_goes_to_entra_and_from_there_to_the_caller(
    world: World, token: str
) -> None:
    """The destination's own challenge, relayed by `x-attache-claims`, ends in MSAL's hands."""
    got = world.use(token, "demanding")
    assert got.denial == (401, "interaction_required")
    assert claims_of(got)["access_token"]["acrs"]["value"] == "c1"
    stepped_up = world.token(ED, claims_of(got))
    asked = world.idp.counters.total("token", grant="jwt-bearer")
    answers = [world.use(stepped_up, "demanding") for _ in range(3)]
    assert [got.by for got in answers] == ["demanding"] * 3
    # one exchange without the claims and one with them: each has its place in the cache
    assert world.idp.counters.total("token", grant="jwt-bearer") == asked + 2
    assert "c1" in world.demanding.tokens[-1]["acrs"]
    assert "x-attache-claims" not in str(world.demanding.seen)
    # whoever did not ask for them gets the token without
    assert world.use(stepped_up, "behalf").by == "api"


def test_a_demand_that_is_configured_is_asked_for_at_once(world: World, token: str) -> None:
    got = world.use(token, "standing")
    assert got.denial == (401, "interaction_required")
    stepped_up = world.token(ED, claims_of(got))
    before = len(world.demanding.tokens)
    assert world.use(stepped_up, "standing").by == "demanding"
    assert len(world.demanding.tokens) == before + 1  # it never saw a token that is too weak


@pytest.mark.parametrize("written", ["nonsense", "e30=", "[1]", "{" * 3000])
def test_a_challenge_that_is_none_is_a_400_and_nothing_is_sent(world: World, written: str) -> None:
    before = world.idp.counters.total("token")
    got: Got = world.pod.call("own.shop", {"x-attache-claims": written})
    assert (got.status, world.idp.counters.total("token")) == (400, before)


def test_a_callers_own_x_attache_claims_never_reaches_the_application(
    world: World, token: str
) -> None:
    """Else a stranger could choose what is asked of Entra."""
    headers = {"authorization": f"Bearer {token}", "X-Attache-Claims": "eyJhIjp7fX0="}
    assert ask(world.pod.inbound, "/api/behalf", "task-api.shop", headers).by == "api"
    assert "x-attache-claims" not in dict(world.application.seen[-1])
