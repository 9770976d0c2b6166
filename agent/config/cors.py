"""Which browser origins may call?"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from agent.config.fields import Duration, Strict, Text

METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,30}", re.ASCII)
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)  # RFC 9110 §5.6.2
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


def method(value: str) -> str:
    """A method as HTTP writes it."""
    if not METHOD.fullmatch(value):
        raise ValueError(f"'{value}' is not a method; write it in capitals, as GET")
    return value


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError(f"'{value}' is no origin; write scheme://host[:port], no *")
    scheme = value.partition(":")[0].lower()
    written = value.lower().removesuffix(_DEFAULT_PORT[scheme])
    if written != value:  # RFC 6454 §6.1: compared by the letter, this one would match nothing
        raise ValueError(f"browsers write '{value}' differently; write {written}")
    return value


def _header(value: str) -> str:
    if not _NAME.fullmatch(value) or value == "*":
        raise ValueError(f"'{value}' is not the name of a header; write names, no *")
    return value


Method = Annotated[str, AfterValidator(method)]
Origin = Annotated[Text, AfterValidator(_origin)]
HeaderName = Annotated[Text, AfterValidator(_header)]


class Cors(Strict):
    """Which browser origins may call; only real preflights are answered (SECURITY.md 23)."""

    allow_origins: Annotated[tuple[Origin, ...], Field(strict=False)] = Field(
        description="scheme://host[:port], matched exactly; an empty list at a route: none there."
    )
    allow_methods: Annotated[tuple[Method, ...], Field(strict=False)] = Field(
        default=("GET", "POST", "PUT", "PATCH", "DELETE"),
        description="Methods that a preflight may ask for.",
    )
    allow_headers: Annotated[tuple[HeaderName, ...], Field(strict=False)] = Field(
        default=("authorization", "content-type"),
        description="Headers that a preflight may ask for.",
    )
    expose_headers: Annotated[tuple[HeaderName, ...], Field(strict=False)] = Field(
        default=(),
        description="Headers of answers that scripts may read, beside www-authenticate, "
        "x-correlation-id and retry-after.",
    )
    allow_credentials: bool = Field(
        default=False, description="Whether cookies may be sent, as sign-in at the edge needs."
    )
    max_age: Annotated[Duration, Field(le=86400)] = Field(
        default=600, description="How long a browser may remember a preflight; a day at most."
    )
