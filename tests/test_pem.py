"""What TLS needs, and what is none of it."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from agent.pem import wrong_authorities, wrong_pair
from demo.idp import certificates


def pair(name: str) -> tuple[bytes, bytes]:
    made = certificates.self_signed(name, time.time())
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.certificate.public_bytes(Encoding.PEM), key


@pytest.fixture(scope="module")
def ours() -> tuple[bytes, bytes]:
    return pair("ours")


@pytest.fixture(scope="module")
def other() -> tuple[bytes, bytes]:
    return pair("other")


def test_a_certificate_and_its_key_are_right_with_a_chain_and_words_around_them(
    ours: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    assert wrong_pair(*ours) == ""
    assert wrong_pair(b"issued for us\n" + ours[0] + other[0], ours[1]) == ""
    assert wrong_pair(b"".join(ours), b"".join(ours)) == ""  # one file with both
    assert wrong_authorities(ours[0] + other[0]) == ""


def test_halves_and_strangers_are_wrong(
    ours: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    certificate, key = ours
    for chain in (b"", b"x", certificate[:-30], key, b"\xff\x00"):
        assert "certificate" in wrong_pair(chain, key)
        assert "certificate" in wrong_authorities(chain)
    for half in (b"", certificate, key[:-40]):
        assert "key" in wrong_pair(certificate, half)
    assert "does not belong" in wrong_pair(certificate, other[1])
    assert "does not belong" in wrong_pair(other[0] + certificate, key)


def test_a_key_with_a_password_is_said_to_be_one() -> None:
    made = certificates.self_signed("ours", time.time())
    locked = made.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    said = wrong_pair(made.certificate.public_bytes(Encoding.PEM), locked)
    assert "without a password" in said
