"""What does a token endpoint's answer to a refresh mean for the token that was sent? Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.credentials.answers import Answer
from agent.credentials.stored.record import MAX_TOKEN, Access

# RFC 6749 §5.2, and the words of servers that answer errors in their own way.
_TERMINAL = frozenset(
    {
        *("invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_expired"),
        *("interaction_required", "login_required", "consent_required"),
    }
)
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)  # RFC 6749 §A.17, without the space
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # RFC 6750 §2.1
_LIFETIMES = ("refresh_token_expires_in", "refresh_expires_in")  # seconds; Keycloak says 0: none
_UNSAID = 300.0  # seconds that an access token lives whose expires_in is missing
_LONGEST = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Granted:
    """Tokens came. `token` is None where the one that was sent stays. `at`: when it was sent."""

    answer: Answer
    at: float
    token: str | None = field(repr=False)
    access: Access | None = None
    idle_lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The server will never take this token again; `word` is its error, one that we know."""

    answer: Answer
    word: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The server answered, and gave nothing to anybody; the token is what it was."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Unsent:
    """Nothing reached the server."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Unanswered:
    """It was sent, or may have been, and no whole answer came: nobody knows whether it was used."""

    answer: Answer


Reply = Granted | Refused | Declined | Unsent | Unanswered


def reply_of(answer: Answer, at: float) -> Reply:
    """What *answer* to a request of the time *at* (UTC seconds) means.

    A server that says 5xx has given nothing away, so the token is tried again when it is back; a
    2xx that cannot be read may have used it up.
    """
    if answer.ours or not answer.sent:
        return Unsent(answer)
    body = answer.body
    if body is not None and answer.status < 500:
        error = body.get("error")
        if isinstance(error, str) and error in _TERMINAL:
            return Refused(answer, error)
        if answer.status < 300 and (granted := _granted(answer, body, at)):
            return granted
    if answer.status == 0 or (answer.status < 300 and body is None):
        return Unanswered(answer)
    return Declined(answer)


def _granted(answer: Answer, body: Mapping[str, Any], at: float) -> Granted | None:
    token, access = refresh_token_of(body), access_of(body, at)
    if token is None and access is None:
        return None
    return Granted(answer, at, token, access, idle_lifetime_of(body))


def access_of(body: Mapping[str, Any], at: float) -> Access | None:
    """The bearer token in a token endpoint's answer to a request of the time *at*."""
    value = body.get("access_token")
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not _BEARER.fullmatch(value):
        return None
    if str(body.get("token_type", "bearer")).lower() != "bearer":
        return None
    return Access(value, at, at + (seconds(body.get("expires_in"), _LONGEST) or _UNSAID))


def idle_lifetime_of(body: Mapping[str, Any]) -> float | None:
    """How long the refresh token may lie unused, where the answer says so, in seconds."""
    found = (seconds(body.get(name), 20 * 366 * 86400.0) for name in _LIFETIMES)
    return next((value for value in found if value), None)


def refresh_token_of(body: Mapping[str, Any]) -> str | None:
    """The refresh token in an answer, if there is one that can be kept."""
    token = body.get("refresh_token")
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        return None
    return token if _TOKEN.fullmatch(token) else None


def seconds(value: object, most: float) -> float | None:
    """A lifetime, which some servers write as text; None for none, or one without sense."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    return min(float(value), most)
