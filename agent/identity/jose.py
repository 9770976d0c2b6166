"""What does a compact JWS say, read so strictly that only one reading exists (RFC 7515 §7.1)?"""

from __future__ import annotations

import binascii
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from agent.errors import Denial, Reason
from agent.identity.bearer import MAX_TOKEN
from agent.identity.strict_json import NotStrict, strict_object

_ALPHABET = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}-_".encode()
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"", b"==", b"=")  # by the length of a text modulo 4
# RFC 4648 §3.5: the last character of so long a text has 4 bits or 2 that nobody reads, and zero
# they must be: every 16th character of the alphabet has 4 of them, every 4th has 2.
_LAST = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])
_SHORT = 512  # bytes of a header that is recognised when it comes again
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


class Unpacked(NamedTuple):
    """A compact JWS taken apart; nothing in it is proven yet."""

    header: Header
    payload: bytes
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Unpacked(header={self.header})"


class Parsed(NamedTuple):
    """A JWT taken apart; nothing in it is proven yet."""

    header: Header
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Parsed(header={self.header})"


def base64url(text: str) -> bytes | None:
    """Return the bytes of unpadded base64url *text*; None unless it is the canonical spelling.

    RFC 4648 §3.5: unused trailing bits must be zero, or one value would have several spellings.

    >>> base64url("AQAB"), base64url("AQ=="), base64url("AR")
    (b'\\x01\\x00\\x01', None, None)
    """
    if not text.isascii():
        return None
    raw = text.encode()
    return None if raw.translate(None, _ALPHABET) else _octets(raw)


def _octets(text: bytes) -> bytes | None:
    """The bytes of *text*, which is of the alphabet; None for any other spelling of them."""
    over = len(text) % 4
    if text and text[-1] not in _LAST[over]:
        return None
    return binascii.a2b_base64(text.translate(_TO_STANDARD) + _PADDING[over])


def unpack(token: str, max_bytes: int = MAX_TOKEN) -> Unpacked | Denial:
    """Take *token* apart: form, encoding and header, but not yet what its payload says."""
    if len(token) > max_bytes:
        return _malformed(f"The token is longer than {max_bytes} bytes.")
    raw = token.encode() if token.isascii() else b""
    # SECURITY.md 1: three parts, no padding, no white space. An empty payload is a valid JWS; that
    # it is no JWT is found when its claims are read.
    head, _, rest = raw.partition(b".")
    body, _, last = rest.partition(b".")
    if not head or not last or raw.translate(None, _ALPHABET) != b"..":
        return _malformed("The token is not a compact JWS of three base64url parts.")
    payload, signature = _octets(body), _octets(last)
    header = (_known_header if len(head) <= _SHORT else _read_header)(head)
    if header is None or payload is None or signature is None:
        return _malformed("The token is not canonical base64url.")
    if isinstance(header, Denial):
        return header
    return Unpacked(header, payload, raw[: len(head) + 1 + len(body)], signature)


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


def _read_header(text: bytes) -> Header | Denial | None:
    """The header that *text* spells; None where it is no canonical base64url."""
    raw = _octets(text)
    return None if raw is None else _header(raw)


# The tokens of one key nearly always have the same header. What it says depends on its text alone;
# whether it is true is asked of every token.
_known_header = lru_cache(maxsize=256)(_read_header)


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
