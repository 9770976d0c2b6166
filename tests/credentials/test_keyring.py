"""Key files on disk: what is loaded, what is said, and what a swap of the mount does."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from agent.config.attache import InternalTokens
from agent.credentials.keyring import KeyRing, listing, new_key
from tests.credentials.conftest import NOW

WORKLOAD = "shop/task-api"


def _ring(path: Path, **changes: Any) -> KeyRing:
    values: dict[str, Any] = {"publish_delay": 600.0, "lifetime": 300.0, "skew": 60.0} | changes
    return KeyRing(path, WORKLOAD, **values)


def _kid(ring: KeyRing, now: float) -> str:
    key = ring.signer(now)
    assert key
    return key.kid


def _aged(path: Path, at: float) -> Path:
    os.utime(path, (at, at))
    return path


def test_a_new_key_is_a_private_file_that_the_ring_takes_up(tmp_path: Path) -> None:
    path = new_key(tmp_path / "keys")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert _ring(path.parent).signer(NOW) is not None
    assert _ring(path).signer(NOW) is not None  # one file serves as well as a folder


def test_names_of_new_keys_sort_by_age(tmp_path: Path) -> None:
    made = [new_key(tmp_path) for _ in range(5)]
    assert sorted(made) == made


def test_the_published_key_names_its_owner_and_is_called_by_its_thumbprint(tmp_path: Path) -> None:
    new_key(tmp_path)
    (key,) = _ring(tmp_path).jwks(NOW)["keys"]
    assert {name: key[name] for name in ("kty", "crv", "alg", "use", "workload")} == {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "workload": WORKLOAD,
    }
    # RFC 7638 §3, written out
    text = f'{{"crv":"P-256","kty":"EC","x":"{key["x"]}","y":"{key["y"]}"}}'
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    assert key["kid"] == digest.rstrip(b"=").decode()
    assert "d" not in key


def test_a_signature_is_verified_by_the_published_key(tmp_path: Path) -> None:
    new_key(tmp_path)
    ring = _ring(tmp_path)
    key = ring.signer(NOW)
    assert key
    signature = key.sign(b"message")
    (jwk,) = ring.jwks(NOW)["keys"]
    x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "==")) for name in "xy")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    der = encode_dss_signature(
        int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    )
    public.verify(der, b"message", ec.ECDSA(SHA256()))
    assert len(signature) == 64


@pytest.mark.must(33)
def test_a_rotation_on_disk_needs_no_restart(tmp_path: Path) -> None:
    old = _aged(new_key(tmp_path), NOW - 9_000)
    ring = _ring(tmp_path)
    first = _kid(ring, NOW)
    new_key(tmp_path)
    assert _kid(ring, NOW + 10) == first
    assert len(ring.jwks(NOW + 10)["keys"]) == 2
    second = _kid(ring, NOW + 610)
    assert second != first
    old.unlink()
    assert {key["kid"] for key in ring.jwks(NOW + 620)["keys"]} == {first, second}
    assert {key["kid"] for key in ring.jwks(NOW + 979)["keys"]} == {first, second}
    assert {key["kid"] for key in ring.jwks(NOW + 982)["keys"]} == {second}


def test_a_swap_of_the_mount_is_seen(tmp_path: Path) -> None:
    """Kubernetes swaps the link `..data`; the names in the folder lead through it."""
    for name in ("..one", "..two"):
        _aged(new_key(tmp_path / name), NOW - 9_000).rename(tmp_path / name / "key.pem")
    data = tmp_path / "..data"
    data.symlink_to("..one")
    (tmp_path / "key.pem").symlink_to("..data/key.pem")
    ring = _ring(tmp_path)
    before = _kid(ring, NOW)
    (tmp_path / "..tmp").symlink_to("..two")
    (tmp_path / "..tmp").rename(data)
    after = _kid(ring, NOW + 10)
    assert after != before
    assert {key["kid"] for key in ring.jwks(NOW + 10)["keys"]} == {before, after}


def _pem(private: Any, encryption: Any = None) -> bytes:
    pem: bytes = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    )
    return pem


BAD = {
    "garbage": b"no key at all",
    "empty": b"",
    "curve": _pem(ec.generate_private_key(ec.SECP384R1())),
    "rsa": _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "encrypted": _pem(
        ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"password")
    ),
    "large": b"-" * 20_000,
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_key_is_named_and_the_others_go_on(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    new_key(tmp_path)
    (tmp_path / f"{name}.pem").write_bytes(BAD[name])
    with caplog.at_level(logging.DEBUG):
        assert _ring(tmp_path).signer(NOW) is not None
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 1
    assert f"{name}.pem is not used: " in said[0]
    assert ";" in said[0]  # what is wrong; what to do


def test_a_bad_file_is_said_once_not_at_each_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_key(tmp_path)
    (tmp_path / "bad.pem").write_bytes(b"garbage")
    ring = _ring(tmp_path)
    for second in range(0, 100, 5):
        ring.refresh(NOW + second)
    assert caplog.text.count("bad.pem is not used") == 1


@pytest.mark.must(33, 35)
def test_the_last_keys_stay_when_the_folder_is_emptied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = new_key(tmp_path)
    ring = _ring(tmp_path)
    kid = _kid(ring, NOW)
    path.write_bytes(b"")
    assert _kid(ring, NOW + 10) == kid
    path.unlink()
    assert _kid(ring, NOW + 100_000) == kid
    assert [key["kid"] for key in ring.jwks(NOW + 200_000)["keys"]] == [kid]
    assert "the last ones stay in use" in caplog.text


def test_a_folder_without_keys_says_how_to_make_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = _ring(tmp_path / "nowhere")
    assert ring.signer(NOW) is None
    assert "attache keys new" in caplog.text
    new_key(tmp_path / "nowhere")
    assert ring.signer(NOW + 10) is not None


@pytest.mark.must(33)
def test_a_reload_forgets_no_key_that_was_removed_before_it(tmp_path: Path) -> None:
    old = _aged(new_key(tmp_path), NOW - 9_000)
    ring = _ring(tmp_path)
    gone = _kid(ring, NOW)
    new_key(tmp_path)
    ring.refresh(NOW + 10)
    old.unlink()
    ring.refresh(NOW + 20)
    successor = _ring(tmp_path, lifetime=60.0, previous=ring)
    assert gone in {key["kid"] for key in successor.jwks(NOW + 300)["keys"]}


def test_the_listing_says_what_each_key_does(tmp_path: Path) -> None:
    _aged(new_key(tmp_path), NOW - 7200)
    _aged(new_key(tmp_path), NOW - 300)
    tokens = InternalTokens.model_validate(
        {"issuer": "https://i", "trustDomain": "d", "keys": str(tmp_path)}
    )
    rows = listing(tokens, NOW)
    assert [(age, state) for _, _, age, state in rows] == [
        ("2h", "signs"),
        ("5m", "published, may sign in 5m"),
    ]


@pytest.mark.must(45)
def test_no_private_number_shows_in_a_repr_or_the_status(tmp_path: Path) -> None:
    path = new_key(tmp_path)
    ring = _ring(tmp_path)
    key = ring.signer(NOW)
    shown = repr(key) + json.dumps(ring.status(NOW)) + json.dumps(ring.jwks(NOW)) + repr(ring)
    secret = path.read_text().splitlines()[1]
    assert key is not None
    private = key.private.private_numbers().private_value
    scalar = base64.urlsafe_b64encode(private.to_bytes(32, "big")).rstrip(b"=").decode()
    assert secret not in shown
    assert scalar not in shown
