"""ENTRA.md §2, row by row, and what each row says to the caller and to the operator."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from agent.credentials.answers import Answer, Asked, assertion_expired
from agent.credentials.remedies import REMEDIES
from agent.credentials.verdict import judge
from agent.errors import Reason

ASKED = Asked("audit", "task-api", "client-1", "tenant-1", ("api://audit/.default",), True)
CLAIMS = '{ "access_token": {"polids": {"essential": true, "values": ["p1"]} } }'
MINIFIED = '{"access_token":{"polids":{"essential":true,"values":["p1"]}}}'


def entra(code: int, error: str = "invalid_grant", status: int = 400, **more: Any) -> Answer:
    return Answer(
        status,
        {"error": error, "error_codes": [code], "error_description": f"AADSTS{code}: x"} | more,
    )


ROWS: list[tuple[str, Answer, Reason, int]] = [
    ("blocked", entra(53003, suberror="message_only"), Reason.ACCESS_BLOCKED, 403),
    (
        "blocked before claims",
        entra(53003, suberror="message_only", claims=CLAIMS),
        Reason.ACCESS_BLOCKED,
        403,
    ),
    ("blocked, unsaid", entra(53003), Reason.ACCESS_BLOCKED, 403),
    ("not assigned", entra(50105), Reason.ACCESS_BLOCKED, 403),
    ("mfa", entra(50076, claims=CLAIMS), Reason.INTERACTION_REQUIRED, 401),
    (
        "mfa, other error",
        entra(50079, "interaction_required", claims=CLAIMS),
        Reason.INTERACTION_REQUIRED,
        401,
    ),
    ("mfa, no claims", entra(50076, "interaction_required"), Reason.INTERACTION_REQUIRED, 401),
    ("consent", entra(65001, suberror="consent_required"), Reason.CONSENT_REQUIRED, 403),
    ("consent, by number", entra(65001), Reason.CONSENT_REQUIRED, 403),
    *(
        (f"token {code}", entra(code), Reason.INVALID_TOKEN, 401)
        for code in (500133, 50013, 50173, 700082, 70043, 50057, 700081)
    ),
    *(
        (f"setup {code}", entra(code, error), Reason.INTERNAL_ERROR, 500)
        for code, error in (
            (500131, "invalid_grant"),
            (500011, "invalid_resource"),
            (70011, "invalid_scope"),
            (28000, "invalid_request"),
            (1002012, "invalid_scope"),
            (90009, "invalid_request"),
            (90002, "invalid_request"),
            (90002, "invalid_tenant"),
        )
    ),
    *(
        (f"ours {code}", entra(code, error, status), Reason.CREDENTIAL_ERROR, 503)
        for code, error, status in (
            (7000215, "invalid_client", 401),
            (7000222, "invalid_client", 401),
            (7000218, "invalid_client", 401),
            (700016, "unauthorized_client", 400),
            (70021, "invalid_request", 400),
            (700023, "invalid_client", 401),
            (700025, "invalid_client", 401),
            (700027, "invalid_client", 401),
            (700211, "invalid_client", 401),
            (700212, "invalid_client", 401),
            (700213, "invalid_request", 400),
            (700024, "invalid_client", 401),
            (700024, "invalid_grant", 400),
        )
    ),
    ("app-only", entra(7000114), Reason.USER_REQUIRED, 403),
    ("429", entra(0, "temporarily_unavailable", 429), Reason.RATE_LIMITED, 503),
    ("429 in plain text", Answer(429, None, 7), Reason.RATE_LIMITED, 503),
    ("request loop", entra(50196, "invalid_request"), Reason.RATE_LIMITED, 503),
    ("5xx", Answer(503, {"error": "x"}), Reason.ISSUER_UNAVAILABLE, 503),
    ("5xx in HTML", Answer(502, None), Reason.ISSUER_UNAVAILABLE, 503),
    ("time-out", Answer(0, failure="does not answer"), Reason.ISSUER_UNAVAILABLE, 503),
    ("not JSON", Answer(200, None), Reason.ISSUER_UNAVAILABLE, 503),
    ("200 with no token", Answer(200, {}), Reason.ISSUER_UNAVAILABLE, 503),
    ("redirect", Answer(302, {"access_token": "x"}), Reason.ISSUER_UNAVAILABLE, 503),
    ("busy", entra(90033, "temporarily_unavailable"), Reason.ISSUER_UNAVAILABLE, 503),
    ("unknown error", entra(1, "strange"), Reason.CREDENTIAL_ERROR, 503),
    ("no error at all", Answer(400, {}), Reason.CREDENTIAL_ERROR, 503),
    (
        "no proof",
        Answer(0, failure="it is gone.", ours=True),
        Reason.CREDENTIAL_ERROR,
        503,
    ),
]


@pytest.mark.parametrize(
    ("answer", "reason", "status"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_each_row_of_the_table(answer: Answer, reason: Reason, status: int) -> None:
    verdict = judge(answer, ASKED)
    assert (verdict.denial.reason, verdict.denial.status) == (reason, status)
    assert verdict.sentence.startswith("destination 'audit': ")
    assert "{" not in verdict.sentence


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_asking_for_ourselves_never_blames_the_callers_token(
    row: tuple[str, Answer, Reason, int],
) -> None:
    """A 401 would make the caller sign in again, for ever."""
    verdict = judge(row[1], replace(ASKED, for_user=False))
    assert verdict.denial.status != 401


@pytest.mark.parametrize("code", sorted(REMEDIES))
def test_each_pitfall_has_a_sentence_that_names_the_code_and_the_remedy(code: int) -> None:
    verdict = judge(entra(code), ASKED)
    assert str(code) in verdict.sentence
    assert verdict.sentence.count(". ") + verdict.sentence.endswith(".") >= 2


def test_an_expired_secret_reads_as_the_style_guide_wants() -> None:
    verdict = judge(entra(7000222, "invalid_client", 401), ASKED)
    assert verdict.sentence == (
        "destination 'audit': Entra refused our secret (7000222, expired). Rotate the secret of "
        "client 'client-1'; the file is reread within 5 s."
    )
    assert verdict.level == logging.ERROR


def test_the_claims_challenge_is_passed_on_minified() -> None:
    assert judge(entra(50076, claims=CLAIMS), ASKED).denial.claims == MINIFIED


@pytest.mark.parametrize("claims", ["not json", "[1]", "x" * 5000, 7, {"a": 1}, "[" * 3000])
def test_a_challenge_that_is_none_still_asks_the_user_to_sign_in(claims: object) -> None:
    denial = judge(entra(50076, claims=claims), ASKED).denial
    assert (denial.reason, denial.claims) == (Reason.INTERACTION_REQUIRED, None)


def test_consent_names_the_scopes_that_lack_it() -> None:
    denial = judge(entra(65001), ASKED).denial
    assert denial.required == ("api://audit/.default",)
    assert "api://audit/.default" in denial.detail


@pytest.mark.parametrize(("given", "wanted"), [(7, 7), (None, 5), (0, 5)])
def test_a_throttle_passes_retry_after_on(given: int | None, wanted: int) -> None:
    assert judge(Answer(429, None, given), ASKED).denial.retry_after == wanted


@pytest.mark.must(18, 45)
@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_neither_caller_nor_log_learns_what_the_server_wrote(
    row: tuple[str, Answer, Reason, int],
) -> None:
    body = {**(row[1].body or {}), "error_description": "CANARY", "access_token": "CANARY"}
    body |= {"trace_id": "CANARY\nforged line", "client_assertion": "CANARY"}
    answer = replace(row[1], body=body if row[1].body is not None else None)
    verdict = judge(answer, ASKED)
    assert "CANARY" not in repr(verdict) + repr(answer)
    for internal in ("client-1", "tenant-1", "task-api", "AADSTS", "secret"):
        assert internal not in verdict.denial.detail


@pytest.mark.parametrize(
    "body",
    [
        {"error": 7, "error_codes": "700024", "suberror": [], "claims": None},
        {"error": "x" * 100_000, "error_codes": [True, "1", None, 1.5]},
        {"error": "a\nb", "error_codes": list(range(100_000))},
    ],
)
def test_an_answer_of_strange_types_is_a_denial_too(body: dict[str, Any]) -> None:
    verdict = judge(Answer(400, body), ASKED)
    assert verdict.denial.reason in (Reason.CREDENTIAL_ERROR, Reason.INTERNAL_ERROR)
    assert len(verdict.sentence) < 1000
    assert "\n" not in verdict.sentence


def test_only_700024_is_worth_rereading_the_assertion() -> None:
    assert assertion_expired(entra(700024))
    assert not assertion_expired(entra(700027))
    assert not assertion_expired(Answer(200, None))
