"""What does an internal token say? A pure rule composes it, our own key signs it (DESIGN.md §7)."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from agent.context.caller import Caller
from agent.credentials.shelf import Shelf
from agent.credentials.subject import expired
from agent.credentials.token import OVERHEAD
from agent.errors import Denial, Reason
from agent.identity.claims import is_time
from agent.identity.principal import IssuerKind, Kind, Principal, Verified

_MAX_CLAIM = 4096  # bytes (SECURITY.md 13)
# What we write, and what a verifier may read as who is calling: no copied claim takes their place.
_IDENTITY = ("iss", "aud", "sub", "tid", "oid", "client_id", "idtyp", "act", "scp", "azp", "appid")
_BOUNDS = ("txn", "scope", "hops", "jti", "iat", "exp", "nbf", "cnf", "may_act", "crit")
RESERVED = frozenset((*_IDENTITY, *_BOUNDS))


@dataclass(frozen=True, slots=True)
class Rules:
    """Who mints, and the bounds. `lifetime` is in seconds."""

    issuer: str
    workload: str
    lifetime: float
    max_hops: int
    trust_domain: str


class Grant(NamedTuple):
    """What one destination gets. `scopes` None: the caller's own, all of them.

    `inside` is a token that does not leave this workload: it takes no hop.
    """

    audience: str
    scopes: tuple[str, ...] | None = ()
    claims: tuple[str, ...] = ()
    inside: bool = False


def enters_twice(principal: Principal, workload: str) -> Denial | None:
    """Whether the chain behind *principal* came through *workload* before (SECURITY.md 30)."""
    if workload not in principal.actors:
        return None
    return Denial(Reason.CALL_LOOP, f"the chain of calls has entered '{workload}' before")


def too_many_hops(principal: Principal, max_hops: int, more: int = 0) -> Denial | None:
    """Whether the chain behind *principal* is longer than allowed, with *more* hops to come."""
    if max(principal.hops, len(principal.actors)) + more <= max_hops:
        return None
    return Denial(Reason.CALL_LOOP, f"the chain of calls is longer than {max_hops} hops")


def compose(
    rules: Rules, grant: Grant, caller: Caller | None, speaker: Kind | None, now: float, jti: str
) -> dict[str, Any] | Denial:
    """The claims of one token, or why it must not exist. Pure. *now* is UTC seconds.

    *speaker* USER: the token speaks for the caller; APP: for this workload itself, continuing the
    caller's chain if there is one; None: for the caller, of whatever kind. *jti* is also the
    transaction's id where there is no caller to have begun one.
    """
    verified = caller.verified if caller else None
    principal = verified.principal if verified else None
    if verified is not None and (
        denial := expired(verified, now) or _loops(rules, grant, verified.principal)
    ):
        return denial
    scopes = narrowed(grant.scopes, principal)
    if isinstance(scopes, Denial):
        return scopes
    ends = now + rules.lifetime
    if principal is not None and caller is not None:
        ends = min(ends, principal.expires_at, caller.expires_at)
    actors = (rules.workload, *(principal.actors if principal else ()))
    claims: dict[str, Any] = {}
    if principal is not None and speaker is not Kind.APP:
        claims |= copied(principal.claims, grant.claims) | subject(principal)
    else:
        claims |= {"sub": rules.workload, "idtyp": Kind.APP.value}
    claims |= {
        "iss": rules.issuer,
        "aud": grant.audience,
        "txn": transaction_id(caller, jti),
        "client_id": rules.workload,
        "act": _act(actors),
        "hops": (principal.hops if principal else 0) + (0 if grant.inside else 1),
        "jti": jti,
        "iat": int(now),
        "exp": int(ends),
    }
    if claims["exp"] <= now:
        return Denial(Reason.EXPIRED_TOKEN, "the caller's token is about to expire")
    if scopes:
        claims["scope"] = " ".join(scopes)
    return claims


def _loops(rules: Rules, grant: Grant, principal: Principal) -> Denial | None:
    if denial := enters_twice(principal, rules.workload):
        return denial
    return too_many_hops(principal, rules.max_hops, 0 if grant.inside else 1)


def narrowed(
    scopes: tuple[str, ...] | None, principal: Principal | None
) -> tuple[str, ...] | Denial:
    """The scopes to write: an internal caller's are only narrowed (SECURITY.md 30)."""
    if scopes is None:
        return tuple(sorted(principal.scopes)) if principal else ()
    if principal is None or principal.issuer_kind is not IssuerKind.INTERNAL:
        return scopes
    kept = tuple(scope for scope in scopes if scope in principal.scopes)
    if scopes and not kept:
        return Denial(
            Reason.INSUFFICIENT_SCOPE,
            "the caller's token allows none of the scopes that this destination needs",
            required=scopes,
            granted=tuple(sorted(principal.scopes)),
        )
    return kept


