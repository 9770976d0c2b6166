"""What does a refused caller read? A problem document and a challenge (RFC 9457, RFC 6750)."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass

from agent.errors import Denial, Reason
from agent.flow.headers import CORRELATION

REASON = "x-attache-reason"
"""In which metadata a gRPC client finds the reason."""

TITLES: dict[Reason, str] = {
    Reason.MISSING_TOKEN: "A bearer token is required",
    Reason.MALFORMED_TOKEN: "The credential is malformed",
    Reason.INVALID_TOKEN: "The token is not valid",
    Reason.EXPIRED_TOKEN: "The token has expired",
    Reason.UNTRUSTED_ISSUER: "The token's issuer is not trusted",
    Reason.WRONG_AUDIENCE: "The token is meant for someone else",
    Reason.UNKNOWN_KEY: "The token's key is not known",
    Reason.TENANT_NOT_ALLOWED: "The tenant is not allowed",
    Reason.REVOKED: "The token was revoked",
    Reason.NO_ROUTE: "No route allows this request",
    Reason.BAD_PATH: "The path is not acceptable",
    Reason.USER_REQUIRED: "A user is required",
    Reason.APP_REQUIRED: "An app is required",
    Reason.INSUFFICIENT_SCOPE: "A scope is missing",
    Reason.INSUFFICIENT_ROLE: "A role is missing",
    Reason.STEP_UP_REQUIRED: "A stronger sign-in is required",
    Reason.CALL_LOOP: "The chain of calls is a loop",
    Reason.NO_SUBJECT: "Nobody stands behind this call",
    Reason.AMBIGUOUS_SUBJECT: "More than one caller could stand behind this call",
    Reason.CONSENT_REQUIRED: "Consent is missing",
    Reason.INTERACTION_REQUIRED: "The user has to sign in again",
    Reason.ACCESS_BLOCKED: "Access is blocked by policy",
    Reason.DESTINATION_NOT_ALLOWED: "The destination is not allowed",
    Reason.CREDENTIAL_ERROR: "The credential could not be obtained",
    Reason.ISSUER_UNAVAILABLE: "The identity provider is not available",
    Reason.RATE_LIMITED: "The identity provider limits requests",
    Reason.DEADLINE: "The decision took too long",
    Reason.INTERNAL_ERROR: "The request could not be decided on",
    Reason.LOGIN_FAILED: "The sign-in did not succeed",
    Reason.CROSS_SITE: "The request may come from another site",
}

# RFC 6750 §3.1: no error code where the request carried no credential at all; everything else that
# is answered by 401 is a matter of the token, except what follows.
_NO_ERROR_CODE = frozenset({Reason.MISSING_TOKEN})
# RFC 6750 §3: whoever brings a token that does not open this resource is told so by a challenge,
# also where the status is 403.
_INSUFFICIENT = frozenset(
    {
        Reason.TENANT_NOT_ALLOWED,
        Reason.USER_REQUIRED,
        Reason.APP_REQUIRED,
        Reason.INSUFFICIENT_SCOPE,
        Reason.INSUFFICIENT_ROLE,
    }
)


@dataclass(frozen=True, slots=True)
class Challenger:
    """Where a client is sent to answer a claims challenge (ENTRA.md §2)."""

    authorization_uri: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A denial as HTTP: never a 2xx (SECURITY.md 18)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


def answer(denial: Denial, correlation_id: str, challenger: Challenger) -> Answer:
    """Write *denial* down for the caller. Nothing of a token or of our insides is in it."""
    document: dict[str, object] = {
        "type": f"urn:attache:{denial.reason}",
        "title": TITLES[denial.reason],
        "status": denial.status,
        "detail": denial.detail,
        "correlationId": correlation_id,
    }
    if denial.required:
        document["required"] = list(denial.required)
        document["granted"] = list(denial.granted)
    headers = (
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        *_headers(denial, correlation_id, challenger),
    )
    return Answer(denial.status, headers, json.dumps(document))


def grpc_answer(denial: Denial, correlation_id: str, challenger: Challenger) -> Answer:
    """Write *denial* down for a gRPC client: the body becomes grpc-message, headers metadata.

    Envoy answers with trailers only and maps our status (gRPC's http-grpc-status-mapping): 401 to
    UNAUTHENTICATED, 403 to PERMISSION_DENIED, 503 to UNAVAILABLE. It sets the content type; ours
    would take its place, and no client would read the answer as gRPC.
    """
    message = f"{denial.reason}: {denial.detail} (correlation id {correlation_id})"
    headers = ((REASON, denial.reason.value), *_headers(denial, correlation_id, challenger))
    return Answer(denial.status, headers, message)


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}}
small{{color:#666}}</style></head><body><h1>{title}</h1><p>{detail}</p>
<p><a href="/">Start again</a></p><p><small>{reason} · {correlation_id}</small></p></body></html>
"""


def page_answer(denial: Denial, correlation_id: str) -> Answer:
    """Write *denial* down for a person: what our own paths say to a browser."""
    words = {
        "title": TITLES[denial.reason],
        "detail": denial.detail,
        "reason": denial.reason.value,
        "correlation_id": correlation_id,
    }
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
        *_headers(denial, correlation_id, Challenger()),
    )
    body = _PAGE.format(**{name: html.escape(word) for name, word in words.items()})
    return Answer(denial.status, headers, body)


def _headers(denial: Denial, correlation_id: str, challenger: Challenger) -> list[tuple[str, str]]:
    headers = [(CORRELATION, correlation_id)]
    if denial.status == 401 or denial.reason in _INSUFFICIENT:
        headers.append(("www-authenticate", _challenge(denial, challenger)))
    if denial.retry_after is not None:
        headers.append(("retry-after", str(max(0, denial.retry_after))))
    return headers


def _challenge(denial: Denial, challenger: Challenger) -> str:
    parameters: dict[str, str] = {"realm": ""}
    if denial.claims is not None:
        # The form on which MSAL clients act: standard base64 of the minified JSON
        where = {
            "authorization_uri": challenger.authorization_uri,
            "client_id": challenger.client_id,
        }
        parameters |= {name: value for name, value in where.items() if value}
        parameters |= {
            "error": "insufficient_claims",
            "claims": base64.b64encode(denial.claims.encode()).decode(),
        }
        parameters |= dict(denial.challenge)
    elif denial.reason not in _NO_ERROR_CODE:
        insufficient = denial.reason in _INSUFFICIENT
        parameters["error"] = "insufficient_scope" if insufficient else "invalid_token"
        parameters["error_description"] = denial.detail
        parameters |= dict(denial.challenge)
    return "Bearer " + ", ".join(f'{name}="{_quoted(v)}"' for name, v in parameters.items())


def _quoted(value: str) -> str:
    """RFC 6750 §3 allows printable ASCII without quote and backslash."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in value)
