"""What must a caller show on a route?"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from agent.config.fields import Duration, Strict, Text

# RFC 9470 §3: acr_values has spaces between its values and stands in a quoted string.
_ACR = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

Texts = Annotated[tuple[Text, ...], Field(strict=False)]
ClaimValue = str | bool | int | float


def _values(value: object) -> tuple[ClaimValue, ...]:
    """One value, or a list of which one will do."""
    listed = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not listed:
        raise ValueError("no value would ever do; write at least one")
    found: list[ClaimValue] = []
    for one in listed:
        if not isinstance(one, (str, bool, int, float)):
            raise ValueError(  # noqa: TRY004 - pydantic's
                "this is not text, a number, true or false; write such a value or a list of them, "
                "and a dotted name for what is nested, as realm_access.roles"
            )
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError("no token holds such a number; write a finite one")
        found.append(one)
    return tuple(found)


def _acr(value: str) -> str:
    if not _ACR.fullmatch(value):
        raise ValueError(
            f"'{value}' is no value of acr; write printable ASCII without spaces and quotes"
        )
    return value


ClaimValues = Annotated[
    tuple[ClaimValue, ...],
    BeforeValidator(
        _values,
        json_schema_input_type=ClaimValue | Annotated[list[ClaimValue], Field(min_length=1)],
    ),
]
Acr = Annotated[Text, AfterValidator(_acr)]


class Requirement(Strict):
    """What a caller must show. Every part that is written must hold; none written: a valid token.

    `scopes` and `roles`: all of them; `anyScope` and `anyRole`: at least one.
    """

    caller: Literal["user", "app", "any"] = Field(
        default="any", description="Who may call: a person, a program, or either."
    )
    scopes: Texts = Field(default=(), description="All of these scopes.")
    any_scope: Texts = Field(default=(), description="At least one of these scopes.")
    roles: Texts = Field(default=(), description="All of these roles.")
    any_role: Texts = Field(default=(), description="At least one of these roles.")
    tenants: Texts = Field(default=(), description="Only callers of these tenants.")
    clients: Texts = Field(default=(), description="Only tokens that these clients obtained.")
    claims: dict[str, ClaimValues] = Field(
        default_factory=dict,
        description="Claims and the values that will do, compared exactly: one value, or a list "
        "of which one must match. A dotted name reaches into nested objects.",
    )
    auth_context: Text | None = Field(
        default=None,
        description="Authentication context: Entra says it in acrs, other issuers in acr.",
    )
    acr: Annotated[tuple[Acr, ...], Field(strict=False)] = Field(
        default=(), description="One of these values of acr, the preferred one first."
    )
    max_age: Duration | None = Field(
        default=None, description="How long ago the user may have signed in (auth_time)."
    )
