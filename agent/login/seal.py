"""How is a cookie sealed so that its holder can neither read nor change it? AES-256-GCM.

A sealed text is base64url of: key id (4 bytes), nonce (12 bytes), ciphertext with its tag. What it
is for is authenticated with it: a cookie of one purpose is none of another.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.identity.jose import base64url

_ID, _NONCE, _TAG = 4, 12, 16
_INFO = b"attache session cookie, version 1"


class Seals:
    """Keys that seal and open; the first of *secrets* seals, all of them open.

    NIST SP 800-38D §8.3: 2^32 seals with one key and random nonces, which is a cookie a second for
    more than a century; change the key now and then all the same.
    """

    def __init__(self, secrets: Sequence[bytes], random: Callable[[int], bytes]) -> None:
        if not secrets:
            raise ValueError("nothing can be sealed without a key")
        derived = [
            HKDF(hashes.SHA256(), 32 + _ID, salt=None, info=_INFO).derive(secret)
            for secret in secrets
        ]
        self._keys = {each[32:]: AESGCM(each[:32]) for each in reversed(derived)}
        self._first = derived[0][32:]
        self._random = random

    def __len__(self) -> int:
        return len(self._keys)

    def seal(self, purpose: str, content: bytes) -> str:
        """Return *content*, sealed for *purpose*."""
        nonce = self._random(_NONCE)
        sealed = self._keys[self._first].encrypt(nonce, content, purpose.encode())
        return base64.urlsafe_b64encode(self._first + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, purpose: str, text: str) -> bytes | None:
        """What was sealed for *purpose*; None for anything that we did not seal so."""
        raw = base64url(text)
        if raw is None or len(raw) < _ID + _NONCE + _TAG:
            return None
        key = self._keys.get(raw[:_ID])
        if key is None:
            return None
        try:
            return key.decrypt(raw[_ID : _ID + _NONCE], raw[_ID + _NONCE :], purpose.encode())
        except InvalidTag:
            return None
