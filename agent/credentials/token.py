"""What is a token that we obtained, what names it, and when is it renewed?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.errors import Reason

# What a token's entry takes beside the token: key, objects, links (measured, rounded up).
OVERHEAD = 1024

# Refresh when this part of the life is left: between the two, so that pods do not refresh at once.
_LEAST_LEFT, _MOST_LEFT = 0.1, 0.2


class CacheKey(NamedTuple):
    """What distinguishes one obtained token from every other (SECURITY.md 27).

    `authority` is where it comes from, `assertion` the SHA-256 of the user's token (empty for the
    application itself), `claims` the claims challenge that it answers.
    """

    kind: str
    authority: str
    tenant: str
    client: str
    scopes: tuple[str, ...]
    audience: str = ""
    assertion: bytes = b""
    claims: str = ""

    @classmethod
    def of(
        cls,
        kind: str,
        authority: str,
        tenant: str,
        client: str,
        scopes: Iterable[str],
        audience: str = "",
    ) -> CacheKey:
        """A key whose scopes are sorted, for their order means nothing (RFC 6749 §3.3)."""
        return cls(kind, authority, tenant, client, tuple(sorted(set(scopes))), audience)

    def for_user(self, assertion: bytes, tenant: str, claims: str = "") -> CacheKey:
        """This key, bound to one user's token in one tenant, and to a claims challenge."""
        return CacheKey(
            self.kind,
            self.authority,
            tenant,
            self.client,
            self.scopes,
            self.audience,
            assertion,
            claims,
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was obtained. Times are UTC seconds; from `refresh_at` on it is renewed."""

    value: str = field(repr=False)
    expires_at: float
    refresh_at: float

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return len(self.value) + OVERHEAD


def refresh_at(now: float, expires_at: float, hint: float | None, random: float) -> float:
    """When a token obtained at *now* is renewed: ahead of its end, jittered (SECURITY.md 38).

    *hint* is the issuer's own `refresh_in` as a time, *random* lies in [0, 1).

    >>> refresh_at(0, 1000, None, 0.0), refresh_at(0, 1000, None, 0.5)
    (900.0, 850.0)
    >>> refresh_at(0, 1000, 400, 0.5)
    360.0
    """
    left = _LEAST_LEFT + (_MOST_LEFT - _LEAST_LEFT) * random
    if hint is not None and now < hint < expires_at:
        return hint - (hint - now) * (left - _LEAST_LEFT) * 2
    return expires_at - (expires_at - now) * left


# How long a refusal is remembered, in seconds, so that a client that insists does not become a
# storm at the issuer; short, so that a remedy shows at once. Our own files are reread within 5 s.
_REMEMBERED: dict[Reason, float] = {
    Reason.INTERNAL_ERROR: 10.0,
    Reason.CONSENT_REQUIRED: 5.0,
    Reason.INTERACTION_REQUIRED: 5.0,
    Reason.ACCESS_BLOCKED: 5.0,
    Reason.INVALID_TOKEN: 5.0,
    Reason.USER_REQUIRED: 5.0,
    Reason.RATE_LIMITED: 5.0,
    Reason.CREDENTIAL_ERROR: 2.0,
    Reason.ISSUER_UNAVAILABLE: 1.0,
}
_LONGEST = 300.0


def remembered(reason: Reason, retry_after: int | None) -> float:
    """For how many seconds a refusal stands in for asking again; 0: not at all."""
    return min(max(_REMEMBERED.get(reason, 0.0), float(retry_after or 0)), _LONGEST)


def next_attempt(now: float, expires_at: float, retry_after: int | None, random: float) -> float:
    """When a failed renewal is tried again, the token at hand being valid: full jitter, 5 to 30 s.

    Retry-After is honoured (SECURITY.md 38); otherwise there is another attempt before the end.
    """
    if retry_after is not None:
        return now + retry_after * (1 + 0.1 * random)
    return now + min(5.0 + 25.0 * random, max(1.0, (expires_at - now) / 2))
