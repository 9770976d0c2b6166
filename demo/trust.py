"""Which key belongs to which workload? The trust domain's key document, and the private keys."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_DAY = 86_400.0


def lay_out(workloads: Iterable[str], keys: Path, document: Path) -> None:
    """Write a private key for each workload (`keys/NAME/`), and all public ones to *document*.

    The files look a day old: a key signs once everybody had time to learn of it.
    """
    public = []
    for workload in workloads:
        key = ec.generate_private_key(ec.SECP256R1())
        folder = keys / workload.rpartition("/")[2]
        folder.mkdir(parents=True, mode=0o700)
        file = folder / "signing.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(pem)
        yesterday = time.time() - _DAY
        os.utime(file, (yesterday, yesterday))
        public.append({**public_jwk(key.public_key()), "workload": workload})
    document.write_text(json.dumps({"keys": public}, indent=2))


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The public key as a JWK whose `kid` is its thumbprint (RFC 7638 §3)."""
    numbers = key.public_numbers()
    required = {
        "crv": "P-256",
        "kty": "EC",
        "x": _b64(numbers.x.to_bytes(32, "big")),
        "y": _b64(numbers.y.to_bytes(32, "big")),
    }
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True).encode()
    kid = _b64(hashlib.sha256(canonical).digest())
    return {**required, "kid": kid, "use": "sig", "alg": "ES256"}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
