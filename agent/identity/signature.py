"""Did the holder of this public key sign these bytes (RFC 7518 §3, RFC 8037 §3.1)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
_Check = Callable[[PublicKey, bytes, bytes], None]


def _rsa(digest: hashes.HashAlgorithm, *, pss: bool) -> _Check:
    # RFC 7518 §3.5: the salt of PS is exactly as long as the digest.
    form = padding.PSS(padding.MGF1(digest), digest.digest_size) if pss else padding.PKCS1v15()

    def check(key: PublicKey, signature: bytes, message: bytes) -> None:
        if not isinstance(key, rsa.RSAPublicKey):
            raise InvalidSignature
        key.verify(signature, message, form, digest)

    return check


def _ecdsa(curve: ec.EllipticCurve, digest: hashes.HashAlgorithm) -> _Check:
    size = (curve.key_size + 7) // 8

    def check(key: PublicKey, signature: bytes, message: bytes) -> None:
        # RFC 7518 §3.4: r || s, each as long as the curve's order; never DER.
        if (
            not isinstance(key, ec.EllipticCurvePublicKey)
            or not isinstance(key.curve, type(curve))
            or len(signature) != 2 * size
        ):
            raise InvalidSignature
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))

    return check


def _eddsa(key: PublicKey, signature: bytes, message: bytes) -> None:
    if not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        raise InvalidSignature
    key.verify(signature, message)


# SECURITY.md 2: asymmetric only. What is not in this table does not exist.
CHECKS: Mapping[str, _Check] = MappingProxyType(
    {
        "RS256": _rsa(hashes.SHA256(), pss=False),
        "RS384": _rsa(hashes.SHA384(), pss=False),
        "RS512": _rsa(hashes.SHA512(), pss=False),
        "PS256": _rsa(hashes.SHA256(), pss=True),
        "PS384": _rsa(hashes.SHA384(), pss=True),
        "PS512": _rsa(hashes.SHA512(), pss=True),
        "ES256": _ecdsa(ec.SECP256R1(), hashes.SHA256()),
        "ES384": _ecdsa(ec.SECP384R1(), hashes.SHA384()),
        "ES512": _ecdsa(ec.SECP521R1(), hashes.SHA512()),
        "EdDSA": _eddsa,
    }
)


def signed_by(key: PublicKey, algorithm: str, message: bytes, signature: bytes) -> bool:
    """Whether *signature* over *message* was made with *key*'s private half by *algorithm*."""
    check = CHECKS.get(algorithm)
    if check is None:
        return False
    try:
        check(key, signature, message)
    except (InvalidSignature, ValueError):  # ValueError: OpenSSL cannot read it at all
        return False
    return True
