"""Which keys does an issuer's JWKS document hold (RFC 7517 §5)?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.identity.jwk import VerificationKey, read_key
from agent.identity.strict_json import NotStrict, strict_object
from agent.identity.unusable import Unusable

MAX_KEYS = 256  # entries in one document; SECURITY.md 42


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one document by key id, and sentences about those refused."""

    keys: Mapping[str, VerificationKey]
    refused: tuple[str, ...] = ()

    def get(self, kid: str | None) -> VerificationKey | None:
        """The key of that id; there is never a default one (SECURITY.md 35)."""
        return None if kid is None else self.keys.get(kid)


def read_keys(raw: bytes, algorithms: Collection[str]) -> KeySet | Unusable:
    """Return the keys in *raw*, each bound to what *algorithms* allow.

    One bad key does not take the others down; a document without a usable key is `Unusable`.
    """
    try:
        entries = strict_object(raw).get("keys")
    except NotStrict as why:
        return Unusable(f"the keys document is refused: {why}")
    if not isinstance(entries, list):
        return Unusable("the keys document has no list 'keys'")
    if len(entries) > MAX_KEYS:
        return Unusable(f"the keys document has more than {MAX_KEYS} keys")
    jwks = [entry for entry in entries if isinstance(entry, dict)]
    usable: dict[str, VerificationKey] = {}
    refused: list[str] = []
    counts = Counter(jwk["kid"] for jwk in jwks if isinstance(jwk.get("kid"), str))
    for jwk in jwks:
        kid = jwk.get("kid")
        key = read_key(jwk, algorithms)
        if isinstance(key, Unusable):
            refused.append(f"key {_shown(kid)} is refused: {key.sentence}")
        elif counts[key.kid] > 1 and any(jwk != other for other in jwks if other.get("kid") == kid):
            # SECURITY.md 12: which of them signs would be a guess.
            refused.append(f"key {_shown(kid)} is refused: its kid stands for different keys")
        else:
            usable[key.kid] = key
    if not usable:
        reasons = "; ".join(refused[:3]) or "it is empty"
        return Unusable(f"the keys document has no usable key ({reasons})")
    return KeySet(MappingProxyType(usable), tuple(refused))


def _shown(kid: object) -> str:
    return repr(kid[:64]) if isinstance(kid, str) else "without a kid"
