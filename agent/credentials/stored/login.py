"""What does a login ask, and which answers does it believe? Pure: no socket, no randomness.

RFC 6749 §4.1, RFC 7636 (PKCE, S256 only), RFC 8252 (loopback), RFC 8628 (device), RFC 9207 (`iss`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from agent.config.fields import secure_url
from agent.config.stored_tokens import StoredToken
from agent.credentials.answers import Answer
from agent.credentials.stored.record import Record
from agent.credentials.stored.reply import access_of, idle_lifetime_of, refresh_token_of
from agent.credentials.stored.rules import Rules

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER = 5.0  # seconds that slow_down adds to the interval (RFC 8628 §3.5)
_INTERVAL, _MOST = 5.0, 60.0
_DEVICE_LIFE = 1800.0


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why the login goes no further: a sentence with a remedy, without a secret."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Server:
    """What the provider's document, or the configuration, says of it. Empty: not known."""

    issuer: str
    authorize: str
    device: str
    says_iss: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that somebody has been sent to."""

    url: str
    redirect: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)


def server_of(token: StoredToken, document: Mapping[str, Any]) -> Server | Mistake:
    """Where people sign in; what the configuration says counts more than *document*."""
    login = token.login
    found = {
        "authorize": login.authorize_url or document.get("authorization_endpoint") or "",
        "device": login.device_url or document.get("device_authorization_endpoint") or "",
    }
    for url in found.values():
        try:
            if url:
                secure_url(url)
        except ValueError:
            return Mistake("the provider's document names an endpoint that is not https")
    says = document.get("authorization_response_iss_parameter_supported") is True
    issuer = document.get("issuer")
    return Server(issuer if isinstance(issuer, str) else "", **found, says_iss=says)


def begin(
    token: StoredToken, server: Server, client: str, redirect: str, state: str, verifier: str
) -> Begun | Mistake:
    """The page to send a person to. *state* and *verifier* are fresh random texts."""
    if not server.authorize:
        return Mistake(
            "no sign-in page is known; write login.authorizeUrl, or an issuer instead of tokenUrl"
        )
    challenge = hashlib.sha256(verifier.encode()).digest()
    asked = {
        **token.login.parameters,
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect,
        **_wanted(token),
        "state": state,
        "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    parts = urlsplit(server.authorize)
    query = "&".join(filter(None, (parts.query, urlencode(asked))))
    return Begun(urlunsplit(parts._replace(query=query)), redirect, state, verifier)


def landed(query: str, begun: Begun, server: Server) -> str | Mistake | None:
    """The code in the redirect's *query*; None for a request that is not the answer to ours.

    Who does not know our `state` is ignored, so that no page of strangers ends the login.
    """
    try:
        found = parse_qs(query, strict_parsing=True, max_num_fields=32)
    except ValueError:
        return None
    if any(len(values) > 1 for values in found.values()):
        return None
    said = {name: values[0] for name, values in found.items()}
    if not hmac.compare_digest(said.get("state", "").encode(), begun.state.encode()):
        return None
    # RFC 9207 §2.4: the answer of another server is not believed, not even its error
    if ("iss" in said or server.says_iss) and server.issuer and said.get("iss") != server.issuer:
        return Mistake("the answer came from another server than the one that was asked; try again")
    if "error" in said:
        return Mistake(_refusal(said))
    code = said.get("code", "")
    return code or Mistake("the provider sent no code; look at its log")


def code_form(token: StoredToken, begun: Begun, code: str) -> dict[str, str]:
    """What exchanges *code* for tokens."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": begun.redirect,
        "code_verifier": begun.verifier,
    }
    wanted = _wanted(token)
    wanted.pop("scope", None)  # RFC 6749 §4.1.3: the code knows
    return form | wanted


@dataclass(frozen=True, slots=True)
class Device:
    """A code that a person types in elsewhere. Times in seconds."""

    code: str = field(repr=False)
    typed: str
    page: str
    whole: str
    interval: float
    lasts: float


def device_form(token: StoredToken) -> dict[str, str]:
    """What asks for a device code (RFC 8628 §3.1)."""
    return _wanted(token)


def device_of(answer: Answer) -> Device | Mistake:
    """The codes in a device endpoint's answer."""
    body = answer.body or {}
    code, typed = body.get("device_code"), body.get("user_code")
    page = body.get("verification_uri", body.get("verification_url"))  # Google's older word
    if answer.status != 200 or not all(isinstance(v, str) and v for v in (code, typed, page)):
        return Mistake(refusal(answer, "gave no device code"))
    try:
        secure_url(page)
    except ValueError:
        return Mistake("the provider's page for codes is not https; look at its settings")
    whole = body.get("verification_uri_complete")
    return Device(
        str(code),
        str(typed),
        str(page),
        whole if isinstance(whole, str) and whole.startswith("https://") else "",
        _number(body.get("interval"), _INTERVAL, _MOST),
        _number(body.get("expires_in"), _DEVICE_LIFE, _DEVICE_LIFE),
    )


def poll_form(device: Device) -> dict[str, str]:
    """What asks whether the person is done."""
    return {"grant_type": DEVICE, "device_code": device.code}


def polled(answer: Answer, interval: float) -> float | None:
    """Seconds until the next question; None when *answer* is the last word (RFC 8628 §3.5)."""
    error = (answer.body or {}).get("error")
    if error == "authorization_pending":
        return interval
    if error == "slow_down":
        return interval + SLOWER
    if answer.status == 0 or answer.status >= 500 or answer.status == 429:
        return min(interval * 2, _MOST)  # it does not answer: ask less often
    return None


def record_of(
    answer: Answer, rules: Rules, at: float, seeds: tuple[str, ...] = ()
) -> Record | Mistake:
    """What is stored after the login that *answer* ends; *at* is now, in UTC seconds."""
    body = answer.body or {}
    if answer.status != 200:
        return Mistake(refusal(answer, "gave no tokens"))
    token = refresh_token_of(body)
    if token is None:
        return Mistake(
            "the provider gave no refresh token; add offline_access to scopes, or "
            "login.parameters: {access_type: offline, prompt: consent} at Google, and allow the "
            "client the refresh_token grant"
        )
    return Record(
        rules.authority,
        rules.client,
        token,
        at,
        at,
        access=access_of(body, at),
        idle_lifetime=idle_lifetime_of(body),
        seeds=seeds,
    )


def refusal(answer: Answer, otherwise: str) -> str:
    """What the provider said, for the person at the terminal."""
    if answer.failure:
        return f"the provider {answer.failure}"
    if answer.body and "error" in answer.body:
        return _refusal(answer.body)
    return f"the provider {otherwise} (status {answer.status}); look at its log"


def _refusal(said: Mapping[str, Any]) -> str:
    words = [said.get("error"), said.get("error_description")]
    told = ": ".join(_printable(word) for word in words if isinstance(word, str) and word)
    return f"the provider refused: {told}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:300]


def _wanted(token: StoredToken) -> dict[str, str]:
    wanted = {
        "scope": " ".join(token.scopes),
        "resource": token.resource or "",
        "audience": token.audience or "",
    }
    return {name: value for name, value in wanted.items() if value}


def _number(value: object, otherwise: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return otherwise
    return min(float(value), most)
