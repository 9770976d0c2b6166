"""Was this request right to let in? Judged apart from the agent: only by what is published.

Nothing of `agent` is imported here. It is told the issuers, reads tokens with the plainest tools,
and verifies with `cryptography` itself. What it calls genuine may still be refused; what it does
not may never pass.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

SKEW = 60
_PART = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Trusted:
    """What one issuer publishes: its name, its keys, and the algorithms that were agreed.

    `subject`: the claims that may name its callers, the first one that is there.
    """

    issuer: str
    audience: str
    keys: Mapping[str, Any]
    algorithms: tuple[str, ...]
    subject: tuple[str, ...]


def subject(token: str, trusted: Sequence[Trusted]) -> str | None:
    """Whose token this is; None where nobody trusted made it, or it does not hold now."""
    parts = token.split(".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        return None
    raw = [_decoded(part) for part in parts]
    if None in raw:
        return None
    header, claims = _object(raw[0] or b""), _object(raw[1] or b"")
    if header is None or claims is None:
        return None
    for entry in trusted:
        key = entry.keys.get(str(header.get("kid")))
        if claims.get("iss") == entry.issuer and key is not None:
            signed = token.rpartition(".")[0].encode()
            if header.get("alg") not in entry.algorithms or not _holds(claims, entry.audience):
                return None
            if not _verifies(key, str(header["alg"]), signed, raw[2] or b""):
                return None
            return next((str(claims[name]) for name in entry.subject if claims.get(name)), "")
    return None


def _decoded(part: str) -> bytes | None:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == part else None


def _object(raw: bytes) -> dict[str, Any] | None:
    twice = False

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice = twice or len({name for name, _ in members}) < len(members)
        return dict(members)

    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and not twice else None


def _holds(claims: Mapping[str, Any], audience: str) -> bool:
    """In time, and for us."""
    named, expiry, now = claims.get("aud"), claims.get("exp"), time.time()
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return False
    for name in ("nbf", "iat"):
        begins = claims.get(name, 0)
        if isinstance(begins, bool) or not isinstance(begins, int | float):
            return False
        if not 0 <= begins <= now + SKEW + 2:
            return False
    ours = named == audience or (isinstance(named, list) and audience in named)
    return ours and now - SKEW < expiry < 10**12


def _verifies(key: Any, alg: str, message: bytes, signature: bytes) -> bool:
    sha = hashes.SHA256()
    try:
        if alg == "EdDSA" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif alg == "ES256" and isinstance(key, ec.EllipticCurvePublicKey) and len(signature) == 64:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(sha))
        elif alg == "RS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), sha)
        elif alg == "PS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PSS(padding.MGF1(sha), 32), sha)
        else:
            return False
    except InvalidSignature:
        return False
    return True
