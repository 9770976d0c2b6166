"""What stands in the files with which we prove ourselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from agent.credentials.proof import Proof, Unproven, certificate, federated, secret
from demo.idp import certificates

KNOWN = certificates.self_signed("task-api", 1_700_000_000)
OTHER = certificates.self_signed("other", 1_700_000_000)


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"  s3cret\r\n"])
def test_a_secret_is_the_text_of_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    proof = secret(path)
    assert isinstance(proof, Proof)
    assert proof.credential == "s3cret"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"two\nlines", b"x" * 70_000])
def test_a_file_without_a_secret_is_named_with_its_remedy(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    for read in (secret, federated):
        found = read(path)
        assert isinstance(found, Unproven)
        assert str(path) in found.sentence
        assert found.sentence.count(".") >= 2


def _pem_of_both(key_first: bool = True) -> bytes:
    key = KNOWN.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown = KNOWN.certificate.public_bytes(Encoding.PEM)
    return key + shown if key_first else shown + key


def _pfx() -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"n", KNOWN.key, KNOWN.certificate, None, NoEncryption()
    )


@pytest.mark.parametrize("content", [_pem_of_both(), _pem_of_both(False), _pfx()])
def test_a_certificate_comes_with_its_key_as_pem_or_pfx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "certificate"
    path.write_bytes(content)
    proof = certificate(path)
    assert isinstance(proof, Proof)
    assert isinstance(proof.credential, dict)
    assert set(proof.credential) == {"private_key", "public_certificate"}


_EC = ec.generate_private_key(ec.SECP256R1())
BAD = [
    b"",
    b"garbage",
    KNOWN.certificate.public_bytes(Encoding.PEM),
    KNOWN.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    _EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    + KNOWN.certificate.public_bytes(Encoding.PEM),
    KNOWN.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    + OTHER.certificate.public_bytes(Encoding.PEM),
]


@pytest.mark.parametrize("content", BAD)
def test_a_file_without_key_and_certificate_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "certificate"
    path.write_bytes(content)
    found = certificate(path)
    assert isinstance(found, Unproven)
    assert str(path) in found.sentence


@pytest.mark.must(45)
def test_a_proof_shows_nothing_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("canary")
    assert "canary" not in repr(secret(path)) + repr(federated(path))