def subject(principal: Principal) -> dict[str, Any]:
    """Who the token speaks for: the same string along the chain and after every refresh."""
    theirs = principal.claims
    if principal.issuer_kind is IssuerKind.INTERNAL:
        found = {name: theirs[name] for name in ("tid", "oid") if isinstance(theirs.get(name), str)}
        sub = theirs.get("sub")
        found["sub"] = sub if isinstance(sub, str) else principal.subject
    else:
        # The subject holds no / after encoding, so no two principals share a string.
        found = {"sub": f"{principal.realm}/{quote(principal.subject, safe='')}"}
        if principal.tenant:
            found["tid"] = principal.tenant
        found["oid"] = principal.subject  # so that every hop shows the same subject
    return found | {"idtyp": principal.kind.value}


def transaction_id(caller: Caller | None, jti: str) -> str:
    """The originating request's id, unchanged along the chain; *jti* where nobody began one."""
    principal = caller.verified.principal if caller and caller.verified else None
    return (principal.txn if principal else "") or (caller.txn if caller else "") or jti


def _act(actors: tuple[str, ...]) -> dict[str, Any]:
    """RFC 8693 §4.1: the outermost actor is the current one."""
    act: dict[str, Any] = {}
    for actor in reversed(actors):
        act = {"sub": actor, "act": act} if act else {"sub": actor}
    return act


def copied(theirs: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The caller's claims that the destination asked for: texts, or lists of texts, bounded.

    And when the user signed in, in seconds, so that the next hop's `maxAge` can be met.
    """
    copied: dict[str, Any] = {}
    for name in names:
        value = theirs.get(name)
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            value = list(value)
        elif not isinstance(value, str) and not (name == "auth_time" and is_time(value)):
            continue
        if name not in RESERVED and len(_json(value)) <= _MAX_CLAIM:
            copied[name] = value
    return copied


class Signer(Protocol):
    """A key that signs at the moment."""

    @property
    def kid(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


def signed(claims: Mapping[str, Any], key: Signer, typ: str = "at+jwt") -> str:
    """The compact JWS (RFC 7515 §3.1), typed as RFC 9068 §2.1 says."""
    message = f"{_header(key.kid, typ)}.{_part(_json(claims))}"
    return f"{message}.{_part(key.sign(message.encode('ascii')))}"


@lru_cache(maxsize=64)
def _header(kid: str, typ: str) -> str:
    return _part(_json({"alg": "ES256", "kid": kid, "typ": typ}))


@dataclass(frozen=True, slots=True)
class Minted:
    """A signed internal token and its end in UTC seconds."""

    token: str = field(repr=False)
    expires_at: float
    _digest: bytes = field(default=b"", init=False, repr=False, compare=False)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the token, computed once."""
        if not self._digest:
            object.__setattr__(self, "_digest", hashlib.sha256(self.token.encode()).digest())
        return self._digest


_Cached = tuple[Minted, float]
Compose = Callable[[Rules, str], dict[str, Any] | Denial]
"""Gives the claims of one token by the rules and a fresh id, or why it must not exist."""


class Minter:
    """Composes and signs. A token serves again within one transaction, for half its life.

    The key of that cache holds the transaction: what a caller from outside causes by one request
    never carries the id of another. Without a caller each token is new.
    """

    def __init__(
        self,
        rules: Rules,
        key: Callable[[float], Signer | None],
        new_id: Callable[[], str],
        entries: int = 10_000,
    ) -> None:
        self._rules = rules
        self._key = key
        self._new_id = new_id
        self._lock = threading.Lock()
        self._cached: Shelf[tuple[object, ...], _Cached] = Shelf(entries, 32 * 1024 * 1024)

    def mint(
        self, grant: Grant, caller: Caller | None, speaker: Kind | None, now: float
    ) -> Minted | Denial:
        """A token for *grant*, or why there is none."""

        def composed(rules: Rules, jti: str) -> dict[str, Any] | Denial:
            return compose(rules, grant, caller, speaker, now, jti)

        return self.issue("at+jwt", composed, (grant, speaker), caller, now)

    def issue(
        self,
        typ: str,
        composed: Compose,
        what: tuple[object, ...],
        caller: Caller | None,
        now: float,
    ) -> Minted | Denial:
        """Sign what *composed* gives; *what* tells it from the other tokens of this caller."""
        key = self._key(now)
        if key is None:
            return Denial(
                Reason.CREDENTIAL_ERROR, "this service has no key to sign internal tokens with"
            )
        name = _name(key.kid, typ, what, caller)
        if name is not None:
            with self._lock:
                cached = self._cached.get(name)
            if cached is not None and now < cached[1]:
                return cached[0]
        claims = composed(self._rules, self._new_id())
        if isinstance(claims, Denial):
            return claims
        minted = Minted(signed(claims, key, typ), float(claims["exp"]))
        if name is not None:
            half = now + (minted.expires_at - now) / 2
            with self._lock:
                self._cached.put(name, (minted, half), len(minted.token) + OVERHEAD)
        return minted


def _name(
    kid: str, typ: str, what: tuple[object, ...], caller: Caller | None
) -> tuple[object, ...] | None:
    if caller is None:
        return None
    verified: Verified | None = caller.verified
    token = verified.token_hash if verified else b""
    return (kid, typ, token, *what, caller.txn)


_ENCODER = json.JSONEncoder(separators=(",", ":"))  # which `dumps` would make anew each time


def _json(value: object) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
