"""Which requests may pass, and what they must show."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from agent.config.fields import Strict, Text

_METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,30}", re.ASCII)
_SEGMENT = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}|[^{}*/%;\\\x00-\x20\x7f?#]+", re.ASCII)
_HEADER = re.compile(r"x-[a-z0-9-]{1,62}", re.ASCII)

# Headers that are ours to write; an operator's extra header must not take their place.
RESERVED_HEADERS = frozenset({"x-request-id", "x-correlation-id", "x-attache-context"})

Texts = Annotated[tuple[Text, ...], Field(strict=False)]


class Requirement(Strict):
    """What a caller must show. Every part that is written must hold; none written: a valid token.

    `scopes` and `roles`: all of them; `anyScope` and `anyRole`: at least one.
    """

    caller: Literal["user", "app", "any"] = "any"
    scopes: Texts = ()
    any_scope: Texts = ()
    roles: Texts = ()
    any_role: Texts = ()
    tenants: Texts = ()
    clients: Texts = ()
    auth_context: Text | None = Field(
        default=None, description="Authentication context that the token must carry in acrs."
    )


class Route(Strict):
    """One rule; the first whose path, method and host match decides."""

    path: Text
    methods: Annotated[tuple[str, ...], Field(strict=False)] = ()
    hosts: Texts = ()
    anonymous: bool = False
    require: Requirement | None = None

    @field_validator("path")
    @classmethod
    def _pattern(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError(f"'{value}' does not start with /")
        segments = value[1:].split("/")
        if segments[-1] in ("", "**"):  # a trailing slash, the root itself, or the rest
            segments.pop()
        for segment in segments:
            if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
                raise ValueError(
                    f"'{segment}' in '{value}' is no segment: write literal text or {{name}}, "
                    "and ** only as the last one"
                )
        return value

    @field_validator("methods")
    @classmethod
    def _methods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for method in value:
            if not _METHOD.fullmatch(method):
                raise ValueError(f"'{method}' is not a method; write it in capitals, as GET")
        return value

    @model_validator(mode="after")
    def _not_both(self) -> Route:
        if self.anonymous and self.require is not None:
            raise ValueError("anonymous: true and require contradict each other; remove one")
        return self


class Cors(Strict):
    """Which browser origins may call; only real preflights are answered (SECURITY.md 23)."""

    allow_origins: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)]
    allow_methods: Texts = ("GET", "POST", "PUT", "PATCH", "DELETE")
    allow_headers: Texts = ("authorization", "content-type")

    @field_validator("allow_origins")
    @classmethod
    def _exact(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", origin):
                raise ValueError(f"'{origin}' is no origin; write scheme://host[:port], no *")
        return value


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
            if not _HEADER.fullmatch(name) or name in RESERVED_HEADERS:
                raise ValueError(f"'{name}' is not usable; write a lower-case x-… name of your own")
        return value
