"""What does the application see of its caller? Headers that nobody can forge (DESIGN.md §4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import product
from urllib.parse import quote

from agent.context.carriers import HANDLE_HEADER
from agent.identity.principal import Kind, Principal

MAX_VALUE = 4096  # bytes of one claim copied to a header (SECURITY.md 13)

CORRELATION = "x-correlation-id"
REQUEST_ID = "x-request-id"

# Always overwritten or removed, on every allow, anonymous routes included.
IDENTITY = (
    "x-auth-kind",
    "x-auth-subject",
    "x-auth-tenant",
    "x-auth-client",
    "x-auth-scopes",
    "x-auth-roles",
    "x-auth-issuer",
    "x-auth-name",
    "x-auth-email",
)

# Headers by which some frameworks let a caller replace the method or path that was decided on.
OVERRIDES = (
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
)

DEFAULT_CLAIMS: Mapping[str, tuple[str, ...]] = {
    "x-auth-name": ("name",),
    "x-auth-email": ("email", "preferred_username"),
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


def underscored(names: Iterable[str]) -> tuple[str, ...]:
    """Every spelling of *names* with some `-` written as `_`: WSGI and CGI read them alike."""
    return tuple(
        "".join(part + joint for part, joint in zip(name.split("-"), (*joints, ""), strict=True))
        for name in names
        for joints in product("-_", repeat=name.count("-"))
        if "_" in joints
    )


class Badge:
    """The identity headers of one configuration: which are written, which are stripped."""

    def __init__(self, extra: Mapping[str, str]) -> None:
        self._claims = {
            **DEFAULT_CLAIMS,
            **{name: (claim,) for name, claim in extra.items()},
        }
        ours = (*IDENTITY, *(name for name in self._claims if name not in IDENTITY))
        self._ours = ours
        stripped = underscored((*ours, CORRELATION, REQUEST_ID, HANDLE_HEADER, *OVERRIDES))
        self.always_removed = stripped + tuple(name for name in OVERRIDES if name not in ours)

    def headers(self, principal: Principal | None) -> tuple[dict[str, str], list[str], int]:
        """Return (headers to write, names to remove, values dropped) for *principal*.

        A value with control characters or over 4 KiB is dropped and counted; one that is not ASCII
        travels percent-encoded as UTF-8 (SECURITY.md 13, 22).
        """
        written: dict[str, str] = {}
        dropped = 0
        for name, value in self._values(principal) if principal else ():
            safe = safe_value(value)
            if safe is None:
                dropped += 1
            elif safe:
                written[name] = safe
        removed = [name for name in self._ours if name not in written]
        return written, removed, dropped

    def _values(self, principal: Principal) -> Iterable[tuple[str, str]]:
        yield "x-auth-kind", principal.kind.value
        yield "x-auth-subject", principal.subject
        yield "x-auth-tenant", principal.tenant
        yield "x-auth-client", principal.client
        yield "x-auth-scopes", " ".join(sorted(principal.scopes))
        yield "x-auth-roles", ",".join(sorted(role.replace(",", "%2C") for role in principal.roles))
        yield "x-auth-issuer", principal.issuer
        for name, claims in self._claims.items():
            if principal.kind is Kind.APP and name in DEFAULT_CLAIMS:
                continue  # an app has neither name nor address, whatever its token says
            for claim in claims:
                text = _as_text(principal.claims.get(claim))
                if text:
                    yield name, text
                    break


def safe_value(value: str) -> str | None:
    """*value* as a header may carry it, or None where it must not travel."""
    if _CONTROL.search(value) or len(value) > MAX_VALUE:
        return None
    if value.isascii():
        return value
    # '%' is escaped as well, so that decoding gives back what was there
    encoded = quote(value, safe=_PRINTABLE.replace("%", ""))
    return encoded if len(encoded) <= MAX_VALUE else None


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return ",".join(item.replace(",", "%2C") for item in value)
    return ""
