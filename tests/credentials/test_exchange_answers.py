"""What a refused token exchange means, to the caller and to the operator (RFC 8693 §2.2.2)."""

from __future__ import annotations

import logging

import pytest

from agent.credentials.answers import Answer, Asked
from agent.credentials.verdict import judge
from agent.errors import Reason

ASKED = Asked(
    "billing",
    "keycloak",
    "task-api",
    "",
    ("s",),
    for_user=True,
    server="'https://sso.example/t'",
    target="billing",
    exchange=True,
)

# As Keycloak 26.4 answered when it was asked
KEYCLOAK: list[tuple[int, str, str, Reason, str]] = [
    (403, "access_denied", "Client is not within the token audience", Reason.INTERNAL_ERROR,
     "audience mapper"),
    (400, "invalid_request", "Standard token exchange is not enabled for the requested client",
     Reason.INTERNAL_ERROR, "Switch standard token exchange on"),
    (400, "invalid_client", "Audience not found", Reason.INTERNAL_ERROR,
     "does not know the audience 'billing'"),
    (400, "invalid_request", "Requested audience not available: billing", Reason.INTERNAL_ERROR,
     "does not issue tokens for 'billing'"),
    (400, "invalid_scope", "Invalid scopes: zzz", Reason.INTERNAL_ERROR, "scopes 's'"),
    (400, "invalid_request", "Parameter 'subject_token' supports access tokens only",
     Reason.INTERNAL_ERROR, "Correct subjectTokenType"),
    (400, "invalid_request", "requested_token_type unsupported", Reason.INTERNAL_ERROR,
     "Correct requestedTokenType"),
    (400, "invalid_request", "Invalid token", Reason.INVALID_TOKEN, "no longer accepts"),
    (401, "unauthorized_client", "Invalid client or Invalid client credentials",
     Reason.CREDENTIAL_ERROR, "refused our secret"),
]  # fmt: skip
OTHERS: list[tuple[int, str, str, Reason, str]] = [
    (400, "invalid_target", "", Reason.INTERNAL_ERROR, "Correct audience and resource"),
    (400, "invalid_grant", "", Reason.INVALID_TOKEN, "no longer accepts"),
    (401, "invalid_token", "", Reason.INVALID_TOKEN, "no longer accepts"),
    (400, "unsupported_grant_type", "", Reason.INTERNAL_ERROR, "Switch token exchange"),
    (400, "unauthorized_client", "this grant is not allowed", Reason.INTERNAL_ERROR, "that grant"),
    (403, "access_denied", "not this one", Reason.ACCESS_BLOCKED, "by policy"),
    (400, "invalid_request", "", Reason.INTERNAL_ERROR, "does not accept the exchange"),
    (401, "invalid_client", "", Reason.CREDENTIAL_ERROR, "refused our secret"),
    (400, "interaction_required", "", Reason.INTERACTION_REQUIRED, "asks the user to act"),
    (400, "consent_required", "", Reason.CONSENT_REQUIRED, "wants the user to consent"),
    (400, "temporarily_unavailable", "", Reason.ISSUER_UNAVAILABLE, "Tokens in hand serve"),
    (400, "made_up", "", Reason.CREDENTIAL_ERROR, "that we do not know"),
]


@pytest.mark.parametrize(("status", "error", "said", "wanted", "told"), KEYCLOAK + OTHERS)
def test_a_refusal_is_the_callers_or_the_operators_affair(
    status: int, error: str, said: str, wanted: Reason, told: str
) -> None:
    verdict = judge(Answer(status, {"error": error, "error_description": said}), ASKED)
    assert verdict.denial.reason is wanted
    assert told in verdict.sentence
    assert error in verdict.sentence or wanted is Reason.ISSUER_UNAVAILABLE
    assert verdict.sentence.startswith("destination 'billing': 'https://sso.example/t' ")
    if said:
        assert said not in verdict.sentence + repr(verdict.denial)


@pytest.mark.parametrize(("status", "error", "said", "wanted", "told"), KEYCLOAK + OTHERS)
def test_for_ourselves_no_caller_is_blamed(
    status: int, error: str, said: str, wanted: Reason, told: str
) -> None:
    ours = Asked("b", "k", "c", "", ("s",), for_user=False, exchange=True)
    verdict = judge(Answer(status, {"error": error, "error_description": said}), ours)
    assert verdict.denial.status >= 500 or verdict.denial.reason is Reason.CONSENT_REQUIRED
    assert verdict.level >= logging.WARNING


@pytest.mark.must(45)
@pytest.mark.parametrize("said", ["{client}{proof}", ["x"], 7, None, "x" * 100_000])
def test_a_description_of_any_shape_is_not_repeated(said: object) -> None:
    verdict = judge(Answer(400, {"error": "invalid_request", "error_description": said}), ASKED)
    assert verdict.denial.reason is Reason.INTERNAL_ERROR
    assert len(verdict.sentence) < 400
