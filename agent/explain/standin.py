"""What stands in for an issuer's documents where nobody may fetch them?

Offline, an issuer's name is the one that its configuration implies, and its keys are those of a
file, a throw-away pair that signs a test's tokens, or nobody's: `AssumedKey`. Nothing that runs
in a pod imports this room (import-linter), for an assumed key finds every signature good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import Denial
from agent.identity.claims import text
from agent.identity.issuers.document import TEMPLATE, Document, Loaded
from agent.identity.jose import parse
from agent.identity.jwk import VerificationKey
from agent.identity.keys import KeySet, read_keys
from agent.identity.signature import CHECKS
from agent.identity.sources import Fetch
from agent.identity.unusable import Unusable

# The issuers of v1 tokens; which one, only metadata tells (ENTRA.md §1).
_V1 = (
    "https://sts.windows.net/{tenantid}/",
    "https://sts.chinacloudapi.cn/{tenantid}/",
    "https://sts.microsoftonline.us/{tenantid}/",
)
_DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class AssumedKey(VerificationKey):
    """A key that nobody has seen: every signature counts as good until somebody looks."""

    def signed(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """Yes, by assumption; what it permits is reported as unchecked."""
        return True


class NoKeys(ValueError):
    """A file of keys cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a token says before anything is proven: enough to choose stand-ins by."""

    kid: str | None = None
    alg: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def by(cls, token: str) -> Claimed:
        """Read *token*; one that cannot be read claims nothing."""
        parsed = parse(token)
        if isinstance(parsed, Denial):
            return cls()
        return cls(parsed.header.kid, parsed.header.alg, parsed.claims)


def documents(
    claimed: Claimed, given: Mapping[str, bytes], fetch: Fetch
) -> Callable[[str, Document], Loaded | None]:
    """Return what gives each document of each issuer without a network.

    *given* are keys documents by issuer, under "" for all that have none; *fetch* reads files.
    Raises `NoKeys` where a given one holds no key.
    """

    if "" in given and isinstance(unusable := read_keys(given[""], tuple(CHECKS)), Unusable):
        raise NoKeys(unusable.sentence)

    def load(owner: str, document: Document) -> Loaded | None:
        issuer = issuer_of(document, claimed)
        raw = given.get(owner, given.get(""))
        if raw is None and document.file is not None:
            found = fetch(document.file, None)
            raw = found if isinstance(found, bytes) else None
        if raw is None:
            return Loaded(issuer, _assumed(document, claimed))
        keys = read_keys(raw, document.algorithms)
        if isinstance(keys, Unusable):
            if owner in given:
                raise NoKeys(f"issuer '{owner}': {keys.sentence}")
            return Loaded(issuer, _assumed(document, claimed))  # keys of some other issuer
        key = keys.get(claimed.kid)
        return Loaded(issuer, keys, key.cloud_instance_name if key else "")

    return load


def _assumed(document: Document, claimed: Claimed) -> KeySet:
    if claimed.kid is None:
        return KeySet({})
    key = AssumedKey(
        kid=claimed.kid,
        algorithms=frozenset(document.algorithms),
        public=Ed25519PrivateKey.generate().public_key(),
        workload=text(claimed.claims, "client_id"),
    )
    return KeySet({key.kid: key})


def issuer_of(document: Document, claimed: Claimed) -> str:
    """The `iss` that *document* would name; of several that are usual, the token's own."""
    if document.issuer or not document.discovery:
        return document.issuer
    candidates = tuple(_usual(document, text(claimed.claims, "tid")))
    iss, tid = text(claimed.claims, "iss"), text(claimed.claims, "tid")
    return next((each for each in candidates if each.replace(TEMPLATE, tid) == iss), candidates[0])


def _usual(document: Document, tid: str) -> list[str]:
    base = document.discovery[0].removesuffix(_DISCOVERY)
    if document.policy:
        return _of_b2c(base, tid)
    tenant = document.tenant or TEMPLATE
    # {authority}/{tenant or alias}[/v2.0]
    authority = base.removesuffix("/v2.0").rpartition("/")[0]
    if document.version == "2.0":
        host = urlsplit(authority).hostname or ""
        own = [f"https://{tenant}.ciamlogin.com/{tenant}/v2.0"] * host.endswith(".ciamlogin.com")
        return [*own, f"{authority}/{tenant}/v2.0"]
    usual = [name.replace(TEMPLATE, tenant) for name in _V1]
    return [*usual, f"{authority}/{tenant}/", f"{authority}/{tenant}"]


def _of_b2c(base: str, tid: str) -> list[str]:
    """B2C names its tenant by GUID: what the configuration does not tell, the token does."""
    authority, tenant, policy = base.removesuffix("/v2.0").rsplit("/", 2)
    guid = tid or tenant
    return [
        f"{authority}/{guid}/v2.0/",
        f"{authority}/tfp/{guid}/{policy.lower()}/v2.0/",
        f"{authority}/tfp/{guid}/{policy}/v2.0/",
    ]
