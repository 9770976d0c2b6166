"""Which requests may pass, and what they must show."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from agent.config.fields import Strict, Text

_METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,30}", re.ASCII)
_SEGMENT = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}|[^{}*/%;\\\x00-\x20\x7f?#]+", re.ASCII)
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?", re.ASCII)
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
    {"x-request-id", "x-correlation-id", "x-attache-context", *OVERRIDES}
    | {
        f"x-auth-{name}"
        for name in ("kind", "subject", "tenant", "client", "scopes", "roles", "issuer")
    }
)

# Envoy and the hops before us write these; some of them steer Envoy.
_FOREIGN = ("x-envoy-", "x-forwarded-")

Texts = Annotated[tuple[Text, ...], Field(strict=False)]


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
    auth_context: Text | None = Field(
        default=None, description="Authentication context that the token must carry in acrs."
    )


def _method(value: str) -> str:
    if not _METHOD.fullmatch(value):
        raise ValueError(f"'{value}' is not a method; write it in capitals, as GET")
    return value


def _host(value: str) -> str:
    # A pattern would match nothing, and the request would fall to the next, laxer route.
    if not _HOST.fullmatch(value):
        raise ValueError(f"'{value}' is not a host; write its name, no * and no URL")
    return value


Method = Annotated[str, AfterValidator(_method)]


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
        return self


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError(f"'{value}' is no origin; write scheme://host[:port], no *")
    return value


Origin = Annotated[Text, AfterValidator(_origin)]


class Cors(Strict):
    """Which browser origins may call; only real preflights are answered (SECURITY.md 23)."""

    allow_origins: Annotated[tuple[Origin, ...], Field(min_length=1, strict=False)] = Field(
        description="scheme://host[:port], matched exactly."
    )
    allow_methods: Texts = Field(
        default=("GET", "POST", "PUT", "PATCH", "DELETE"),
        description="Methods that a preflight may ask for.",
    )
    allow_headers: Texts = Field(
        default=("authorization", "content-type"),
        description="Headers that a preflight may ask for.",
    )


class InboundRules(Strict):
    """What the application sees of an allowed request."""

    forward: Literal["original", "internal", "none"] = Field(
        default="original", description="What the application sees in Authorization."
    )
    headers: dict[str, Text] = Field(
        default_factory=dict, description="Further claims as headers: header name → claim name."
    )
    cors: Cors | None = None

    @field_validator("headers")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _HEADER.fullmatch(name) or name in RESERVED_HEADERS or name.startswith(_FOREIGN):
                raise ValueError(f"'{name}' is not usable; write a lower-case x-… name of your own")
        return value
