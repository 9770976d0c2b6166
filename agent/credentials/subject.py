"""As whom do we call: for the user whose request caused this, or as ourselves? (DESIGN.md §6)"""

from __future__ import annotations

from typing import Literal

from agent.context.caller import Caller
from agent.errors import Denial, Reason
from agent.identity.principal import Kind, Verified

Rule = Literal["user", "app", "either"]


def acting_as(rule: Rule, caller: Caller | None) -> Kind | Denial:
    """The kind of principal to act for under *rule*, or why there is none. Pure.

    An anonymous request is nobody's. `either` is the only way from a user to the application, and
    it is written in the configuration (SECURITY.md 28); the audit record then says `app`.
    """
    verified = caller.verified if caller else None
    if rule == "app":
        return Kind.APP
    if verified is not None and verified.principal.kind is Kind.USER:
        return Kind.USER
    if rule == "either":
        return Kind.APP
    if verified is None:
        return Denial(
            Reason.NO_SUBJECT,
            "this call needs the user whose request caused it, and none is known",
        )
    return Denial(
        Reason.USER_REQUIRED,  # ENTRA.md §2: decided before the token endpoint is asked
        "this call needs a user, and the request was made by an application for itself",
    )


def expired(verified: Verified, now: float) -> Denial | None:
    """Why *verified* can no longer be used for others at *now*; `exp == now` is expired."""
    if now < verified.principal.expires_at:
        return None
    return Denial(Reason.EXPIRED_TOKEN, "the caller's token has expired since the request came in")
