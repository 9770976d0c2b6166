"""Where are our signing keys? A folder of PEM files (or one file), reread when it changes."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
import stat
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agent.config.attache import InternalTokens
from agent.credentials.rotation import Ring, merge, published, signer

log = logging.getLogger("attache.keys")

_ES256 = ECDSA(SHA256())  # RFC 7518 §3.4
LOOK = 2.0  # seconds between two looks at the files
_MAX_FILE = 16 * 1024
_MAX_KEYS = 64

# Who may see a file by name, so that a change shows: name, inode, times, size, mode.
_Signature = tuple[tuple[str, int, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One P-256 key. `kid` is its thumbprint (RFC 7638)."""

    kid: str
    private: EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def of(cls, private: EllipticCurvePrivateKey) -> SigningKey:
        """Name *private* by its public half."""
        # RFC 7638 §3.2: the required members in this order, without white space
        canonical = json.dumps(_public(private), sort_keys=True, separators=(",", ":"))
        return cls(_b64(hashlib.sha256(canonical.encode()).digest()), private)

    def sign(self, message: bytes) -> bytes:
        """The ES256 signature of *message*: r and s, 32 bytes each (RFC 7518 §3.4)."""
        r, s = decode_dss_signature(self.private.sign(message, _ES256))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def jwk(self, workload: str) -> dict[str, str]:
        """The public key as published; `workload` is its owner (DESIGN.md §7)."""
        return _public(self.private) | {
            "alg": "ES256",
            "use": "sig",
            "kid": self.kid,
            "workload": workload,
        }


class KeyRing:
    """Our keys, kept in step with their files.

    `refresh` is called by a clocked loop; a signature that comes long after the last look looks
    itself. *previous* hands over what it knows, when a reload makes a new ring for the same files.
    """

    def __init__(
        self,
        path: Path,
        workload: str,
        *,
        publish_delay: float,
        lifetime: float,
        skew: float,
        previous: KeyRing | None = None,
    ) -> None:
        self.path = path
        self._workload = workload
        self._publish_delay = publish_delay
        self._lifetime = lifetime
        self._skew = skew
        self._lock = threading.Lock()
        self._checked = float("-inf")
        self._signature: _Signature | None = None
        self._ring: Ring = ()
        self._keys: dict[str, SigningKey] = {}
        if previous is not None and previous.path == path:
            with previous._lock:
                self._ring, self._keys = previous._ring, dict(previous._keys)
            # What the ring before us signed may outlive our own lifetime.
            self._lifetime = max(lifetime, previous._lifetime)

    def signer(self, now: float) -> SigningKey | None:
        """The key that signs at *now*; None only if there never was one."""
        if now - self._checked >= 2 * LOOK:  # the loop does not run, or stands still
            self.refresh(now)
        key = signer(self._ring, now, self._publish_delay)
        return self._keys.get(key.kid) if key else None

    def jwks(self, now: float) -> dict[str, Any]:
        """Our part of the trust domain's key document (RFC 7517 §5)."""
        if now - self._checked >= LOOK:
            self.refresh(now)
        shown = published(self._ring, now, self._lifetime, self._skew)
        keys = self._keys
        return {"keys": [keys[key.kid].jwk(self._workload) for key in shown if key.kid in keys]}

    def status(self, now: float) -> list[dict[str, Any]]:
        """One row for each key: what it does, and for how long it has been published."""
        signing = signer(self._ring, now, self._publish_delay)
        return [
            {
                "kid": key.kid,
                "file": key.name,
                "ageSeconds": round(now - key.since),
                "state": "removed"
                if key.removed is not None
                else ("signs" if signing and key.kid == signing.kid else "published"),
            }
            for key in published(self._ring, now, self._lifetime, self._skew)
        ]

    def refresh(self, now: float) -> None:
        """Look at the files, at most every `LOOK` seconds; one thread looks, the others go on."""
        if now - self._checked < LOOK and self._signature is not None:
            return
        if not self._lock.acquire(blocking=self._signature is None):
            return
        try:
            self._look(now)
        finally:
            self._lock.release()

    def _look(self, now: float) -> None:
        self._checked = now
        ring = published(self._ring, now, self._lifetime, self._skew)
        signature = _signature(self.path)
        if signature != self._signature:
            self._signature = signature
            found = _load(self.path)
            if not found and ring:
                log.error("no signing key is left in %s; the last ones stay in use", self.path)
            elif not found:
                log.error(
                    "no signing key is in %s; make one with `attache keys new %s`",
                    self.path,
                    self.path,
                )
            times = {kid: (name, time) for kid, (name, time, _) in found.items()}
            before = {key.kid for key in ring}
            ring = merge(ring, times, now)
            keys = {**self._keys, **{kid: key for kid, (_, _, key) in found.items()}}
            self._keys = {key.kid: keys[key.kid] for key in ring}
            for kid in sorted({key.kid for key in ring} - before):
                log.info("signing key %s from %s is published", kid, times[kid][0])
        self._ring = ring


