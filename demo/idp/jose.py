"""What does a compact JWS say, and who signed it (RFC 7515)?"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
Claims = dict[str, Any]

# RFC 7518 §3.5: the salt of PS256 is as long as its hash.
_PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)


def b64url(octets: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    """Decode base64url with or without padding. Raises ValueError."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)


@dataclass(frozen=True, slots=True)
class Jws:
    """A token taken apart; nothing in it is proven yet."""

    header: Claims
    claims: Claims
    signing_input: bytes
    signature: bytes


def parse(token: str) -> Jws | None:
    """Take a compact JWS apart, or return None if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, claims = (json.loads(unb64url(part)) for part in parts[:2])
        signature = unb64url(parts[2])
    except (binascii.Error, ValueError):
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    return Jws(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def sign(claims: Mapping[str, Any], key: rsa.RSAPrivateKey, header: Mapping[str, Any]) -> str:
    """Sign *claims* with RS256."""
    protected = {"typ": "JWT", "alg": "RS256", **header}
    signed = ".".join(
        b64url(json.dumps(part, separators=(",", ":")).encode()) for part in (protected, claims)
    )
    return f"{signed}.{b64url(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


def proves(jws: Jws, key: PublicKey) -> bool:
    """Tell whether *key* made the signature, with an algorithm that fits the key."""
    algorithm = jws.header.get("alg")
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            if algorithm != "ES256" or len(jws.signature) != 64:
                return False
            r, s = (int.from_bytes(half) for half in (jws.signature[:32], jws.signature[32:]))
            key.verify(encode_dss_signature(r, s), jws.signing_input, ec.ECDSA(SHA256()))
            return True
        if algorithm not in ("RS256", "PS256"):
            return False
        pad = _PSS if algorithm == "PS256" else padding.PKCS1v15()
        key.verify(jws.signature, jws.signing_input, pad, SHA256())
    except InvalidSignature:
        return False
    return True


def public_jwk(key: rsa.RSAPublicKey) -> dict[str, str]:
    """Write an RSA public key as a JWK (RFC 7518 §6.3.1)."""
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}


def public_key(jwk: Mapping[str, str]) -> PublicKey:
    """Read an RSA or P-256 public key from a JWK. Raises ValueError or KeyError."""
    if jwk["kty"] == "RSA":
        return rsa.RSAPublicNumbers(_integer(jwk["e"]), _integer(jwk["n"])).public_key()
    if jwk["kty"] == "EC" and jwk.get("crv") == "P-256":
        numbers = ec.EllipticCurvePublicNumbers(
            _integer(jwk["x"]), _integer(jwk["y"]), ec.SECP256R1()
        )
        return numbers.public_key()
    raise ValueError(f"a {jwk['kty']} key is neither RSA nor P-256")


def _number(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8))


def _integer(text: str) -> int:
    return int.from_bytes(unb64url(text))
