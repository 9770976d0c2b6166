"""Which keys sign tokens, and which are published?"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding

from demo.idp import jose
from demo.idp.certificates import Certified, self_signed
from demo.idp.settings import MSA_TENANT


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One RSA key for tokens. `scope` is the tenant or the user flow that it is bound to."""

    kid: str
    private: rsa.RSAPrivateKey
    certified: Certified
    scope: str | None = None

    def jwk(self) -> dict[str, Any]:
        """Return the public key as Entra publishes it; kid and x5t are one and the same."""
        der = self.certified.certificate.public_bytes(Encoding.DER)
        return {
            **jose.public_jwk(self.private.public_key()),
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "x5c": [base64.b64encode(der).decode()],
        }

    def sign(self, claims: Mapping[str, Any], *, version: int = 2) -> str:
        """Sign a token; v1 tokens name the key twice."""
        named = {"x5t": self.kid, "kid": self.kid} if version == 1 else {"kid": self.kid}
        return jose.sign(claims, self.private, named)


def signing_key(certified: Certified, scope: str | None = None) -> SigningKey:
    """Take *certified* as a signing key. Raises TypeError if its key is not RSA."""
    if not isinstance(certified.key, rsa.RSAPrivateKey):
        raise TypeError("Entra signs with RSA keys only")
    kid = jose.b64url(certified.certificate.fingerprint(SHA1()))
    return SigningKey(kid, certified.key, certified, scope)


def new_key(now: float, scope: str | None = None) -> SigningKey:
    """Make a fresh signing key. *now* is UTC seconds since the epoch."""
    return signing_key(self_signed("accounts.accesscontrol.demo", now), scope)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All published keys, oldest first, and the one that signs for most tenants."""

    keys: tuple[SigningKey, ...]
    active: str

    def published(self, scope: str | None = None) -> tuple[SigningKey, ...]:
        """Return what a keys document lists: tenant keys, or one user flow's own keys.

        The MSA tenant's key is listed beside the shared ones, as Entra does.
        """
        if scope is not None:
            return tuple(key for key in self.keys if key.scope == scope)
        return tuple(key for key in self.keys if key.scope in (None, MSA_TENANT))

    def signing(self, scope: str) -> SigningKey:
        """Return the key that signs for a tenant or user flow: its own, else the active one."""
        own = [key for key in self.keys if key.scope == scope]
        return own[-1] if own else self.find(self.active)

    def find(self, kid: str) -> SigningKey:
        """Return the key named *kid*. Raises KeyError."""
        for key in self.keys:
            if key.kid == kid:
                return key
        raise KeyError(kid)

    def publish(self, key: SigningKey) -> "KeyRing":
        """Publish *key*; it does not sign yet."""
        return replace(self, keys=(*self.keys, key))

    def activate(self, kid: str) -> "KeyRing":
        """Sign with the published key *kid*. Raises KeyError."""
        return replace(self, active=self.find(kid).kid)

    def retire(self, kid: str) -> "KeyRing":
        """Publish *kid* no longer. Raises ValueError for the key that signs."""
        if kid == self.active:
            raise ValueError("the active key cannot be retired: rotate first")
        return replace(self, keys=tuple(key for key in self.keys if key.kid != kid))


def new_ring(now: float, flows: Iterable[str] = ()) -> KeyRing:
    """Make two shared keys, the key of the MSA tenant, and one for each B2C user flow."""
    shared = (new_key(now), new_key(now))
    scoped = tuple(new_key(now, scope) for scope in (MSA_TENANT, *flows))
    return KeyRing((*shared, *scoped), active=shared[0].kid)
