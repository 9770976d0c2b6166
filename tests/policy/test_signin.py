"""How strongly and how recently the caller signed in, and the challenge that asks for better."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.requirements import Requirement
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Principal
from agent.policy.requirement import Permitted, permit

Anna = Callable[..., Principal]
NOW = 10_000.0
OIDC = IssuerKind.OIDC


def ask(principal: Principal, **requirement: Any) -> Permitted | Denial:
    return permit(principal, Requirement.model_validate(requirement), NOW)


def denied(principal: Principal, **requirement: Any) -> Denial:
    answer = ask(principal, **requirement)
    assert isinstance(answer, Denial)
    return answer


CONTEXTS = [
    ("c1", {"c1"}, True),
    ("c1", {"c1", "c2"}, True),
    ("c1", {"c2"}, False),
    ("c1", set(), False),
    ("c1", {"C1"}, False),
    ("c1", {"c10"}, False),
]


@pytest.mark.must(16)
@pytest.mark.parametrize("kind", list(IssuerKind))
@pytest.mark.parametrize(("wanted", "held", "met"), CONTEXTS)
def test_an_authentication_context_must_be_held(
    anna: Anna, kind: IssuerKind, wanted: str, held: set[str], met: bool
) -> None:
    caller = anna(auth_contexts=frozenset(held), issuer_kind=kind)
    assert isinstance(ask(caller, authContext=wanted), Permitted) is met


@pytest.mark.must(16)
@pytest.mark.parametrize(
    ("wanted", "held", "met"),
    [
        (["gold"], "gold", True),
        (["gold", "silver"], "silver", True),
        (["gold"], "Gold", False),
        (["gold"], "gold silver", False),
        (["gold"], ["gold"], False),
        (["gold"], None, False),
        (["1"], 1, False),
    ],
)
def test_an_acr_must_be_one_of_those_listed(
    anna: Anna, wanted: list[str], held: Any, met: bool
) -> None:
    caller = anna(claims={"acr": held}, issuer_kind=OIDC)
    assert isinstance(ask(caller, acr=wanted), Permitted) is met


#        auth_time            iat          met (now is 10,000, maxAge 900)
AGES = [
    (NOW, NOW, True),
    (NOW - 900, NOW, True),
    (NOW - 899.5, None, True),
    (NOW - 901, NOW, False),  # no skew on this side
    (0, NOW, False),
    (None, NOW, False),
    (str(int(NOW)), NOW, False),
    (True, NOW, False),
    (float("nan"), NOW, False),
    (10**30, NOW, False),
    (NOW + 1, NOW, False),  # nobody signs in after the token was made
    (NOW + 1, None, False),
    (NOW + 30, NOW + 30, True),  # the issuer's clock is ahead; the verifier bounds by how much
    (NOW + 31, NOW + 30, False),
]


@pytest.mark.must(7, 15, 17)
@pytest.mark.parametrize(("auth_time", "iat", "met"), AGES)
def test_a_sign_in_is_recent_enough_or_it_is_not(
    anna: Anna, auth_time: Any, iat: Any, met: bool
) -> None:
    claims = {"auth_time": auth_time} | ({"iat": iat} if iat is not None else {})
    answer = ask(anna(claims=claims, issuer_kind=OIDC), maxAge="15m")
    assert isinstance(answer, Permitted) is met
    if not met:
        assert isinstance(answer, Denial)
        assert (answer.reason, answer.status) == (Reason.STEP_UP_REQUIRED, 401)
        assert dict(answer.challenge)["max_age"] == "900"


@pytest.mark.must(15)
def test_a_sign_in_ages_between_two_uses_of_one_token(anna: Anna) -> None:
    caller = anna(claims={"auth_time": NOW, "iat": NOW})
    rule = Requirement.model_validate({"maxAge": 900})
    assert isinstance(permit(caller, rule, NOW + 900), Permitted)
    assert isinstance(permit(caller, rule, NOW + 900.1), Denial)


@pytest.mark.parametrize("capable", ["cp1", ["cp1"], ["other", "cp1"], ("cp1",)])
def test_an_entra_client_that_can_step_up_is_challenged(anna: Anna, capable: object) -> None:
    denial = denied(anna(claims={"xms_cc": capable}), authContext="c1")
    assert (denial.status, denial.challenge) == (401, ())
    # ENTRA.md §2, to the letter
    assert denial.claims == '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


@pytest.mark.parametrize(
    "claims",
    [{}, *({"xms_cc": value} for value in ("", "cp", "cp12", "xcp1", [], ["cp12"], None, 1, {}))],
)
def test_an_entra_client_that_cannot_step_up_would_loop_and_gets_a_403(
    anna: Anna, claims: dict[str, Any]
) -> None:
    denial = denied(anna(claims=claims), authContext="c1")
    assert (denial.status, denial.claims, denial.challenge) == (403, None, ())


OLD, CP1 = {"auth_time": 1}, {"xms_cc": ["cp1"]}
#        the token's claims, the rule, status, asked for in the claims challenge, parameters
ENTRA: list[tuple[dict[str, Any], dict[str, Any], int, bool, dict[str, str]]] = [
    (OLD, {"maxAge": 900}, 401, False, {"max_age": "900"}),
    ({}, {"maxAge": 900}, 403, False, {}),  # a new sign-in would not bring an auth_time
    ({}, {"acr": ["gold"]}, 403, False, {}),  # Entra takes no acr_values
    (CP1 | OLD, {"maxAge": 900, "authContext": "c1"}, 401, True, {"max_age": "900"}),
    (OLD, {"maxAge": 900, "authContext": "c1"}, 403, False, {}),
    (CP1, {"maxAge": 900, "authContext": "c1"}, 403, False, {}),
    (CP1 | OLD, {"acr": ["gold"], "authContext": "c1"}, 403, False, {}),
    (CP1, {"acr": ["gold"], "authContext": "c1"}, 403, False, {}),
]


@pytest.mark.parametrize(("claims", "rule", "status", "context", "parameters"), ENTRA)
def test_entra_is_asked_only_for_what_it_can_give(
    anna: Anna,
    claims: dict[str, Any],
    rule: dict[str, Any],
    status: int,
    context: bool,
    parameters: dict[str, str],
) -> None:
    denial = denied(anna(claims=claims), **rule)
    assert (denial.reason, denial.status) == (Reason.STEP_UP_REQUIRED, status)
    assert (denial.claims is not None) is context
    found = dict(denial.challenge)
    if found and not context:
        assert found.pop("error") == "insufficient_user_authentication"
    assert found == parameters


@pytest.mark.parametrize("kind", [kind for kind in IssuerKind if kind is not IssuerKind.ENTRA])
def test_elsewhere_the_challenge_is_that_of_rfc_9470(anna: Anna, kind: IssuerKind) -> None:
    denial = denied(anna(issuer_kind=kind, claims={"xms_cc": ["cp1"]}), authContext="gold")
    assert (denial.status, denial.claims) == (401, None)
    assert dict(denial.challenge) == {
        "error": "insufficient_user_authentication",
        "acr_values": "gold",
    }


def test_elsewhere_an_acr_that_was_asked_for_as_a_context_is_the_answer(anna: Anna) -> None:
    caller = anna(issuer_kind=OIDC, claims={"acr": "gold"})
    assert isinstance(ask(caller, authContext="gold"), Permitted)
    assert isinstance(ask(anna(claims={"acr": "gold"}), authContext="gold"), Denial)  # Entra: acrs


def test_one_challenge_asks_for_all_that_is_missing(anna: Anna) -> None:
    rule = {"acr": ["gold", "silver"], "maxAge": "5m", "authContext": "c1"}
    denial = denied(anna(issuer_kind=OIDC), **rule)
    assert dict(denial.challenge) == {
        "error": "insufficient_user_authentication",
        "acr_values": "c1 gold silver",
        "max_age": "300",
    }
    assert denial.detail == (
        "this route needs authentication context 'c1', and a sign-in of level 'gold' or "
        "'silver', and a sign-in at most 300 seconds ago; the token does not say when it was"
    )
    assert (denial.required, denial.granted) == (("c1", "gold", "silver"), ())


@pytest.mark.parametrize(
    ("rule", "claims", "parameters"),
    [
        ({"acr": ["gold"]}, {}, {"acr_values": "gold"}),
        ({"maxAge": 60}, {}, {"max_age": "60"}),
        ({"acr": ["gold"], "maxAge": 60}, {"acr": "gold"}, {"max_age": "60"}),
        ({"acr": ["gold"], "maxAge": 60}, {"acr": "gold", "auth_time": NOW}, {}),
    ],
)
def test_a_missing_scope_and_a_weak_sign_in_are_told_at_once(
    anna: Anna, rule: dict[str, Any], claims: dict[str, Any], parameters: dict[str, str]
) -> None:
    denial = denied(anna(issuer_kind=OIDC, claims=claims), scopes=["write"], **rule)
    assert (denial.reason, denial.status) == (Reason.INSUFFICIENT_SCOPE, 403)
    assert dict(denial.challenge) == {"scope": "write"} | parameters


def test_who_lacks_a_role_is_not_sent_to_sign_in_again(anna: Anna) -> None:
    denial = denied(anna(issuer_kind=OIDC), roles=["Admin"], acr=["gold"], maxAge=60)
    assert (denial.reason, denial.challenge) == (Reason.INSUFFICIENT_ROLE, ())


@pytest.mark.parametrize("kind", list(IssuerKind))
def test_an_app_cannot_sign_in_and_is_not_asked_to(anna: Anna, kind: IssuerKind) -> None:
    app = anna(kind=Kind.APP, issuer_kind=kind, claims=CP1 | OLD)
    for rule in ({"authContext": "c1"}, {"acr": ["gold"]}, {"maxAge": 60}):
        denial = denied(app, **rule)
        assert (denial.status, denial.claims, denial.challenge) == (403, None, ())


def test_quotes_in_a_context_cannot_break_out_of_the_challenge(anna: Anna) -> None:
    denial = denied(anna(claims={"xms_cc": "cp1"}), authContext='c1"},"x":{')
    assert denial.claims is not None
    challenge = json.loads(denial.claims)
    assert challenge == {"access_token": {"acrs": {"essential": True, "value": 'c1"},"x":{'}}}


@pytest.mark.must(17)
@given(
    claims=st.dictionaries(
        st.sampled_from(["acr", "auth_time", "iat", "xms_cc"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    ),
    kind=st.sampled_from(IssuerKind),
    who=st.sampled_from(Kind),
    max_age=st.integers(1, 20_000),
)
def test_a_permit_means_a_sign_in_of_that_level_and_age(
    anna: Anna, claims: dict[str, Any], kind: IssuerKind, who: Kind, max_age: int
) -> None:
    caller = anna(claims=claims, issuer_kind=kind, kind=who)
    answer = ask(caller, acr=["gold"], maxAge=max_age)
    if isinstance(answer, Permitted):
        assert claims["acr"] == "gold"
        assert NOW - max_age <= claims["auth_time"]
    else:
        assert answer.status in (401, 403)
