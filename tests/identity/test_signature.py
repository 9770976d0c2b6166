"""Which signatures hold (RFC 7518 §3)."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from agent.identity.signature import CHECKS, signed_by

MESSAGE = b"header.payload"
NAMES = {"RS": "rsa", "PS": "rsa", "Ed": "ed"}
CURVES = {"ES256": "ec256", "ES384": "ec384", "ES512": "ec521"}


def name_of(alg: str) -> str:
    return CURVES.get(alg) or NAMES[alg[:2]]


@pytest.mark.parametrize("alg", sorted(CHECKS))
def test_a_signature_holds_for_its_message_and_for_no_other(ring: Any, alg: str) -> None:
    public = ring.keys[name_of(alg)].public_key()
    signature = ring.sign(name_of(alg), alg, MESSAGE)
    assert signed_by(public, alg, MESSAGE, signature)
    assert not signed_by(public, alg, MESSAGE + b".", signature)
    for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature, b"\0" * 64):
        assert not signed_by(public, alg, MESSAGE, wrong)
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    assert not signed_by(public, alg, MESSAGE, flipped)


@pytest.mark.must(2)
@pytest.mark.parametrize("made_by", sorted(CHECKS))
def test_an_algorithm_verifies_its_own_signatures_only(ring: Any, made_by: str) -> None:
    public = ring.keys[name_of(made_by)].public_key()
    signature = ring.sign(name_of(made_by), made_by, MESSAGE)
    found = [alg for alg in CHECKS if signed_by(public, alg, MESSAGE, signature)]
    assert found == [made_by]


@pytest.mark.must(2)
@pytest.mark.parametrize("alg", ["none", "nOnE", "NONE", "", "HS256", "rs256", "RS1", "ES256K"])
def test_what_is_not_in_the_table_verifies_nothing(ring: Any, alg: str) -> None:
    public = ring.keys["rsa"].public_key()
    assert not signed_by(public, alg, MESSAGE, ring.sign("rsa", "RS256", MESSAGE))
    assert not signed_by(public, alg, MESSAGE, b"")


def test_an_ecdsa_signature_in_der_is_refused(ring: Any) -> None:
    key = ring.keys["ec256"]
    der = key.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    assert not signed_by(key.public_key(), "ES256", MESSAGE, der)


def test_an_ecdsa_signature_has_no_shorter_spelling(ring: Any) -> None:
    """Half of all P-521 signatures have an s that begins with a zero byte."""
    public, size = ring.keys["ec521"].public_key(), 66
    signature = next(
        made for _ in range(200) if (made := ring.sign("ec521", "ES512", MESSAGE))[size] == 0
    )
    assert signed_by(public, "ES512", MESSAGE, signature)
    shorter = signature[:size] + signature[size + 1 :]
    assert not signed_by(public, "ES512", MESSAGE, shorter)
    longer = signature[:size] + b"\0" + signature[size:]
    assert not signed_by(public, "ES512", MESSAGE, longer)


@pytest.mark.parametrize("salt", [0, 20, 31, 33, padding.PSS.MAX_LENGTH])
def test_a_pss_salt_is_as_long_as_the_digest(ring: Any, salt: Any) -> None:
    key = ring.keys["rsa"]
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    signature = key.sign(MESSAGE, pss, hashes.SHA256())
    assert not signed_by(key.public_key(), "PS256", MESSAGE, signature)
