"""Keys as other people's documents hold them: malformed, mismatched, weak, private (RFC 7517)."""

import base64
import datetime
import json
import math
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.identity.jwk import VerificationKey, read_key
from agent.identity.keys import KeySet, read_keys
from agent.identity.signature import CHECKS
from agent.identity.unusable import Unusable
from vectors.ring import Ring, b64, number

ALL = tuple(CHECKS)


def refused(jwk: dict[str, Any]) -> str:
    """Our sentence about a key; empty where it is taken."""
    found = read_key(jwk, ALL)
    assert isinstance(found, Unusable | VerificationKey)
    return found.sentence if isinstance(found, Unusable) else ""


def modulus(ring: Ring) -> int:
    found: int = ring.keys["rsa"].public_key().public_numbers().n
    return found


@pytest.mark.must(12)
@pytest.mark.parametrize(
    ("e", "good"),
    [
        (3, True),
        (17, True),
        (65537, True),
        (2**32 - 1, True),
        (0, False),
        (1, False),
        (2, False),
        (4, False),
        (65536, False),
        (2**32, False),
        (2**2048 - 1, False),
    ],
)
def test_an_rsa_exponent_is_odd_and_small(ring: Ring, e: int, good: bool) -> None:
    said = number(e) or "AA"
    assert (not refused(ring.jwk("rsa", e=said))) is good


@pytest.mark.must(12)
@pytest.mark.parametrize("bits", [0, 1, 8, 512, 1024, 2040, 2047, 8193, 16_384, 100_000])
def test_an_rsa_modulus_has_a_sane_length(ring: Ring, bits: int) -> None:
    n = (1 << bits) - 1 if bits else 0
    assert "bits" in refused(ring.jwk("rsa", n=number(n) or "AA"))


@pytest.mark.must(12)
@pytest.mark.parametrize("factor", [2, 3, 5, 7, 101, 167])
def test_an_rsa_modulus_has_no_small_factor(ring: Ring, factor: int) -> None:
    n = modulus(ring) * factor
    assert math.gcd(n, factor) == factor
    assert refused(ring.jwk("rsa", n=number(n))) == "its modulus has a small factor"


def test_a_leading_zero_byte_changes_no_number(ring: Ring) -> None:
    """RFC 7518 §2 forbids it and Java's BigInteger writes it; it is the same key either way."""
    plain = read_key(ring.jwk("rsa"), ALL)
    padded = ring.jwk("rsa", n=number(modulus(ring), 257), e=number(65537, 4))
    assert isinstance(plain, VerificationKey)
    assert read_key(padded, ALL) == plain


@pytest.mark.must(12)
@pytest.mark.parametrize("name", ["n", "e"])
@pytest.mark.parametrize(
    "value", [None, "", 65537, True, [], {}, "AQAB=", "AQAB\n", " AQAB", "AQ+B", "AQ/B", "AQABA"]
)
def test_an_rsa_number_is_base64url(ring: Ring, name: str, value: Any) -> None:
    assert refused(ring.jwk("rsa") | {name: value})


P = 2**256 - 2**224 + 2**192 + 2**96 - 1  # of P-256


