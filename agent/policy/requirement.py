"""Which requirement a route puts on a caller (RFC 6750 §3.1, RFC 9470 §3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from agent.config.requirements import Requirement
from agent.errors import Denial, Reason
from agent.identity.principal import Kind, Principal
from agent.policy.claim import claims_hold
from agent.policy.signin import asked, signed_in, unmet


class Permitted(NamedTuple):
    """Proof that a principal met a requirement; only `permit` makes one."""

    principal: Principal


Check = Callable[[Principal, Requirement], Denial | None]


def caller_kind(principal: Principal, requirement: Requirement) -> Denial | None:
    """A person where a person is due, a program where a program is."""
    if requirement.caller == "user" and principal.kind is not Kind.USER:
        return Denial(Reason.USER_REQUIRED, "this route is for users; the token is an app's own")
    if requirement.caller == "app" and principal.kind is not Kind.APP:
        return Denial(Reason.APP_REQUIRED, "this route is for apps; the token is a user's")
    return None


def tenant(principal: Principal, requirement: Requirement) -> Denial | None:
    """One of the listed tenants."""
    if requirement.tenants and principal.tenant not in requirement.tenants:
        return Denial(Reason.TENANT_NOT_ALLOWED, "this route is not open to the caller's tenant")
    return None


def client(principal: Principal, requirement: Requirement) -> Denial | None:
    """One of the listed clients."""
    if requirement.clients and principal.client not in requirement.clients:
        return Denial(
            Reason.INSUFFICIENT_ROLE, "this route is not open to the client that holds the token"
        )
    return None


def scopes(principal: Principal, requirement: Requirement) -> Denial | None:
    """All of `scopes`, one of `anyScope`. An Entra app holds roles and no scopes: it is refused."""
    missing = not principal.scopes.issuperset(requirement.scopes) or (
        requirement.any_scope and principal.scopes.isdisjoint(requirement.any_scope)
    )
    if not missing:
        return None
    required = requirement.scopes + requirement.any_scope
    return Denial(
        Reason.INSUFFICIENT_SCOPE,
        _lacks("scope", requirement.scopes, requirement.any_scope),
        required=required,
        granted=tuple(sorted(principal.scopes)),
        challenge=(("scope", " ".join(required)),),
    )


def roles(principal: Principal, requirement: Requirement) -> Denial | None:
    """All of `roles`, one of `anyRole`."""
    missing = not principal.roles.issuperset(requirement.roles) or (
        requirement.any_role and principal.roles.isdisjoint(requirement.any_role)
    )
    if not missing:
        return None
    return Denial(
        Reason.INSUFFICIENT_ROLE,
        _lacks("role", requirement.roles, requirement.any_role),
        required=requirement.roles + requirement.any_role,
        granted=tuple(sorted(principal.roles)),
    )


def claims(principal: Principal, requirement: Requirement) -> Denial | None:
    """The values that `claims` asks for."""
    return claims_hold(principal, requirement.claims)


CHECKS: tuple[Check, ...] = (caller_kind, tenant, client, scopes, roles, claims)


def needed(requirement: Requirement) -> tuple[Check, ...]:
    """Those of `CHECKS` that some caller could fail: the parts that *requirement* has."""
    asks: dict[Check, object] = {
        caller_kind: requirement.caller != "any",
        tenant: requirement.tenants,
        client: requirement.clients,
        scopes: requirement.scopes or requirement.any_scope,
        roles: requirement.roles or requirement.any_role,
        claims: requirement.claims,
    }
    return tuple(check for check in CHECKS if asks[check])


def permit(
    principal: Principal, requirement: Requirement, now: float, checks: tuple[Check, ...] = CHECKS
) -> Permitted | Denial:
    """Return proof that *principal* meets *requirement*, or the first reason why not.

    *checks*: all of them, or those that `needed` gives for *requirement*.

    Pure: same arguments, same answer. *now* is in UTC seconds. What a new sign-in can mend is
    asked for last, for it helps nobody who lacks a role; but who must come back with another
    scope anyway is told of both at once (RFC 9470 §3).
    """
    for check in checks:
        if denial := check(principal, requirement):
            if denial.reason is Reason.INSUFFICIENT_SCOPE:
                lacks = unmet(principal, requirement, now)
                more = asked(principal, lacks) if lacks else ()
                return replace(denial, challenge=(*denial.challenge, *more))
            return denial
    return signed_in(principal, requirement, now) or Permitted(principal)


def _lacks(noun: str, every: tuple[str, ...], some: tuple[str, ...]) -> str:
    parts = []
    if every:
        parts.append(f"{noun} " + " and ".join(f"'{item}'" for item in every))
    if some:
        parts.append("one of the " + f"{noun}s " + ", ".join(f"'{item}'" for item in some))
    return "this route needs " + ", and ".join(parts)
