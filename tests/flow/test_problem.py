"""What does a refused caller read? A problem document, and a challenge that its client knows."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import STATUS, Denial, Reason
from agent.flow.problem import TITLES, Answer, Challenger, answer, grpc_answer

Write = Callable[[Denial, str, Challenger], Answer]
ENTRA = Challenger("https://login.microsoftonline.com/common/oauth2/v2.0/authorize", "client-1")


def challenge(denial: Denial, challenger: Challenger = ENTRA) -> str | None:
    return dict(answer(denial, "c-1", challenger).headers).get("www-authenticate")


@pytest.mark.must(18)
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_makes_a_problem_document(reason: Reason) -> None:
    made = answer(Denial(reason, "what was wrong"), "c-1", ENTRA)
    assert made.status == STATUS[reason] >= 400
    assert json.loads(made.body) == {
        "type": f"urn:attache:{reason.value}",
        "title": TITLES[reason],
        "status": made.status,
        "detail": "what was wrong",
        "correlationId": "c-1",
    }
    headers = dict(made.headers)
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-correlation-id"] == "c-1"


def test_titles_are_there_for_all_and_unlike() -> None:
    assert set(TITLES) == set(Reason)
    assert len(set(TITLES.values())) == len(TITLES)


def test_what_is_required_stands_beside_what_was_granted() -> None:
    denial = Denial(Reason.INSUFFICIENT_SCOPE, "no", required=("a", "b"), granted=())
    document = json.loads(answer(denial, "c-1", ENTRA).body)
    assert (document["required"], document["granted"]) == (["a", "b"], [])


def test_where_nothing_is_required_what_is_granted_stays_unsaid() -> None:
    document = json.loads(answer(Denial(Reason.NO_ROUTE, "no", granted=("a",)), "c", ENTRA).body)
    assert not {"required", "granted"} & set(document)


@pytest.mark.parametrize(("seconds", "value"), [(30, "30"), (0, "0"), (-5, "0")])
def test_retry_after_is_in_seconds_and_never_in_the_past(seconds: int, value: str) -> None:
    made = answer(Denial(Reason.RATE_LIMITED, "later", retry_after=seconds), "c-1", ENTRA)
    assert dict(made.headers)["retry-after"] == value


def test_without_a_time_there_is_no_retry_after() -> None:
    assert "retry-after" not in dict(answer(Denial(Reason.RATE_LIMITED, "x"), "c", ENTRA).headers)


CHALLENGES = [
    # RFC 6750 §3.1: no error code where the request carried no credential
    (Denial(Reason.MISSING_TOKEN, "none there"), 'Bearer realm=""'),
    (
        Denial(Reason.EXPIRED_TOKEN, "expired"),
        'Bearer realm="", error="invalid_token", error_description="expired"',
    ),
    (
        Denial(Reason.MALFORMED_TOKEN, "broken"),
        'Bearer realm="", error="invalid_token", error_description="broken"',
    ),
    (
        Denial(
            Reason.INSUFFICIENT_SCOPE,
            "needs a",
            challenge=(("scope", "a b"),),
        ),
        'Bearer realm="", error="insufficient_scope", error_description="needs a", scope="a b"',
    ),
    # RFC 9470 §3
    (
        Denial(
            Reason.STEP_UP_REQUIRED,
            "needs gold",
            challenge=(("error", "insufficient_user_authentication"), ("acr_values", "gold")),
        ),
        'Bearer realm="", error="insufficient_user_authentication", '
        'error_description="needs gold", acr_values="gold"',
    ),
    # ENTRA.md §2, to the letter
    (
        Denial(Reason.INTERACTION_REQUIRED, "again", claims='{"a":1}'),
        'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/v2.0/'
        'authorize", client_id="client-1", error="insufficient_claims", claims="eyJhIjoxfQ=="',
    ),
    # RFC 6750 §3: also a token that cannot open the resource is answered by a challenge
    *(
        (
            Denial(reason, "no"),
            'Bearer realm="", error="insufficient_scope", error_description="no"',
        )
        for reason in (
            Reason.INSUFFICIENT_ROLE,
            Reason.USER_REQUIRED,
            Reason.APP_REQUIRED,
            Reason.TENANT_NOT_ALLOWED,
        )
    ),
    # a claims challenge, and an age that is asked for beside it
    (
        Denial(Reason.STEP_UP_REQUIRED, "x", claims="{}", challenge=(("max_age", "60"),)),
        'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/v2.0/'
        'authorize", client_id="client-1", error="insufficient_claims", claims="e30=", '
        'max_age="60"',
    ),
    # nobody to be asked for another token
    (Denial(Reason.NO_ROUTE, "no"), None),
    (Denial(Reason.NO_SUBJECT, "no"), None),
    (Denial(Reason.CREDENTIAL_ERROR, "no"), None),
    (Denial(Reason.INTERNAL_ERROR, "no"), None),
    # a client that does not understand claims challenges, and a block by policy
    (Denial(Reason.STEP_UP_REQUIRED, "no", status=403), None),
    (Denial(Reason.ACCESS_BLOCKED, "no", claims='{"a":1}'), None),
]


@pytest.mark.must(18)
@pytest.mark.parametrize(("denial", "written"), CHALLENGES)
def test_the_challenge_has_the_form_that_clients_know(denial: Denial, written: str | None) -> None:
    assert challenge(denial) == written


@pytest.mark.must(18)
@pytest.mark.parametrize("reason", [reason for reason in Reason if STATUS[reason] == 401])
def test_every_401_has_a_challenge(reason: Reason) -> None:
    assert (challenge(Denial(reason, "no")) or "").startswith('Bearer realm=""')


INVALID, INSUFFICIENT = "invalid_token", "insufficient_scope"
ANSWERS: dict[Reason, tuple[int, str | None]] = {  # status; error of the challenge, None: no one
    Reason.MISSING_TOKEN: (401, ""),
    Reason.MALFORMED_TOKEN: (401, INVALID),
    Reason.INVALID_TOKEN: (401, INVALID),
    Reason.EXPIRED_TOKEN: (401, INVALID),
    Reason.UNTRUSTED_ISSUER: (401, INVALID),
    Reason.WRONG_AUDIENCE: (401, INVALID),
    Reason.UNKNOWN_KEY: (401, INVALID),
    Reason.REVOKED: (401, INVALID),
    Reason.STEP_UP_REQUIRED: (401, INVALID),  # its checks say which error and what is asked for
    Reason.INTERACTION_REQUIRED: (401, INVALID),
    Reason.TENANT_NOT_ALLOWED: (403, INSUFFICIENT),
    Reason.USER_REQUIRED: (403, INSUFFICIENT),
    Reason.APP_REQUIRED: (403, INSUFFICIENT),
    Reason.INSUFFICIENT_SCOPE: (403, INSUFFICIENT),
    Reason.INSUFFICIENT_ROLE: (403, INSUFFICIENT),
    Reason.BAD_PATH: (400, None),
    Reason.NO_ROUTE: (403, None),
    Reason.CALL_LOOP: (403, None),
    Reason.NO_SUBJECT: (403, None),
    Reason.AMBIGUOUS_SUBJECT: (403, None),
    Reason.CONSENT_REQUIRED: (403, None),
    Reason.ACCESS_BLOCKED: (403, None),
    Reason.DESTINATION_NOT_ALLOWED: (403, None),
    Reason.CREDENTIAL_ERROR: (503, None),
    Reason.ISSUER_UNAVAILABLE: (503, None),
    Reason.RATE_LIMITED: (503, None),
    Reason.DEADLINE: (503, None),
    Reason.INTERNAL_ERROR: (500, None),
    Reason.LOGIN_FAILED: (403, None),
    Reason.CROSS_SITE: (403, None),
}


@pytest.mark.must(18)
@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("write", [answer, grpc_answer])
def test_each_reason_has_its_status_and_its_challenge(reason: Reason, write: Write) -> None:
    status, error = ANSWERS[reason]
    made = write(Denial(reason, "no"), "c-1", ENTRA)
    header = dict(made.headers).get("www-authenticate")
    found = re.search(r'error="(\w+)"', header) if header is not None else None
    assert made.status == status
    assert (None if header is None else found[1] if found else "") == error


def test_without_an_entra_issuer_a_claims_challenge_names_no_place_to_go() -> None:
    denial = Denial(Reason.INTERACTION_REQUIRED, "again", claims="{}")
    assert challenge(denial, Challenger()) == (
        'Bearer realm="", error="insufficient_claims", claims="e30="'
    )


def test_a_grpc_client_reads_the_reason_the_sentence_and_the_id() -> None:
    made = grpc_answer(Denial(Reason.MISSING_TOKEN, "A bearer token is required."), "c-1", ENTRA)
    assert made.status == 401
    assert made.body == "missing_token: A bearer token is required. (correlation id c-1)"
    assert dict(made.headers) == {
        "x-attache-reason": "missing_token",
        "x-correlation-id": "c-1",
        "www-authenticate": 'Bearer realm=""',
    }


PARAMETER = r'[a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]*"'  # RFC 6750 §3: no quote, no backslash
TEXTS = st.text() | st.sampled_from(
    ['a"b', "a\\b", 'x", error="none', "a\r\nset-cookie: x", "\x00", "é", "a, Basic"]
)


@pytest.mark.must(18, 22)
@given(
    st.sampled_from(Reason),
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.none() | st.integers(),
    TEXTS,
    TEXTS,
)
def test_whatever_a_denial_says_its_headers_cannot_be_broken_out_of(
    reason: Reason,
    detail: str,
    scope: str,
    claims: str | None,
    retry: int | None,
    uri: str,
    client: str,
) -> None:
    denial = Denial(
        reason,
        detail,
        required=(scope,),
        claims=claims,
        challenge=(("scope", scope),),
        retry_after=retry,
    )
    made = answer(denial, "c-1", Challenger(uri, client))
    check(made)
    assert json.loads(made.body)["detail"] == detail
    header = dict(made.headers).get("www-authenticate")
    if header is None:
        return
    assert re.fullmatch(rf"Bearer {PARAMETER}(, {PARAMETER})*", header)
    if claims is not None:
        found = re.search(r'claims="([^"]*)"', header)
        assert found
        assert base64.b64decode(found[1]).decode() == claims


def check(made: Answer) -> None:
    """Never a success, and every header can be written."""
    assert 400 <= made.status <= 599
    for name, value in made.headers:
        assert re.fullmatch(r"[a-z-]+", name)
        assert re.fullmatch(r"[ -~]*", value)
