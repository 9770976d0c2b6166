"""Which requests may pass, and what they must show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from agent.config.cors import Cors, Method
from agent.config.fields import Strict, Text
from agent.config.login import Login
from agent.config.requirements import Requirement

_SEGMENT = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}|[^{}*/%;\\\x00-\x20\x7f?#]+", re.ASCII)
_HEADER = re.compile(r"x(-[a-z0-9]+){1,6}", re.ASCII)
_HOST = re.compile(
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?)(:\d{1,5})?", re.ASCII
)

# Headers by which some frameworks let a caller replace the method or path that was decided on.
OVERRIDES = (
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
)

# Headers that are ours to write or to strip; an operator's extra header must not take their place.
RESERVED_HEADERS = frozenset(
    {"x-request-id", "x-correlation-id", "x-attache-context", "x-attache-claims", *OVERRIDES}
    | {
        f"x-auth-{name}"
        for name in ("kind", "subject", "tenant", "client", "scopes", "roles", "issuer")
    }
)

# Envoy and the hops before us write these; some of them steer Envoy.
_FOREIGN = ("x-envoy-", "x-forwarded-")


def _host(value: str) -> str:
    # A pattern would match nothing, and the request would fall to the next, laxer route.
    if not _HOST.fullmatch(value):
        raise ValueError(f"'{value}' is not a host; write its name, no * and no URL")
    if value.startswith("["):
        try:
            IPv6Address(value[1 : value.index("]")])
        except ValueError:
            raise ValueError(f"'{value}' is not an IPv6 address; write one, as [::1]") from None
    return value


class Route(Strict):
    """One rule; the first whose path, method and host match decides."""

    path: Text = Field(description="/literal, /{one-segment}, and /** at the end for the rest.")
    methods: Annotated[tuple[Method, ...], Field(strict=False)] = Field(
        default=(), description="Methods in capitals; none written: all."
    )
    hosts: Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], Field(strict=False)] = (
        Field(default=(), description="Hosts that the caller used; none written: all.")
    )
    anonymous: bool = Field(default=False, description="No token is asked for.")
    require: Requirement | None = None
    login: Login | None = Field(
        default=None, description="Browsers sign in here, instead of listeners.inbound.login."
    )
    cors: Cors | None = Field(
        default=None, description="Which origins may call this route, instead of inbound.cors."
    )

    @field_validator("path")
    @classmethod
    def _pattern(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError(f"'{value}' does not start with /; write /{value}")
        segments = value[1:].split("/")
        if segments[-1] in ("", "**"):  # a trailing slash, the root itself, or the rest
            segments.pop()
        for segment in segments:
            if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
                raise ValueError(
                    f"'{segment}' in '{value}' is no segment; write literal text or {{name}}, "
                    "and ** only as the last one"
                )
        return value

    @model_validator(mode="after")
    def _not_both(self) -> Route:
        if self.anonymous and self.require is not None:
            raise ValueError("anonymous: true and require contradict each other; remove one")
        if self.anonymous and self.login is not None:
            raise ValueError("anonymous: true and login contradict each other; remove one")
        return self


def template(path: str) -> tuple[tuple[str | None, ...], bool]:
    """The segments of a route's path, None for `{name}`, and whether `**` follows them.

    >>> template("/api/{id}/**")
    (('api', None), True)
    """
    parts = [part for part in path.split("/") if part]
    open_ended = bool(parts) and parts[-1] == "**"
    if open_ended:
        parts.pop()
    return tuple(None if part.startswith("{") else part for part in parts), open_ended


def contradictions(routes: Sequence[Route]) -> Iterator[tuple[int, int]]:
    """Pairs of routes, later and earlier, for exactly the same requests that ask for different."""
    first: dict[object, int] = {}
    for index, route in enumerate(routes):
        same = (template(route.path), frozenset(route.methods), frozenset(route.hosts))
        earlier = first.setdefault(same, index)
        if _asks(routes[earlier]) != _asks(route):
            yield index, earlier


def _asks(route: Route) -> Route:
    return route.model_copy(update={"path": "", "methods": (), "hosts": ()})


class InboundRules(Strict):
    """What the application sees of an allowed request."""

    forward: Literal["original", "internal", "none"] = Field(
        default="original", description="What the application sees in Authorization."
    )
    headers: dict[str, Text] = Field(
        default_factory=dict, description="Further claims as headers: header name → claim name."
    )
    cors: Cors | None = Field(
        default=None, description="Which origins may call every route that does not say itself."
    )

    @field_validator("cors")
    @classmethod
    def _somebody(cls, value: Cors | None) -> Cors | None:
        if value and not value.allow_origins:
            raise ValueError("no origin may call; name one, or remove cors")
        return value

    @field_validator("headers")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _HEADER.fullmatch(name) or name in RESERVED_HEADERS or name.startswith(_FOREIGN):
                raise ValueError(f"'{name}' is not usable; write a lower-case x-… name of your own")
        return value
