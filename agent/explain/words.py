"""In what words is a token's claim, a caller or a requirement told?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from agent.config.requirements import Requirement
from agent.explain.steps import shown
from agent.identity.claims import at
from agent.identity.principal import Principal
from agent.policy.requirement import Check
from agent.policy.routes import Rule
from agent.policy.signin import unmet


def pattern(rule: Rule) -> str:
    """A rule as its route is written."""
    parts = [*([", ".join(sorted(rule.methods))] if rule.methods else []), shown(rule.pattern)]
    return " ".join(parts)


def said(claims: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """These claims as the token has them."""
    return tuple(f"{name}: {shown(claims[name])}" for name in names if name in claims)


def named(principal: Principal) -> str:
    """The caller in a few words."""
    who = {"user": "a user", "app": "an app"}[principal.kind]
    tenant = f" of tenant {shown(principal.tenant)}" if principal.tenant else ""
    return f"{who}, {shown(principal.subject)}{tenant}"


def about(principal: Principal) -> tuple[str, ...]:
    """What the caller holds."""
    return (
        f"client: {shown(principal.client) or 'none'}",
        f"scopes: {shown(sorted(principal.scopes)) or 'none'}",
        f"roles: {shown(sorted(principal.roles)) or 'none'}",
    )


# What each check of a requirement asks for, and what a caller has of it.
CHECKED: Mapping[str, tuple[Callable[[Requirement], str], Callable[[Principal], object]]] = {
    "caller_kind": (lambda asked: _unless_any(asked.caller), lambda caller: caller.kind),
    "tenant": (lambda asked: _one_of(asked.tenants), lambda caller: caller.tenant),
    "client": (lambda asked: _one_of(asked.clients), lambda caller: caller.client),
    "scopes": (
        lambda asked: _all_and_one(asked.scopes, asked.any_scope),
        lambda caller: sorted(caller.scopes),
    ),
    "roles": (
        lambda asked: _all_and_one(asked.roles, asked.any_role),
        lambda caller: sorted(caller.roles),
    ),
    "claims": (
        lambda asked: "; ".join(f"{name} {_one_of(held)}" for name, held in asked.claims.items()),
        lambda caller: "",
    ),
}


def told(check: Check, asked: Requirement, caller: Principal) -> str:
    """What *check* asks for and what *caller* has, empty where it asks for nothing."""
    if check.__name__ not in CHECKED:
        return ""
    wanted, held = CHECKED[check.__name__]
    needed = wanted(asked)
    if not needed:
        return ""
    has = shown(held(caller)) or "none"
    if check.__name__ == "claims":
        has = shown([f"{name} {_claim(caller, name)}" for name in asked.claims])
    return f"{check.__name__.replace('_', ' ')}: {needed} required; the caller has {has}"


def _claim(caller: Principal, name: str) -> str:
    value = at(caller.claims, name)
    return "none" if value is None else shown(value)


def signin(asked: Requirement, caller: Principal, now: float) -> tuple[str, ...]:
    """What is asked of the sign-in, and what the token shows of it."""
    lacks = unmet(caller, asked, now)
    age = caller.claims.get("auth_time")
    rows = (
        (
            "authentication context",
            asked.auth_context,
            sorted(caller.auth_contexts),
            lacks and lacks.context,
        ),
        ("acr", _one_of(asked.acr), caller.claims.get("acr"), lacks and lacks.acr),
        (
            "age of the sign-in",
            f"at most {asked.max_age:g} s" if asked.max_age is not None else "",
            moment(age, now) if age is not None else "",
            lacks and lacks.max_age is not None,
        ),
    )
    return tuple(
        f"{'✗' if missing else '✓'} {name}: {needed} required; the token shows "
        f"{shown(held) if held else 'none'}"
        for name, needed, held, missing in rows
        if needed
    )


def _unless_any(kind: str) -> str:
    return "" if kind == "any" else kind


def _one_of(values: tuple[object, ...]) -> str:
    return f"one of {shown(values)}" if len(values) > 1 else shown(values)


def _all_and_one(every: tuple[str, ...], some: tuple[str, ...]) -> str:
    return " and ".join(part for part in (shown(every), _one_of(some)) if part)


def written(at: float) -> str:
    """*at* (UTC seconds) as RFC 3339."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(value: object, now: float) -> str:
    """A time of a token, and how far it is from *now*."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return shown(value)
    try:
        when = written(value)
    except (ValueError, OverflowError, OSError):
        return shown(value)
    distance = abs(value - now)
    amount = next(
        f"{distance / size:.0f} {unit}"
        for size, unit in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
        if distance >= 2 * size or size == 1
    )
    return f"{when} ({'in ' + amount if value > now else amount + ' ago'})"
