"""What we sign to prove ourselves, judged by PyJWT: other hands than those that signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from agent.credentials.assertion import LIFE, AssertionKey, assertion, load
from agent.credentials.proof import Unproven

NOW = 1_800_000_000.75
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = {name: ec.generate_private_key(curve) for name, curve in (
    ("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1()),
)}  # fmt: skip
ED = ed25519.Ed25519PrivateKey.generate()


def write(folder: Path, key: Any, encryption: Any = None) -> Path:
    path = folder / "key.pem"
    how = encryption or NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    return path


@pytest.mark.parametrize(
    ("key", "written", "algorithm"),
    [
        (RSA, None, "RS256"),
        *((RSA, name, name) for name in ("RS384", "RS512", "PS256", "PS384", "PS512")),
        *((key, None, name) for name, key in EC.items()),
        (EC["ES256"], "ES256", "ES256"),
        (ED, None, "EdDSA"),
        (ED, "EdDSA", "EdDSA"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_key_or_the_operator_says_the_algorithm(
    tmp_path: Path, key: Any, written: str | None, algorithm: str
) -> None:
    loaded = load(write(tmp_path, key), written)
    assert isinstance(loaded, AssertionKey)
    made = assertion(loaded, "us", "https://sso.example/t", NOW, "id-1", "kid-1")
    assert jwt.get_unverified_header(made) == {"alg": algorithm, "typ": "JWT", "kid": "kid-1"}
    claims = jwt.decode(
        made,
        key.public_key(),
        algorithms=[algorithm],
        audience="https://sso.example/t",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == {
        "iss": "us",
        "sub": "us",
        "aud": "https://sso.example/t",
        "jti": "id-1",
        "iat": int(NOW),
        "exp": int(NOW) + LIFE,
    }
    assert LIFE <= 300


def test_without_a_key_id_none_is_said(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, ED), None)
    assert isinstance(loaded, AssertionKey)
    made = assertion(loaded, "us", "a", NOW, "id", None)
    assert "kid" not in jwt.get_unverified_header(made)


@pytest.mark.parametrize(
    ("key", "written"),
    [
        (RSA, "ES256"),
        (RSA, "EdDSA"),
        (EC["ES256"], "ES384"),
        (EC["ES384"], "RS256"),
        (ED, "ES256"),
        (ed448.Ed448PrivateKey.generate(), None),
        (ec.generate_private_key(ec.SECP256K1()), None),
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), None),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_key_that_does_not_fit_is_no_proof(tmp_path: Path, key: Any, written: str | None) -> None:
    path = write(tmp_path, key)
    found = load(path, written)
    assert isinstance(found, Unproven)
    assert str(path) in found.sentence


@pytest.mark.must(45)
def test_a_broken_file_is_a_sentence_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n")
    broken = load(path, None)
    locked = load(write(tmp_path, RSA, BestAvailableEncryption(b"x")), None)
    missing = load(tmp_path / "absent.pem", None)
    for found in (broken, locked, missing):
        assert isinstance(found, Unproven)
        assert "canary" not in found.sentence
        assert "reread within 5 s" in found.sentence


def test_neither_the_key_nor_how_it_signs_is_shown(tmp_path: Path) -> None:
    assert repr(load(write(tmp_path, ED), None)) == "AssertionKey(algorithm='EdDSA')"
