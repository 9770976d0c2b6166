"""With what is a test's token signed? A throw-away key that stands in for its issuer's."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

KID = "attache-test"


@dataclass(frozen=True, slots=True)
class Signer:
    """One key pair and the algorithm that it signs by."""

    algorithm: str
    sign: Callable[[bytes], bytes]
    public: Mapping[str, str]

    def jwks(self, kid: str, workload: str = "") -> bytes:
        """The keys document that an issuer with this key would publish."""
        jwk = {**self.public, "kid": kid, "use": "sig", "alg": self.algorithm}
        return json.dumps({"keys": [jwk | ({"workload": workload} if workload else {})]}).encode()

    def token(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """A compact JWS; members of *header* that are None are left out."""
        whole = {"alg": self.algorithm, "kid": KID, "typ": "JWT", **header}
        head = {name: value for name, value in whole.items() if value is not None}
        text = f"{_b64(_json(head))}.{_b64(_json(claims))}"
        return f"{text}.{_b64(self.sign(text.encode()))}"


def signer_for(algorithms: Sequence[str]) -> Signer:
    """A key of the cheapest kind that *algorithms* allow; the same one each time."""
    cheapest = sorted(algorithms, key=lambda name: not name.startswith("E"))
    return _signer(cheapest[0])


@cache
def _signer(algorithm: str) -> Signer:
    if algorithm == "EdDSA":
        return _ed25519()
    return _ecdsa(algorithm) if algorithm.startswith("ES") else _rsa(algorithm)


_DIGESTS: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: Mapping[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}


def _ed25519() -> Signer:
    private = ed25519.Ed25519PrivateKey.generate()
    x = _b64(private.public_key().public_bytes_raw())
    return Signer("EdDSA", private.sign, {"kty": "OKP", "crv": "Ed25519", "x": x})


def _ecdsa(algorithm: str) -> Signer:
    name, curve = _CURVES[algorithm]
    private = ec.generate_private_key(curve)
    size = (curve.key_size + 7) // 8
    digest = _DIGESTS[algorithm[-3:]]

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    point = private.public_key().public_numbers()
    x, y = (_b64(number.to_bytes(size, "big")) for number in (point.x, point.y))
    return Signer(algorithm, sign, {"kty": "EC", "crv": name, "x": x, "y": y})


def _rsa(algorithm: str) -> Signer:
    private = rsa.generate_private_key(65537, 2048)
    digest = _DIGESTS[algorithm[-3:]]
    form: padding.AsymmetricPadding = padding.PKCS1v15()
    if algorithm.startswith("PS"):
        form = padding.PSS(padding.MGF1(digest), digest.digest_size)  # RFC 7518 §3.5
    numbers = private.public_key().public_numbers()
    n, e = (_b64(number.to_bytes(size, "big")) for number, size in ((numbers.n, 256), (65537, 3)))
    return Signer(
        algorithm, lambda text: private.sign(text, form, digest), {"kty": "RSA", "n": n, "e": e}
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
