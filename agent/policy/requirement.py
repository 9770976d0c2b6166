"""Which requirement a route puts on a caller (RFC 6750 §3.1, RFC 9470 §3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from agent.config.routes import Requirement
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Principal


@dataclass(frozen=True, slots=True)
class Permitted:
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
        challenge=(("error", "insufficient_scope"), ("scope", " ".join(required))),
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
        challenge=(("error", "insufficient_scope"),),
    )


def auth_context(principal: Principal, requirement: Requirement) -> Denial | None:
    """The authentication context, or a challenge that the client can act on (ENTRA.md §2)."""
    wanted = requirement.auth_context
    if wanted is None or wanted in principal.auth_contexts:
        return None
    detail = f"this route needs authentication context '{wanted}'"
    required, granted = (wanted,), tuple(sorted(principal.auth_contexts))
    if principal.issuer_kind is not IssuerKind.ENTRA:
        # RFC 9470 §3: insufficient_user_authentication names the acr values that would do
        return Denial(
            Reason.STEP_UP_REQUIRED,
            detail,
            required,
            granted,
            challenge=(("error", "insufficient_user_authentication"), ("acr_values", wanted)),
        )
    if not _understands_claims_challenges(principal):
        return Denial(Reason.STEP_UP_REQUIRED, detail, required, granted, status=403)
    challenge = {"access_token": {"acrs": {"essential": True, "value": wanted}}}
    return Denial(
        Reason.STEP_UP_REQUIRED,
        detail,
        required,
        granted,
        claims=json.dumps(challenge, separators=(",", ":")),
    )


CHECKS: tuple[Check, ...] = (caller_kind, tenant, client, scopes, roles, auth_context)


def permit(principal: Principal, requirement: Requirement) -> Permitted | Denial:
    """Return proof that *principal* meets *requirement*, or the first reason why not.

    Pure: same arguments, same answer.
    """
    for check in CHECKS:
        if denial := check(principal, requirement):
            return denial
    return Permitted(principal)


def _understands_claims_challenges(principal: Principal) -> bool:
    capabilities = principal.claims.get("xms_cc")
    return capabilities == "cp1" or (
        isinstance(capabilities, (list, tuple)) and "cp1" in capabilities
    )


def _lacks(noun: str, every: tuple[str, ...], some: tuple[str, ...]) -> str:
    parts = []
    if every:
        parts.append(f"{noun} " + " and ".join(f"'{item}'" for item in every))
    if some:
        parts.append("one of the " + f"{noun}s " + ", ".join(f"'{item}'" for item in some))
    return "this route needs " + ", and ".join(parts)
