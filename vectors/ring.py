"""Who signs what is thrown? Private keys and an issuer's craft, written apart from the agent."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_USUAL = {"rsa": "RS256", "ec2": "ES256", "ec3": "ES384", "ec5": "ES512"}


def b64(raw: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    """An unsigned big-endian number, of *size* bytes or as short as it goes (RFC 7518 §2)."""
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class Ring:
    """Private keys by name, and what an issuer does with them."""

    keys: Mapping[str, Any]

    @classmethod
    def new(cls) -> Ring:
        """rsa, rsa-b, rsa-small (1024 bits), ec256, ec256-b, ec384, ec521, ed."""
        return cls(
            {
                "rsa": rsa.generate_private_key(65537, 2048),
                "rsa-b": rsa.generate_private_key(65537, 2048),
                "rsa-small": rsa.generate_private_key(65537, 1024),
                "ec256": ec.generate_private_key(ec.SECP256R1()),
                "ec256-b": ec.generate_private_key(ec.SECP256R1()),
                "ec384": ec.generate_private_key(ec.SECP384R1()),
                "ec521": ec.generate_private_key(ec.SECP521R1()),
                "ed": ed25519.Ed25519PrivateKey.generate(),
            }
        )

    def jwk(self, name: str, **members: Any) -> dict[str, Any]:
        """The public JWK of a key; a member that is None is left out."""
        jwk = public_jwk(self.keys[name].public_key()) | {"kid": name, "use": "sig"} | members
        return {member: value for member, value in jwk.items() if value is not None}

    def jwks(self, *jwks: dict[str, Any] | str) -> bytes:
        """A keys document of these."""
        named = [self.jwk(jwk) if isinstance(jwk, str) else jwk for jwk in jwks]
        return json.dumps({"keys": named}).encode()

    def sign(self, name: str, alg: str, message: bytes) -> bytes:
        """The signature as RFC 7518 §3 writes it."""
        key = self.keys[name]
        if alg == "EdDSA":
            return bytes(key.sign(message))
        digest = _HASHES[alg[2:]]
        if alg[:2] == "RS":
            return bytes(key.sign(message, padding.PKCS1v15(), digest))
        if alg[:2] == "PS":
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return bytes(key.sign(message, pss, digest))
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def seal(self, name: str, alg: str, header: bytes, payload: bytes) -> str:
        """A compact JWS over exactly these bytes."""
        message = f"{b64(header)}.{b64(payload)}"
        return f"{message}.{b64(self.sign(name, alg, message.encode()))}"

    def mint(self, name: str, claims: Mapping[str, Any], alg: str = "", **header: Any) -> str:
        """A JWT; a header member or claim that is None is left out."""
        alg = alg or _USUAL.get(name[:3], "EdDSA")
        members = {"alg": alg, "kid": name, "typ": "JWT"} | header
        kept = {member: value for member, value in members.items() if value is not None}
        said = {claim: value for claim, value in claims.items() if value is not None}
        return self.seal(name, alg, json.dumps(kept).encode(), json.dumps(said).encode())


def public_jwk(public: Any) -> dict[str, Any]:
    """The JWK of an RSA, EC or Ed25519 public key, without kid and use."""
    if isinstance(public, rsa.RSAPublicKey):
        rsa_numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(rsa_numbers.n), "e": number(rsa_numbers.e)}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point, size = public.public_numbers(), (public.curve.key_size + 7) // 8
        crv = f"P-{public.curve.key_size}"
        return {"kty": "EC", "crv": crv, "x": number(point.x, size), "y": number(point.y, size)}
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
