"""What can go wrong, as values: every reason that a denial may carry, and the denial itself.

Expected outcomes are values (`Denial`); exceptions are for the broken. The reasons are a contract:
they reach callers as `urn:attache:<reason>`, operators in audit records and metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a request was denied (DESIGN.md §9)."""

    MISSING_TOKEN = "missing_token"
    MALFORMED_TOKEN = "malformed_token"
    INVALID_TOKEN = "invalid_token"
    EXPIRED_TOKEN = "expired_token"
    UNTRUSTED_ISSUER = "untrusted_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    UNKNOWN_KEY = "unknown_key"
    TENANT_NOT_ALLOWED = "tenant_not_allowed"
    REVOKED = "revoked"
    NO_ROUTE = "no_route"
    BAD_PATH = "bad_path"
    USER_REQUIRED = "user_required"
    APP_REQUIRED = "app_required"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    INSUFFICIENT_ROLE = "insufficient_role"
    STEP_UP_REQUIRED = "step_up_required"
    CALL_LOOP = "call_loop"
    NO_SUBJECT = "no_subject"
    AMBIGUOUS_SUBJECT = "ambiguous_subject"
    CONSENT_REQUIRED = "consent_required"
    INTERACTION_REQUIRED = "interaction_required"
    ACCESS_BLOCKED = "access_blocked"
    DESTINATION_NOT_ALLOWED = "destination_not_allowed"
    CREDENTIAL_ERROR = "credential_error"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    RATE_LIMITED = "rate_limited"
    DEADLINE = "deadline"
    INTERNAL_ERROR = "internal_error"
    LOGIN_FAILED = "login_failed"
    CROSS_SITE = "cross_site"


STATUS: dict[Reason, int] = {
    Reason.MISSING_TOKEN: 401,
    Reason.MALFORMED_TOKEN: 401,
    Reason.INVALID_TOKEN: 401,
    Reason.EXPIRED_TOKEN: 401,
    Reason.UNTRUSTED_ISSUER: 401,
    Reason.WRONG_AUDIENCE: 401,
    Reason.UNKNOWN_KEY: 401,
    Reason.TENANT_NOT_ALLOWED: 403,
    Reason.REVOKED: 401,
    Reason.NO_ROUTE: 403,
    Reason.BAD_PATH: 400,
    Reason.USER_REQUIRED: 403,
    Reason.APP_REQUIRED: 403,
    Reason.INSUFFICIENT_SCOPE: 403,
    Reason.INSUFFICIENT_ROLE: 403,
    Reason.STEP_UP_REQUIRED: 401,
    Reason.CALL_LOOP: 403,
    Reason.NO_SUBJECT: 403,
    Reason.AMBIGUOUS_SUBJECT: 403,
    Reason.CONSENT_REQUIRED: 403,
    Reason.INTERACTION_REQUIRED: 401,
    Reason.ACCESS_BLOCKED: 403,
    Reason.DESTINATION_NOT_ALLOWED: 403,
    Reason.CREDENTIAL_ERROR: 503,
    Reason.ISSUER_UNAVAILABLE: 503,
    Reason.RATE_LIMITED: 503,
    Reason.DEADLINE: 503,
    Reason.INTERNAL_ERROR: 500,
    Reason.LOGIN_FAILED: 403,
    Reason.CROSS_SITE: 403,
}


@dataclass(frozen=True, slots=True)
class Denial:
    """One refusal: what the caller is told, and nothing that they should not know.

    `detail` is a sentence for the caller; it never holds a token, a secret or an internal.
    `claims` is the JSON text of a claims challenge (ENTRA.md §2), `challenge` holds further
    `WWW-Authenticate` parameters (RFC 6750 §3), `retry_after` is in seconds. `status` overrides
    the reason's usual HTTP status and is never a 2xx.
    """

    reason: Reason
    detail: str
    required: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    claims: str | None = None
    challenge: tuple[tuple[str, str], ...] = ()
    retry_after: int | None = None
    status: int = 0

    def __post_init__(self) -> None:
        if self.status == 0:
            object.__setattr__(self, "status", STATUS[self.reason])
        if not 400 <= self.status <= 599:
            raise ValueError(f"a denial with status {self.status} would not deny")
