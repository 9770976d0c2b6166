"""What does an authorization server's answer mean for the caller, and for the operator?

The table is ENTRA.md §2, in its order. Microsoft says to branch on `error`, `suberror` and
`claims`; the AADSTS numbers only tell apart what these leave together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.credentials.answers import VOUCHED, Answer, Asked, Case, case_of, word
from agent.credentials.remedies import EXCHANGES, REMEDIES, remedy_for
from agent.errors import Denial, Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """The denial for the caller, the sentence for the log, and how loud it is."""

    denial: Denial
    sentence: str
    level: int


_UNAVAILABLE = "the authorization server for this destination does not answer; try again"
_CREDENTIAL = "this service cannot prove itself for this destination; its operator was told"
_CONFIGURATION = "the credential of this destination is misconfigured; its operator was told"
_MAX_SAID = 4096  # characters of a description that are looked at
_SIGN_IN = "the caller's token is no longer accepted; sign in again"

_OUR_PROOF = frozenset({7000215, 7000222, 7000218, 700016, 700027, 700024, 700023, 700025, 70021})
_OUR_SETUP = frozenset({500131, 500011, 70011, 28000, 1002012, 90009, 90002})
_BLOCKED = frozenset({53003, 50105})
_SETUP_ERRORS = frozenset(
    {
        "invalid_scope",
        "invalid_resource",
        "invalid_target",
        "invalid_tenant",
        "invalid_request",
        "unsupported_grant_type",
    }
)


def _unproven(case: Case) -> Verdict | None:
    if not case.answer.ours:
        return None
    denial = Denial(Reason.CREDENTIAL_ERROR, _CREDENTIAL)
    sentence = f"destination '{case.asked.destination}': {case.answer.failure}"
    return Verdict(denial, sentence, logging.ERROR)


def _unfit(case: Case) -> Verdict | None:
    if not case.answer.unfit:
        return None
    denial = Denial(Reason.INTERNAL_ERROR, _CONFIGURATION)
    return _verdict(case, denial, case.answer.unfit, logging.ERROR)


def _throttled(case: Case) -> Verdict | None:
    if case.answer.status != 429 and 50196 not in case.codes:
        return None
    seconds = case.answer.retry_after or 5
    denial = Denial(
        Reason.RATE_LIMITED,
        "the authorization server limits how often it is asked; try again later",
        retry_after=seconds,
    )
    loop = REMEDIES[50196] if 50196 in case.codes else f"limits our requests ({case.code})."
    told = f"{loop} It is asked again in {seconds} s."
    return _verdict(case, denial, told, logging.WARNING)


def _unavailable(case: Case) -> Verdict | None:
    answer = case.answer
    if (
        answer.status
        and answer.status < 500
        and answer.body is not None
        and case.error not in ("temporarily_unavailable", "server_error")
        and (case.error or answer.status >= 400)
    ):
        return None
    what = answer.failure or (
        f"answered with status {answer.status}"
        if answer.status >= 400
        else f"answered with status {answer.status}, but without a usable token"
    )
    told = f"{what}. Tokens in hand serve until they expire; check the network and its status page."
    denial = Denial(Reason.ISSUER_UNAVAILABLE, _UNAVAILABLE, retry_after=answer.retry_after or 1)
    return _verdict(case, denial, told, logging.WARNING)


def _blocked(case: Case) -> Verdict | None:
    if case.suberror != "message_only" and not case.codes & _BLOCKED:
        return None
    denial = Denial(Reason.ACCESS_BLOCKED, "a policy of the user's organization blocks this access")
    return _verdict(case, denial, _remedy(case, "blocks this user by policy"), logging.INFO)


def _challenge(case: Case) -> Verdict | None:
    wanted = case.claims is not None or case.error in ("interaction_required", "login_required")
    if not wanted or not case.asked.for_user:
        return None
    denial = Denial(
        Reason.INTERACTION_REQUIRED,
        "the user must sign in again and meet a further requirement",
        claims=case.claims or None,
    )
    return _verdict(case, denial, _remedy(case, "asks the user to act"), logging.INFO)


def _consent(case: Case) -> Verdict | None:
    given = "consent_required" in (case.error, case.suberror) or 65001 in case.codes
    if not given:
        return None
    scopes = case.asked.scopes
    denial = Denial(
        Reason.CONSENT_REQUIRED,
        f"consent is missing for {' '.join(scopes)}",
        required=scopes,
    )
    told = REMEDIES[65001]
    if case.asked.exchange:
        told = f"wants the user to consent to client '{{client}}' for {{scopes}} ({case.code})."
    return _verdict(case, denial, told, logging.ERROR)


def _exchanged(case: Case) -> Verdict | None:
    """What servers say of a token exchange in words of their own (RFC 8693 §2.2.2)."""
    if not case.asked.exchange:
        return None
    said = str((case.answer.body or {}).get("error_description", ""))[:_MAX_SAID].lower()
    if case.asked.for_user and (case.error == "invalid_token" or "invalid token" in said):
        denial = Denial(Reason.INVALID_TOKEN, _SIGN_IN)
        told = f"no longer accepts the user's token ({case.code})."
        return _verdict(case, denial, told, logging.INFO)
    for error, words, remedy in EXCHANGES:
        if error == case.error and words in said:
            denial = Denial(Reason.INTERNAL_ERROR, _CONFIGURATION)
            return _verdict(case, denial, f"{remedy} ({case.code}).", logging.ERROR)
    if case.error == "access_denied" and case.asked.for_user:
        denial = Denial(Reason.ACCESS_BLOCKED, "a policy there forbids this call for this user")
        told = (
            f"refuses to exchange this user's token by policy ({case.code}). Check what client "
            "'{client}' may exchange there."
        )
        return _verdict(case, denial, told, logging.WARNING)
    return None


def _our_proof(case: Case) -> Verdict | None:
    federated = any(700210 <= code <= 700219 for code in case.codes)
    named = case.error in ("invalid_client", "unauthorized_client")
    if not (federated or named or case.codes & _OUR_PROOF):
        return None
    # never 401: the caller's own token is fine, and it would try for ever
    told = _remedy(case, "refused our {proof} for client '{client}'. Renew it; it is reread")
    return _verdict(case, Denial(Reason.CREDENTIAL_ERROR, _CREDENTIAL), told, logging.ERROR)


def _app_only(case: Case) -> Verdict | None:
    if 7000114 not in case.codes:
        return None
    denial = Denial(Reason.USER_REQUIRED, "this call needs a user, not an application")
    return _verdict(case, denial, REMEDIES[7000114], logging.WARNING)


def _our_setup(case: Case) -> Verdict | None:
    if not (case.codes & _OUR_SETUP or case.error in _SETUP_ERRORS):
        return None
    told = _remedy(case, "does not accept the request for scopes {scopes}. Check the destination")
    return _verdict(case, Denial(Reason.INTERNAL_ERROR, _CONFIGURATION), told, logging.ERROR)


def _users_token(case: Case) -> Verdict | None:
    if case.error != "invalid_grant" or not case.asked.for_user:
        return None
    denial = Denial(Reason.INVALID_TOKEN, _SIGN_IN)
    loud = logging.WARNING if 50013 in case.codes else logging.INFO
    return _verdict(case, denial, _remedy(case, "no longer accepts the user's token"), loud)


def _unknown(case: Case) -> Verdict:
    told = f"answered with an error that we do not know ({case.code}). Look it up and report it."
    return _verdict(case, Denial(Reason.CREDENTIAL_ERROR, _CREDENTIAL), told, logging.ERROR)


# The first that applies decides; message_only stands before claims (ENTRA.md §2).
ROWS: tuple[Callable[[Case], Verdict | None], ...] = (
    _unproven,
    _unfit,
    _throttled,
    _unavailable,
    _blocked,
    _challenge,
    _consent,
    _exchanged,
    _our_proof,
    _app_only,
    _our_setup,
    _users_token,
)


def judge(answer: Answer, asked: Asked) -> Verdict:
    """What an answer without a usable token means. Pure; no secret or token is in the verdict."""
    case = case_of(answer, asked)
    for row in ROWS:
        if verdict := row(case):
            return verdict
    return _unknown(case)


def _remedy(case: Case, otherwise: str) -> str:
    vouched = case.asked.proof == VOUCHED
    known = (remedy_for(code, vouched) for code in sorted(case.codes, reverse=True))
    return next(filter(None, known), f"{otherwise} ({case.code}).")


def _verdict(case: Case, denial: Denial, told: str, level: int) -> Verdict:
    asked = case.asked
    words = {
        "identity": asked.identity,
        "client": asked.client,
        "tenant": asked.tenant,
        "scopes": "'" + " ".join(asked.scopes) + "'",
        "target": f"'{asked.target}'",
        "proof": asked.proof,
    }
    for name, value in words.items():
        told = told.replace("{" + name + "}", value)
    trace = word((case.answer.body or {}).get("trace_id"))
    sentence = f"destination '{asked.destination}': {asked.server} {told}"
    return Verdict(denial, f"{sentence} Trace id {trace}." if trace else sentence, level)
