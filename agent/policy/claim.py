"""Does the token hold the values that a route asks for, exactly as they are (SECURITY.md 16)?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.config.requirements import ClaimValue
from agent.errors import Denial, Reason
from agent.identity.claims import Claims, at
from agent.identity.principal import Principal


def claims_hold(
    principal: Principal, wanted: Mapping[str, tuple[ClaimValue, ...]]
) -> Denial | None:
    """Each claim of *wanted* has one of its values, or holds one in a list.

    The denial names claims and no values: neither the caller's nor those that would do.
    """
    if not wanted:
        return None
    theirs = principal.claims
    held = tuple(name for name, values in wanted.items() if holds(theirs, name, values))
    if len(held) == len(wanted):
        return None
    missing = [name for name in wanted if name not in held]
    return Denial(
        Reason.INSUFFICIENT_ROLE,
        "; ".join(_sentence(name, elsewhere(theirs, name)) for name in missing),
        required=tuple(wanted),
        granted=held,
    )


def holds(claims: Claims, name: str, values: Iterable[ClaimValue]) -> bool:
    """Whether the claim *name* is one of *values*, or a list with one of them in it."""
    if elsewhere(claims, name):
        return False
    value = at(claims, name)
    offered = value if isinstance(value, (list, tuple)) else (value,)
    return any(_same(one, other) for one in offered for other in values)


def elsewhere(claims: Claims, name: str) -> bool:
    """Whether the token says that the value is not in it but somewhere else, and so unknown.

    OpenID Connect Core §5.6.2; Entra does so with more groups than fit (ENTRA.md §1).
    """
    names = claims.get("_claim_names")
    if isinstance(names, Mapping) and name in names:
        return True
    return name == "groups" and claims.get("hasgroups") in (True, "true")


def _same(one: Any, other: ClaimValue) -> bool:
    # JSON's 1 and 1.0 are one number; Python's 1 and True are equal, and must not be here.
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _sentence(name: str, unknown: bool) -> str:
    if unknown:
        return (
            f"the token does not list the caller's '{name}' (an overage: there are too many), "
            "so they are unknown"
        )
    return f"this route needs another value of the token's claim '{name}'"