def points(ring: Ring) -> dict[str, dict[str, str]]:
    point = ring.keys["ec256"].public_key().public_numbers()
    x, y = point.x, point.y
    return {
        "at infinity": {"x": number(0, 32), "y": number(0, 32)},
        "y off by one": {"x": number(x, 32), "y": number((y + 1) % P, 32)},
        "x and y swapped": {"x": number(y, 32), "y": number(x, 32)},
        "x not reduced": {"x": b64(b"\xff" * 32), "y": number(y, 32)},
        "x is p": {"x": number(P, 32), "y": number(y, 32)},
        "y is p": {"x": number(x, 32), "y": number(P, 32)},
        "a longer x": {"x": number(x, 33), "y": number(y, 32)},
        "longer numbers": {"x": number(x, 48), "y": number(y, 48)},
        "shorter numbers": {"x": number(x, 32)[:-2], "y": number(y, 32)[:-2]},
        "compressed": {"x": b64(bytes([2 + y % 2]) + x.to_bytes(32, "big")), "y": ""},
        "uncompressed in x": {"x": b64(b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big"))},
        "of P-384": {"x": number(x, 48), "y": number(y, 48), "crv": "P-384"},
        "of P-521": {"crv": "P-521"},
        "of secp256k1": {"crv": "secp256k1"},
        "of P-256K": {"crv": "P-256K"},
        "of a lower case curve": {"crv": "p-256"},
        "of an OID": {"crv": "1.2.840.10045.3.1.7"},
        "of Ed25519": {"crv": "Ed25519"},
        "of explicit parameters": {"crv": "", "a": "AA", "b": "AA", "g": "AA"},
    }


@pytest.mark.must(2, 12)
def test_a_point_that_is_not_on_its_curve_is_refused(ring: Ring) -> None:
    """CVE-2017-16007 and others: points of another curve."""
    assert not refused(ring.jwk("ec256"))
    for name, members in points(ring).items():
        assert refused(ring.jwk("ec256", **members)), name


@pytest.mark.must(12)
@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("rsa", {"kty": "EC"}),
        ("rsa", {"kty": "OKP"}),
        ("rsa", {"kty": "oct"}),
        ("rsa", {"kty": "RSA "}),
        ("rsa", {"kty": ""}),
        ("ec256", {"kty": "RSA"}),
        ("ec256", {"kty": "OKP"}),
        ("ec256", {"kty": "ec"}),
        ("ed", {"kty": "EC"}),
        ("ed", {"kty": "okp"}),
        ("ed", {"crv": "Ed448"}),
        ("ed", {"crv": "ed25519"}),
        ("ed", {"crv": "X25519"}),
        ("ed", {"crv": "X448"}),
        ("ed", {"alg": "ES256"}),
        ("ed", {"alg": "ECDH-ES"}),
        ("ec256", {"alg": "ES384"}),
        ("ec256", {"alg": "ES256K"}),
        ("ec256", {"alg": "ECDH-ES"}),
        ("rsa", {"alg": "HS256"}),
        ("rsa", {"alg": "none"}),
        ("rsa", {"alg": "RSA-OAEP-256"}),
        ("rsa", {"alg": ["RS256"]}),
        ("rsa", {"alg": ""}),
        ("rsa", {"use": "enc"}),
        ("rsa", {"use": "SIG"}),
        ("rsa", {"use": ""}),
        ("rsa", {"use": ["sig"]}),
        ("rsa", {"use": "sig enc"}),
        ("rsa", {"key_ops": []}),
        ("rsa", {"key_ops": ["sign"]}),
        ("rsa", {"key_ops": ["encrypt"]}),
        ("rsa", {"key_ops": ["Verify"]}),
        ("rsa", {"key_ops": "verify"}),
        ("rsa", {"key_ops": {"verify": True}}),
        ("rsa", {"key_ops": ["verify", "verify"]}),  # RFC 7517 §4.3
        ("rsa", {"use": "enc", "key_ops": ["verify"]}),
        ("rsa", {"use": "sig", "key_ops": ["encrypt"]}),
    ],
    ids=str,
)
def test_a_key_that_contradicts_itself_is_refused(
    ring: Ring, name: str, members: dict[str, Any]
) -> None:
    assert not refused(ring.jwk(name))
    assert refused(ring.jwk(name, **members))


@pytest.mark.must(2, 12)
@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("value", ["AQAB", "", None, []], ids=str)
def test_a_key_whose_secret_is_published_is_nobodys(ring: Ring, member: str, value: Any) -> None:
    for name in ("rsa", "ec256", "ed"):
        assert refused(ring.jwk(name) | {member: value}) == "it is a private or symmetric key"


@pytest.mark.must(2, 12)
@pytest.mark.parametrize("alg", ["HS256", "RS256", None, "dir", "A128KW"])
def test_a_symmetric_key_verifies_nothing(alg: str | None) -> None:
    jwk = {"kty": "oct", "kid": "k", "k": b64(bytes(64)), "use": "sig"}
    assert refused(jwk | ({"alg": alg} if alg else {}))
    assert refused({"kty": "oct", "kid": "k", "use": "sig"})


@pytest.mark.must(2, 12)
@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 1, 2**256 - 1], ids=hex)
def test_an_ed25519_key_of_small_order_is_refused(ring: Ring, y: int) -> None:
    assert refused(ring.jwk("ed", x=b64(y.to_bytes(32, "little"))))


