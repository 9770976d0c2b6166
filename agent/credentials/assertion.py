"""How does a client sign that it is who it says it is? (RFC 7523 §2.2 and §3)"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.credentials.proof import Unproven, content_of

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE = 120  # seconds: enough for clocks that differ, too short to be worth a theft
_SMALLEST = 2048  # bits of an RSA key (SECURITY.md 12)

Sign = Callable[[bytes], bytes]

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
# RFC 7518 §3.4: one hash for each curve
_CURVES: dict[str, tuple[str, int]] = {
    "secp256r1": ("ES256", 32),
    "secp384r1": ("ES384", 48),
    "secp521r1": ("ES512", 66),
}


@dataclass(frozen=True, slots=True)
class AssertionKey:
    """A private key with the one algorithm that it is used with."""

    algorithm: str
    sign: Sign = field(repr=False)


def load(path: Path, algorithm: str | None) -> AssertionKey | Unproven:
    """Read the PEM private key in *path*; *algorithm* None: the usual one for such a key."""
    content = content_of(path)
    if isinstance(content, Unproven):
        return content
    try:
        key: Any = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return Unproven(
            f"the key file {path} holds no private key in PEM without a password. Write one into "
            "it; it is reread within 5 s."
        )
    found = _usable(key, algorithm)
    if found is None:
        wanted = f" for {algorithm}" if algorithm else ""
        return Unproven(
            f"the key in {path} cannot sign assertions{wanted}. Use RSA of at least 2048 bits, a "
            "P-256, P-384 or P-521 key, or Ed25519, and correct algorithm; it is reread within 5 s."
        )
    return found


def _usable(key: Any, wanted: str | None) -> AssertionKey | None:
    """The key with its algorithm, None if they do not go together."""
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SMALLEST:
        name = wanted or "RS256"
        if name[:2] not in ("RS", "PS"):
            return None
        return AssertionKey(name, _rsa(key, name))
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        name, size = _CURVES[key.curve.name]
        return AssertionKey(name, _ecdsa(key, name, size)) if wanted in (None, name) else None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return AssertionKey("EdDSA", key.sign) if wanted in (None, "EdDSA") else None
    return None


def _rsa(key: rsa.RSAPrivateKey, name: str) -> Sign:
    digest = _HASHES[name[2:]]
    # RFC 7518 §3.5: the salt is as long as the hash
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    how: Any = pss if name.startswith("PS") else padding.PKCS1v15()
    return lambda message: key.sign(message, how, digest)


def _ecdsa(key: ec.EllipticCurvePrivateKey, name: str, size: int) -> Sign:
    digest = ec.ECDSA(_HASHES[name[2:]])

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, digest))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign


def assertion(
    key: AssertionKey, client: str, audience: str, now: float, jti: str, key_id: str | None
) -> str:
    """The compact JWS that proves *client* to *audience*, once. *now* is UTC seconds."""
    header = {"alg": key.algorithm, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    claims = {
        "iss": client,
        "sub": client,
        "aud": audience,
        "jti": jti,
        "iat": int(now),
        "exp": int(now) + LIFE,
    }
    message = f"{_part(header)}.{_part(claims)}"
    return f"{message}.{_b64(key.sign(message.encode('ascii')))}"


def _part(content: dict[str, Any]) -> str:
    return _b64(json.dumps(content, separators=(",", ":")).encode("ascii"))


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
