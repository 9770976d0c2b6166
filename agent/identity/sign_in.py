"""What does an issuer say of a sign-in, and of its end: ID tokens and logout tokens?

OpenID Connect Core §3.1.3.7; OpenID Connect Back-Channel Logout 1.0 §2.6.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import Denial
from agent.identity.claims import Claims, is_time, text
from agent.identity.issuers.entry import Signed, invalid

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_LIFE = 300.0  # seconds after which a logout token is history
_ID_TYPES = frozenset({"", "jwt", "application/jwt"})
_LOGOUT_TYPES = _ID_TYPES | {"logout+jwt", "application/logout+jwt"}
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


def not_this_sign_in(signed: Signed, client: str, nonce: str, access: str) -> Denial | None:
    """Why an ID token is not the answer to the sign-in that *nonce* began, or not for *client*.

    *access* is the access token that came with it, *nonce* empty for a renewal, whose ID token need
    not repeat it (OpenID Connect Core §12.2).
    """
    claims = signed.claims
    if (signed.header.typ or "").lower() not in _ID_TYPES or "events" in claims:
        return invalid("The ID token is another kind of token.")
    if "iat" not in claims or not text(claims, "sub"):
        return invalid("The ID token names no subject or no time.")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if ("azp" in claims or several) and claims.get("azp") != client:
        return invalid("The ID token was made for another client.")
    said = claims.get("nonce", "")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        return invalid("The ID token does not answer this sign-in.")
    if "at_hash" in claims and claims["at_hash"] != half_hash(signed.header.alg, access):
        return invalid("The ID token belongs to another access token.")
    return None


def half_hash(algorithm: str, token: str) -> str:
    """`at_hash` (OpenID Connect Core §3.1.3.6); EdDSA hashes with SHA-512, as Ed25519 does."""
    digest = _HASHES.get(algorithm[2:], hashlib.sha512)(token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class Ended:
    """Whose session a provider ended: that of `session` (`sid`), or every one of `subject`."""

    jti: str
    session: str
    subject: str
    issued: float


def ended(signed: Signed, now: float) -> Ended | Denial:
    """What a logout token ends; *now* in UTC seconds."""
    claims = signed.claims
    if (signed.header.typ or "").lower() not in _LOGOUT_TYPES:
        return invalid("The logout token is another kind of token.")
    events = claims.get("events")
    event = events.get(LOGOUT_EVENT) if isinstance(events, Mapping) else None
    if not isinstance(event, Mapping):
        return invalid("The logout token does not say that somebody signed out.")
    if "nonce" in claims:  # an ID token must not pass for one
        return invalid("The logout token has a nonce.")
    issued, jti = claims.get("iat"), text(claims, "jti")
    if not is_time(issued) or not jti:
        return invalid("The logout token has no 'iat' or no 'jti'.")
    if now >= issued + LOGOUT_LIFE:
        return invalid("The logout token is too old.")
    session, subject = _text(claims, "sid"), _text(claims, "sub")
    if session is None or subject is None or not (session or subject):
        return invalid("The logout token names neither a session nor a subject.")
    return Ended(jti, session, subject, float(issued))


def _text(claims: Claims, name: str) -> str | None:
    """A claim that is a text or is not there; None where it is anything else."""
    value = claims.get(name, "")
    return value if isinstance(value, str) and len(value) <= 1024 else None
