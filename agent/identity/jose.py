"""What does a compact JWS say, read so strictly that only one reading exists (RFC 7515 §7.1)?"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from agent.errors import Denial, Reason
from agent.identity.bearer import MAX_TOKEN
from agent.identity.strict_json import NotStrict, strict_object

# SECURITY.md 1: three parts, no padding, no white space. An empty payload is a valid JWS; that
# it is no JWT is found when its claims are read.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)", re.ASCII)
_ALPHABET = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_TO_STANDARD = str.maketrans("-_", "+/")
# SECURITY.md 4. RFC 7515 §4.1.11: an unknown critical member must be refused, and we know none.
# RFC 7516 §4.1.2, §4.1.3, §9: enc makes it a JWE, zip its content compressed. Some readers obey zip
# in a JWS as well: one token, two contents.
_REFUSED = ("crit", "b64", "zip", "enc")


@dataclass(frozen=True, slots=True)
class Header:
    """The members of a JOSE header that anyone here asks for; key material is not among them."""

    alg: str
    kid: str | None = None
    typ: str | None = None


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A compact JWS taken apart; nothing in it is proven yet."""

    header: Header
    payload: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A JWT taken apart; nothing in it is proven yet."""

    header: Header
    claims: Mapping[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def base64url(text: str) -> bytes | None:
    """Return the bytes of unpadded base64url *text*; None unless it is the canonical spelling.

    RFC 4648 §3.5: unused trailing bits must be zero, or one value would have several spellings.

    >>> base64url("AQAB"), base64url("AQ=="), base64url("AR")
    (b'\\x01\\x00\\x01', None, None)
    """
    if len(text) % 4 == 1 or not _ALPHABET.fullmatch(text):
        return None
    standard = text.translate(_TO_STANDARD)
    raw = binascii.a2b_base64(standard + "=" * (-len(text) % 4))
    canonical = binascii.b2a_base64(raw, newline=False).decode("ascii").rstrip("=")
    return raw if canonical == standard else None


def unpack(token: str, max_bytes: int = MAX_TOKEN) -> Unpacked | Denial:
    """Take *token* apart: form, encoding and header, but not yet what its payload says."""
    if len(token) > max_bytes:
        return _malformed(f"The token is longer than {max_bytes} bytes.")
    match = _COMPACT.fullmatch(token)
    if not match:
        return _malformed("The token is not a compact JWS of three base64url parts.")
    parts = [base64url(part) for part in match.groups()]
    if None in parts:
        return _malformed("The token is not canonical base64url.")
    raw, payload, signature = (part or b"" for part in parts)
    header = _header(raw)
    if isinstance(header, Denial):
        return header
    signing_input = token[: match.end(2)].encode("ascii")
    return Unpacked(header, payload, signing_input, signature)


def parse(token: str, max_bytes: int = MAX_TOKEN) -> Parsed | Denial:
    """Take *token* apart and read its claims; `malformed_token` if that has no single meaning."""
    unpacked = unpack(token, max_bytes)
    if isinstance(unpacked, Denial):
        return unpacked
    try:
        claims = strict_object(unpacked.payload)
    except NotStrict as why:
        return _malformed(f"The token's claims are refused: {why}.")
    return Parsed(
        unpacked.header, MappingProxyType(claims), unpacked.signing_input, unpacked.signature
    )


def opaque(token: str) -> bool:
    """Whether *token* is no JOSE object, good or bad: only its own server knows what it means.

    Three parts are a JWS and five a JWE, whatever is in them; and what begins with a JSON object
    was meant to be one, so it is malformed and nobody is asked about it.

    >>> opaque("ya29.a0AfH6SM"), opaque("a.b.c"), opaque("eyJhbGciOiJub25lIn0.x")
    (True, False, False)
    """
    head, *rest = token.split(".")
    if len(rest) in (2, 4):
        return False
    raw = base64url(head.rstrip("=")) if rest else None
    try:
        return raw is None or not strict_object(raw)
    except NotStrict:
        return True


def _header(raw: bytes) -> Header | Denial:
    try:
        members = strict_object(raw)
    except NotStrict as why:
        return _malformed(f"The token's header is refused: {why}.")
    for name in _REFUSED:
        if name in members:
            return _malformed(f"The token's header has '{name}', which is not supported.")
    for name in ("alg", "kid", "typ", "cty"):
        if name in members and not isinstance(members[name], str):
            return _malformed(f"The token's header member '{name}' is not a string.")
    if "alg" not in members:
        return _malformed("The token's header names no algorithm.")
    # RFC 8725 §3.10: jwk, jku, x5u and x5c stay behind here; nobody after this can follow them.
    return Header(members["alg"], members.get("kid"), members.get("typ"))


def _malformed(detail: str) -> Denial:
    return Denial(Reason.MALFORMED_TOKEN, detail)
