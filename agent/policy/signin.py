"""Did the caller sign in strongly and recently enough (RFC 9470; ENTRA.md §2)?"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from agent.config.requirements import Requirement
from agent.errors import Denial, Reason
from agent.identity.claims import Claims, is_time, text
from agent.identity.principal import IssuerKind, Kind, Principal

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Unmet:
    """What is missing of a sign-in. `max_age` is in seconds; `dated`: the token has auth_time."""

    context: str | None
    acr: tuple[str, ...]
    max_age: float | None
    dated: bool


def unmet(principal: Principal, requirement: Requirement, now: float) -> Unmet | None:
    """What *requirement* asks of the sign-in and the token does not show; None if nothing.

    *now* is in UTC seconds. Pure.
    """
    wanted, max_age = requirement.auth_context, requirement.max_age
    if wanted is None and max_age is None and not requirement.acr:
        return None  # as nearly always
    context = wanted if wanted is not None and wanted not in _contexts(principal) else None
    claims = principal.claims
    acr = () if text(claims, "acr") in requirement.acr else requirement.acr
    if max_age is not None and _recent(claims, max_age, now):
        max_age = None
    if context is None and not acr and max_age is None:
        return None
    return Unmet(context, acr, max_age, dated=is_time(claims.get("auth_time")))


def signed_in(principal: Principal, requirement: Requirement, now: float) -> Denial | None:
    """The one denial that asks for everything which the sign-in lacks."""
    lacks = unmet(principal, requirement, now)
    if lacks is None:
        return None
    required = (*((lacks.context,) if lacks.context else ()), *lacks.acr)
    denial = Denial(
        Reason.STEP_UP_REQUIRED,
        _sentence(lacks),
        required=required,
        granted=tuple(sorted(_contexts(principal) | _acr(principal))) if required else (),
        status=0 if _can_be_asked(principal, lacks) else 403,
    )
    if denial.status == 403:
        return denial
    parameters = asked(principal, lacks)
    if principal.issuer_kind is IssuerKind.ENTRA and lacks.context:
        challenge = {"access_token": {"acrs": {"essential": True, "value": lacks.context}}}
        claims = json.dumps(challenge, separators=(",", ":"))
        return replace(denial, claims=claims, challenge=parameters)
    error = ("error", "insufficient_user_authentication")
    return replace(denial, challenge=(error, *parameters))


def asked(principal: Principal, lacks: Unmet) -> Parameters:
    """How RFC 9470 §3 asks for what *lacks* says; empty where nobody could give it."""
    if not _can_be_asked(principal, lacks):
        return ()
    values = lacks.acr
    if lacks.context and principal.issuer_kind is not IssuerKind.ENTRA:
        values = (lacks.context, *values)
    found = []
    if values:
        found.append(("acr_values", " ".join(values)))
    if lacks.max_age is not None:
        found.append(("max_age", str(int(lacks.max_age))))
    return tuple(found)


def _can_be_asked(principal: Principal, lacks: Unmet) -> bool:
    """Whether a new token could be better than this one; else a client that obeys would loop."""
    if principal.kind is Kind.APP:
        return False  # nobody signs in
    if principal.issuer_kind is not IssuerKind.ENTRA:
        return True
    # docs/decisions/012: Entra takes no acr_values, and adds auth_time only where the API's
    # registration says so; a context is asked for by a claims challenge, of those who know it.
    if lacks.acr or (lacks.max_age is not None and not lacks.dated):
        return False
    return lacks.context is None or _understands_claims_challenges(principal.claims)


def _recent(claims: Claims, max_age: float, now: float) -> bool:
    """OpenID Connect Core §2: auth_time. No tolerance: skew would only lengthen the age.

    A sign-in later than the token itself is nonsense, not youth; the issuer's clock wrote both.
    """
    when = claims.get("auth_time")
    if not is_time(when):
        return False
    issued = claims.get("iat")
    latest = max(now, issued) if is_time(issued) else now
    return when <= latest and now - when <= max_age


def _contexts(principal: Principal) -> frozenset[str]:
    """RFC 9470 §6.2: elsewhere than at Entra, the answer to acr_values stands in acr."""
    if principal.issuer_kind is IssuerKind.ENTRA:
        return principal.auth_contexts
    return principal.auth_contexts | _acr(principal)


def _acr(principal: Principal) -> frozenset[str]:
    return frozenset({text(principal.claims, "acr")} - {""})


def _understands_claims_challenges(claims: Claims) -> bool:
    capabilities = claims.get("xms_cc")
    return capabilities == "cp1" or (
        isinstance(capabilities, (list, tuple)) and "cp1" in capabilities
    )


def _sentence(lacks: Unmet) -> str:
    parts = []
    if lacks.context:
        parts.append(f"authentication context '{lacks.context}'")
    if lacks.acr:
        parts.append("a sign-in of level " + " or ".join(f"'{value}'" for value in lacks.acr))
    if lacks.max_age is not None:
        young = f"a sign-in at most {lacks.max_age:g} seconds ago"
        parts.append(young if lacks.dated else f"{young}; the token does not say when it was")
    return "this route needs " + ", and ".join(parts)
