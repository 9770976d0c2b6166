"""Is this JSON Web Key a public key that may verify tokens, and by which algorithm (RFC 7517)?"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from agent.identity.edwards import ED448, ED25519, Curve, sound
from agent.identity.jose import base64url
from agent.identity.signature import PublicKey, signed_by
from agent.identity.unusable import Unusable

MIN_RSA, MAX_RSA = 2048, 8192  # bits; the upper bound keeps one verification cheap
_CURVES: Mapping[str, tuple[ec.EllipticCurve, str]] = MappingProxyType(
    {
        "P-256": (ec.SECP256R1(), "ES256"),
        "P-384": (ec.SECP384R1(), "ES384"),
        "P-521": (ec.SECP521R1(), "ES512"),
    }
)
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key of one issuer, bound to the algorithms that it may verify.

    That is one algorithm, except for an RSA key which names none under an issuer that allows
    several RSA algorithms. `issuer` and `cloud_instance_name` are Entra's (ENTRA.md §1),
    `workload` is ours (DESIGN.md §7); each is empty where the key has no such member.
    """

    kid: str
    algorithms: frozenset[str]
    public: PublicKey = field(repr=False)
    issuer: str = ""
    cloud_instance_name: str = ""
    workload: str = ""

    def signed(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """Whether this key signed *message*; never by an algorithm that it is not bound to."""
        # RFC 8725 §3.1: the algorithm comes from the key, never from the token alone.
        return algorithm in self.algorithms and signed_by(
            self.public, algorithm, message, signature
        )


def read_key(jwk: Mapping[str, Any], allowed: Collection[str]) -> VerificationKey | Unusable:
    """Return the key that *jwk* describes, bound to what *allowed* and the key itself permit."""
    for check in (_public_only, _for_signatures, _well_formed):
        if problem := check(jwk):
            return problem
    reader = _READERS.get(jwk["kty"])
    if reader is None:
        return Unusable("its kty is not RSA, EC or OKP")
    try:
        material = reader(jwk)
    except (ValueError, UnsupportedAlgorithm):  # not on the curve, even exponent, …
        return Unusable("it is no valid public key")
    if isinstance(material, Unusable):
        return material
    public, possible = material
    if _certified_otherwise(jwk, public):
        return Unusable("its x5c is the certificate of another key")
    bound = possible & frozenset(allowed)
    if "alg" in jwk:
        bound &= {jwk["alg"]}
    if not bound:
        return Unusable("its algorithm is not one that the issuer may use")
    return VerificationKey(
        kid=jwk["kid"],
        algorithms=bound,
        public=public,
        issuer=jwk.get("issuer", ""),
        cloud_instance_name=jwk.get("cloud_instance_name", ""),
        workload=jwk.get("workload", ""),
    )


def _public_only(jwk: Mapping[str, Any]) -> Unusable | None:
    """A secret that was published is nobody's any more."""
    if any(name in jwk for name in _PRIVATE):
        return Unusable("it is a private or symmetric key")
    return None


def _for_signatures(jwk: Mapping[str, Any]) -> Unusable | None:
    """RFC 7517 §4.2, §4.3."""
    if jwk.get("use", "sig") != "sig":
        return Unusable("its use is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return Unusable("its key_ops do not include verify")
    if any(operations.count(each) > 1 for each in operations):
        return Unusable("its key_ops name one operation twice")
    return None


def _well_formed(jwk: Mapping[str, Any]) -> Unusable | None:
    for name in ("kty", "kid"):
        if not isinstance(jwk.get(name), str):
            return Unusable(f"it has no {name}")
    for name in ("alg", "issuer", "cloud_instance_name", "workload"):
        if name in jwk and not isinstance(jwk[name], str):
            return Unusable(f"its {name} is not a string")
    return None


_Material = tuple[PublicKey, frozenset[str]]


def _rsa(jwk: Mapping[str, Any]) -> _Material | Unusable:
    n, e = _octets(jwk, "n"), _octets(jwk, "e")
    if not n or not e:
        return Unusable("its n or e is not base64url")
    modulus, exponent = int.from_bytes(n), int.from_bytes(e)
    if not MIN_RSA <= modulus.bit_length() <= MAX_RSA:
        return Unusable(f"it has {modulus.bit_length()} bits, not {MIN_RSA} to {MAX_RSA}")
    if exponent < 3 or exponent.bit_length() > 32:
        return Unusable("its exponent is out of range")
    if modulus % 2 == 0 or math.gcd(modulus, _PRIMORIAL) != 1:
        return Unusable("its modulus has a small factor")
    if _roca(modulus):
        return Unusable("its primes come from a broken generator (ROCA)")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key(), _RSA_ALGORITHMS


def _ec(jwk: Mapping[str, Any]) -> _Material | Unusable:
    known = _CURVES.get(str(jwk.get("crv")))
    if known is None:
        return Unusable("its curve is not P-256, P-384 or P-521")
    curve, algorithm = known
    size = (curve.key_size + 7) // 8
    x, y = _octets(jwk, "x"), _octets(jwk, "y")
    if x is None or y is None or len(x) != size or len(y) != size:  # RFC 7518 §6.2.1.2
        return Unusable("its x or y does not have the curve's length")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve)
    return numbers.public_key(), frozenset({algorithm})


def _okp(jwk: Mapping[str, Any]) -> _Material | Unusable:
    readers: dict[str, tuple[Callable[[bytes], PublicKey], Curve]] = {
        "Ed25519": (ed25519.Ed25519PublicKey.from_public_bytes, ED25519),
        "Ed448": (ed448.Ed448PublicKey.from_public_bytes, ED448),
    }
    known = readers.get(str(jwk.get("crv")))
    if known is None:
        return Unusable("its curve is not Ed25519 or Ed448")
    reader, curve = known
    x = _octets(jwk, "x")
    if x is None:
        return Unusable("its x is not base64url")
    if not sound(x, curve):
        return Unusable("its x is no point of the curve that could be a key")
    return reader(x), frozenset({"EdDSA"})


_READERS: Mapping[str, Callable[[Mapping[str, Any]], _Material | Unusable]] = MappingProxyType(
    {"RSA": _rsa, "EC": _ec, "OKP": _okp}
)


def _octets(jwk: Mapping[str, Any], name: str) -> bytes | None:
    value = jwk.get(name)
    return base64url(value) if isinstance(value, str) else None


def _certified_otherwise(jwk: Mapping[str, Any], public: PublicKey) -> bool:
    """RFC 7517 §4.7: the first certificate's key must be this one, or readers of x5c trust another.

    The certificate itself proves nothing here; one that cannot be read is nobody's key.
    """
    chain = jwk.get("x5c")
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        return False
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))
        return certificate.public_key() != public
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return False


def _powers(prime: int) -> frozenset[int]:
    """The residues of 65537's powers modulo *prime*."""
    found, power = set(), 1
    while power not in found:
        found.add(power)
        power = power * 65537 % prime
    return frozenset(found)


_SMALL_PRIMES = [n for n in range(3, 168) if all(n % d for d in range(2, math.isqrt(n) + 1))]
_PRIMORIAL = math.prod(_SMALL_PRIMES)
_FINGERPRINT = [(prime, _powers(prime)) for prime in _SMALL_PRIMES]


def _roca(modulus: int) -> bool:
    """CVE-2017-15361: primes built from powers of 65537 leave a mark modulo each small prime."""
    return all(modulus % prime in powers for prime, powers in _FINGERPRINT)
