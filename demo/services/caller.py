"""Who is calling? What the sidecar wrote into the request's headers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Caller:
    """A person, or a program that acts as itself; empty strings where nothing is known."""

    kind: str
    id: str
    tenant: str
    name: str
    email: str
    client: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    request: str

    def shown(self) -> dict[str, object]:
        """The caller as JSON shows it."""
        return asdict(self)


class Headers(Protocol):
    """The headers of a request, of whichever framework."""

    def get(self, key: str, /) -> str | None: ...


def who(headers: Headers) -> Caller:
    """Read the caller of a request; names that are not ASCII travel percent-encoded."""

    def text(name: str) -> str:
        return headers.get(name) or ""

    return Caller(
        kind=text("x-auth-kind"),
        id=text("x-auth-subject"),
        tenant=text("x-auth-tenant"),
        name=unquote(text("x-auth-name")),
        email=unquote(text("x-auth-email")),
        client=text("x-auth-client"),
        roles=tuple(role for role in text("x-auth-roles").split(",") if role),
        scopes=tuple(text("x-auth-scopes").split()),
        request=text("x-correlation-id"),
    )
