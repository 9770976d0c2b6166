"""How is a record kept from whoever reads the store? AES-256-GCM with keys from a mounted file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAGIC = b"attache-sealed-1\n"
_ID, _NONCE = 8, 12  # bytes
_HEX = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_MAX_FILE, _MAX_KEYS = 64 * 1024, 64


class Unsealable(Exception):
    """The content cannot be opened, or there is no key; the text is a sentence with a remedy."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of 32 bytes; `id` tells which one sealed, and nothing of the key."""

    id: bytes
    value: bytes = field(repr=False)

    @classmethod
    def of(cls, value: bytes) -> Key:
        """A key with its id."""
        return cls(hashlib.sha256(b"attache key id\n" + value).digest()[:_ID], value)


def keys_in(text: str, path: Path) -> tuple[Key, ...]:
    """The keys, one a line: the first seals, all of them open. `Unsealable` without any.

    A key is 32 bytes, in base64 (`openssl rand -base64 32`) or in hexadecimal.
    """
    keys: list[Key] = []
    lines = (line.strip() for line in text.splitlines())
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        value = _bytes(line)
        if value is None or len(keys) >= _MAX_KEYS:
            raise Unsealable(
                f"line {number} of the key file {path} is no key of 32 bytes; write what "
                "'openssl rand -base64 32' prints"
            )
        keys.append(Key.of(value))
    if not keys:
        raise Unsealable(
            f"the key file {path} is empty; write what 'openssl rand -base64 32' prints into it"
        )
    return tuple(keys)


def _bytes(line: str) -> bytes | None:
    if _HEX.fullmatch(line):
        return bytes.fromhex(line)
    padded = line.rstrip("=") + "=" * (-len(line.rstrip("=")) % 4)
    try:
        value = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return value if len(value) == 32 else None


class Seal:
    """Seals and opens the records of one name. The key file is read each time: it may rotate."""

    def __init__(self, key_file: Path, name: str, random: Callable[[int], bytes]) -> None:
        """*random* gives bytes that are fit for nonces; *name* is bound to what is sealed."""
        self._path = key_file
        self._name = b"attache stored token\n" + name.encode()
        self._random = random

    def closed(self, content: bytes) -> bytes:
        """*content*, sealed with the first key; `Unsealable` without one."""
        key = self._keys()[0]
        # SP 800-38D §8.2.2: random nonces are safe for 2^32 of them; there are thousands
        nonce = self._random(_NONCE)
        return _MAGIC + key.id + nonce + AESGCM(key.value).encrypt(nonce, content, self._name)

    def opened(self, sealed: bytes) -> bytes:
        """What was sealed; `Unsealable` where a key is missing or somebody changed it."""
        if not sealed.startswith(_MAGIC) or len(sealed) < len(_MAGIC) + _ID + _NONCE + 16:
            raise Unsealable(
                "what is stored was not written by an agent; remove it, then 'attache login'"
            )
        rest = sealed[len(_MAGIC) :]
        id_, nonce, content = rest[:_ID], rest[_ID : _ID + _NONCE], rest[_ID + _NONCE :]
        for key in self._keys():
            if key.id != id_:
                continue
            try:
                return AESGCM(key.value).decrypt(nonce, content, self._name)
            except InvalidTag:
                raise Unsealable(
                    "what is stored was changed, or belongs to another name; restore it, or "
                    "'attache login'"
                ) from None
        raise Unsealable(
            f"what is stored was sealed with a key that is not in {self._path}; add that key as a "
            "further line, or 'attache login'"
        )

    def _keys(self) -> tuple[Key, ...]:
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_FILE).decode("ascii")
        except OSError as error:
            raise Unsealable(
                f"the key file {self._path} cannot be read ({error.strerror}); mount it readable "
                "for this process"
            ) from None
        except UnicodeDecodeError:
            raise Unsealable(
                f"the key file {self._path} is not text; write what 'openssl rand -base64 32' "
                "prints"
            ) from None
        return keys_in(text, self._path)