def test_an_ed448_key_is_taken_and_its_weak_ones_are_not() -> None:
    raw = ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()
    jwk = {"kty": "OKP", "kid": "k", "crv": "Ed448", "use": "sig"}
    assert not refused(jwk | {"x": b64(raw)})
    for weak in (bytes(57), b"\1" + bytes(56), b"\xff" * 57, bytes(56), raw[:-1], raw + b"\0"):
        assert refused(jwk | {"x": b64(weak)})


def certificate(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "op.example")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1)
    made = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    signer = ec.generate_private_key(ec.SECP256R1())
    raw = made.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)
    return base64.b64encode(raw).decode()


@pytest.mark.must(3)
def test_a_key_beside_the_certificate_of_another_is_refused(ring: Ring) -> None:
    """RFC 7517 §4.7."""
    own, other = certificate(ring.keys["rsa"]), certificate(ring.keys["rsa-b"])
    elliptic = certificate(ring.keys["ec256"])
    assert not refused(ring.jwk("rsa", x5c=[own]))
    assert not refused(ring.jwk("rsa", x5c=[own, other]))
    assert not refused(ring.jwk("ec256", x5c=[elliptic]))
    for chain in ([other], [other, own], [elliptic]):
        assert refused(ring.jwk("rsa", x5c=chain)) == "its x5c is the certificate of another key"


@pytest.mark.parametrize("x5c", [[], [""], ["AAAA"], ["not base64"], "AAAA", [1], {}, None, 1])
def test_a_certificate_that_cannot_be_read_is_not_looked_at(ring: Ring, x5c: Any) -> None:
    """We never trust a certificate; issuers write odd ones."""
    assert not refused(ring.jwk("rsa") | {"x5c": x5c, "x5t": "AAAA", "x5u": "https://evil.example"})


@pytest.mark.must(12)
@pytest.mark.parametrize("kid", [None, 1, True, [], {}, ["rsa"]])
def test_a_key_without_a_name_is_refused(ring: Ring, kid: Any) -> None:
    assert refused(ring.jwk("rsa") | {"kid": kid}) == "it has no kid"


@pytest.mark.must(12)
def test_of_two_keys_with_one_name_neither_is_taken_in_any_order(ring: Ring) -> None:
    good, twin = ring.jwk("rsa", kid="k"), ring.jwk("rsa-b", kid="k")
    encryption, secret = ring.jwk("rsa", kid="k", use="enc"), {"kty": "oct", "kid": "k", "k": "AA"}
    for other in (twin, encryption, secret, ring.jwk("ec256", kid="k"), {"kid": "k"}):
        for pair in ((good, other), (other, good), (good, other, good)):
            found = read_keys(ring.jwks(*pair, "ed"), ALL)
            assert isinstance(found, KeySet)
            assert set(found.keys) == {"ed"}


@pytest.mark.must(35)
@pytest.mark.parametrize(
    "raw",
    [
        b'{"keys": "rsa"}',
        b'{"keys": {"0": {}}}',
        b'{"KEYS": []}',
        b'{"error": "server_error"}',
        b'"keys"',
        b'{"keys": [[{}]]}',
        b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        b"eyJhbGciOiJub25lIn0.e30.",
        b'{"keys": [' + b"[" * 50_000,
        b'{"keys": [' + b"1," * 100_000 + b"1]}",
        b'{"keys": [{"kty": "RSA", "n": "' + b"A" * 900_000 + b'", "e": "AQAB", "kid": "k"}]}',
        b'{"keys": [{"kty": "RSA", "n": ' + b"9" * 4000 + b', "e": 3, "kid": "k"}]}',
    ],
    ids=lambda raw: raw[:24].decode(),
)
def test_a_document_of_another_kind_replaces_nothing(raw: bytes) -> None:
    assert isinstance(read_keys(raw, ALL), Unusable)


def test_one_bad_key_does_not_take_the_others_down(ring: Ring) -> None:
    bad = [ring.jwk("rsa-small"), ring.jwk("ec256", y="AAAA"), {"kty": None}, {}, 1, None, "k", []]
    raw = json.dumps({"keys": [*bad, ring.jwk("ed"), *bad]}).encode()
    found = read_keys(raw, ALL)
    assert isinstance(found, KeySet)
    assert set(found.keys) == {"ed"}