def new_key(folder: Path) -> Path:
    """Make a P-256 key in *folder*, readable by its owner only; return its file.

    The file appears whole or not at all. Its name begins with the time, so that names sort by age.
    Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = generate_private_key(SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # A leading dot: a running agent does not look at it before it is complete.
    unfinished = folder / f".{secrets.token_hex(8)}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
            made = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        kid = SigningKey.of(private).kid
        path = folder / f"{made:%Y%m%dT%H%M%S.%fZ}-{kid[:8]}.pem"
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    return path


def listing(tokens: InternalTokens, now: float) -> list[tuple[str, str, str, str]]:
    """Rows of `attache keys list`: key id, file, age, state; as an agent started now sees them."""
    found = _load(tokens.keys)
    ring = merge((), {kid: (name, time) for kid, (name, time, _) in found.items()}, now)
    signing = signer(ring, now, tokens.publish_delay)
    rows = []
    for key in sorted(ring, key=lambda key: (key.since, key.name)):
        waits = key.since + tokens.publish_delay - now
        state = "published" if waits <= 0 else f"published, may sign in {_duration(waits)}"
        if signing and key.kid == signing.kid:
            state = "signs"
        rows.append((key.kid, key.name, _duration(now - key.since), state))
    return rows


def _load(path: Path) -> dict[str, tuple[str, float, SigningKey]]:
    """kid → (file name, its time, key). What cannot be used is said, the others go on."""
    found: dict[str, tuple[str, float, SigningKey]] = {}
    for file in _files(path):
        try:
            with file.open("rb") as opened:
                content = opened.read(_MAX_FILE + 1)
                time = os.fstat(opened.fileno()).st_mtime
        except OSError as error:
            log.error(  # noqa: TRY400 - the sentence says it all
                "signing key %s cannot be read (%s); make it readable for this process",
                file,
                error.strerror,
            )
            continue
        key = _parse(content)
        if isinstance(key, str):
            log.error("signing key %s is not used: %s", file, key)
        elif len(found) >= _MAX_KEYS:
            log.error("signing key %s is not used: there are more than %d", file, _MAX_KEYS)
        else:
            found.setdefault(key.kid, (file.name, time, key))
    return found


def _parse(content: bytes) -> SigningKey | str:
    if len(content) > _MAX_FILE:
        return "it is larger than 16 KiB; remove it from the folder"
    try:
        private = load_pem_private_key(content, None)
    except TypeError:
        return "it is encrypted; store the key without a password"
    except ValueError:
        return "it is no PEM private key; remove it, or replace it by `attache keys new`"
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
        return "it is no P-256 key, which ES256 needs; replace it by `attache keys new`"
    return SigningKey.of(private)


def _files(path: Path) -> list[Path]:
    """The key files by name; names with a leading dot are Kubernetes' own (`..data`)."""
    try:
        if not path.is_dir():
            return [path]
        return sorted(
            file for file in path.iterdir() if not file.name.startswith(".") and not file.is_dir()
        )
    except OSError:
        return []


def _signature(path: Path) -> _Signature:
    """What changes when the files do, a swapped `..data` link included: stat follows links."""
    rows = []
    for file in _files(path):
        try:
            at = file.stat()
        except OSError:
            rows.append((file.name, 0, 0, 0, 0, 0))
            continue
        mode = stat.S_IMODE(at.st_mode)
        rows.append((file.name, at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size, mode))
    return tuple(rows)


def _public(private: EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _b64(numbers.x.to_bytes(32, "big")),
        "y": _b64(numbers.y.to_bytes(32, "big")),
    }


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
