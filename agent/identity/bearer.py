"""Which one token does the `Authorization` header carry (RFC 6750 §2.1)?"""

from __future__ import annotations

import re
import string

from agent.errors import Denial, Reason
from agent.identity.principal import RawToken

MAX_TOKEN = 16 * 1024  # bytes; SECURITY.md 13

_SCHEME = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]*)", re.ASCII)  # RFC 9110 §11.1: a token
# RFC 6750 §2.1: b64token. Neither comma nor white space is in it, and Envoy merges several
# Authorization headers into one with commas: so whatever matches is exactly one credential.
_B64TOKEN = f"{string.ascii_letters}{string.digits}._~+/-".encode()


_KEPT = 1024  # headers that are not read again
_SHORT = 4096  # characters of such a header


class Bearers:
    """`one_bearer` for headers that come again and again: what was read is looked up."""

    def __init__(self) -> None:
        self._read: dict[str, RawToken] = {}

    def one(self, authorization: str) -> RawToken | Denial:
        """Return the one bearer token of *authorization* (the header's value, empty if absent)."""
        known = self._read.get(authorization)
        if known is not None:
            return known
        token = one_bearer(authorization)
        if not isinstance(token, Denial) and len(authorization) <= _SHORT:
            if len(self._read) >= _KEPT:
                self._read.clear()  # cheaper than an order of use, and as bounded
            self._read[authorization] = token
        return token


def one_bearer(authorization: str | None, max_bytes: int = MAX_TOKEN) -> RawToken | Denial:
    """Return the one bearer token of *authorization* (the header's value, None if absent).

    >>> one_bearer("Bearer abc.def.ghi")
    'abc.def.ghi'
    >>> one_bearer("Bearer a.b.c,Bearer d.e.f").reason
    <Reason.MALFORMED_TOKEN: 'malformed_token'>
    """
    if authorization and authorization[:7] == "Bearer " and len(authorization) <= max_bytes + 7:
        token = authorization[7:]
        if _is_b64token(token):
            return RawToken(token)  # as nearly every client writes it; the rest takes longer
    if not authorization:
        return Denial(Reason.MISSING_TOKEN, "The request carries no Authorization header.")
    scheme = _SCHEME.match(authorization)
    if scheme is None or scheme[1].lower() != "bearer":
        return Denial(Reason.MISSING_TOKEN, "The Authorization header carries no bearer token.")
    if len(authorization) > max_bytes + len("bearer "):
        return Denial(Reason.MALFORMED_TOKEN, f"The token is longer than {max_bytes} bytes.")
    token = authorization[len("bearer ") :]
    if authorization[: len("bearer ")].lower() != "bearer " or not _is_b64token(token):
        return Denial(
            Reason.MALFORMED_TOKEN, "The Authorization header must carry exactly one bearer token."
        )
    return RawToken(token)


def _is_b64token(token: str) -> bool:
    """As `[A-Za-z0-9._~+/-]+=*` does, at a third of the time."""
    if not token.isascii():
        return False
    body = token.rstrip("=").encode()
    return bool(body) and not body.translate(None, _B64TOKEN)
