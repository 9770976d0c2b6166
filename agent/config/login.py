"""Where do people sign in, and how long does that last?"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from agent.config.fields import Duration, File, Name, Strict, Text, secure_url
from agent.config.redis import RedisServer

# RFC 6749 §3.3: a scope has no space, no quote and no backslash.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_PATH = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,=:@%/?-]*", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)


def _scope(value: str) -> str:
    if not _SCOPE.fullmatch(value):
        raise ValueError(f"'{value}' is not one scope; write each as an item of its own")
    return value


def _origin(value: str) -> str:
    secure_url(value)
    parts = urlsplit(value)
    if parts.path not in ("", "/") or parts.query:
        raise ValueError(f"'{value}' is more than an origin; write https://host, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _local(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError(f"'{value}' is not a path of ours; write it like /welcome")
    return value


def _tenant(value: str) -> str:
    if not _TENANT.fullmatch(value):
        raise ValueError(f"'{value}' names no tenant; write a GUID, a domain or organizations")
    return value


# What binds an answer to its browser, and what this model says in words of its own.
_OURS = frozenset(
    {"client_id", "client_secret", "response_type", "response_mode", "redirect_uri", "scope"}
    | {"state", "nonce", "code_challenge", "code_challenge_method", "resource", "request"}
    | {"request_uri", "claims"}
)


class Login(Strict):
    """Browsers without a session are sent to sign in; bearer tokens go on working beside it."""

    identity: Text = Field(
        description="As which client people sign in: an entra or oauth identity, by name."
    )
    scopes: Annotated[tuple[Annotated[Text, AfterValidator(_scope)], ...], Field(strict=False)] = (
        Field(
            default=(),
            description="What the session's token is asked for; openid, profile and "
            "offline_access are added.",
        )
    )
    resource: Text | None = Field(
        default=None,
        description="For which API the token is, where a server wants to be told (RFC 8707).",
    )
    parameters: dict[str, Text] = Field(
        default_factory=dict,
        description="Further parameters of the authorization request, as prompt or audience.",
    )
    issuer: Name | None = Field(
        default=None,
        description="Which of issuers signs people in; the one that fits identity if not written.",
    )
    tenant: Annotated[str, AfterValidator(_tenant)] | None = Field(
        default=None,
        description="Entra: where people sign in. Not written: the one tenant that the issuer "
        "accepts, or organizations where it accepts more.",
    )

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name in _OURS or not name.isascii() or not name.isidentifier():
                raise ValueError(f"'{name}' is not yours to set; remove it")
        return value

    def __hash__(self) -> int:
        return hash((self.identity, self.scopes, self.issuer, self.tenant))


class RedisSessions(RedisServer):
    """What gateway pods agree on: who renews a session, and what came of it."""

    prefix: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        default="attache:session:", description="What our keys begin with."
    )


class Sessions(Strict):
    """What holds for every session at the edge."""

    key_file: File | None = Field(
        default=None,
        description="Keys that seal cookies, one a line of 32 characters or more: the first one "
        "seals, all of them open. Not written: a key of this process's own, and a restart ends "
        "every session.",
    )
    origin: Annotated[str, AfterValidator(_origin)] | None = Field(
        default=None,
        description="How browsers reach us, as https://shop.example. Not written: the request's "
        "Host, https, or http on loopback.",
    )
    idle: Duration = Field(
        default=3600, description="A session that nobody uses for so long is over."
    )
    absolute: Duration = Field(
        default=12 * 3600, description="After so long everybody signs in again."
    )
    after_logout: Annotated[str, AfterValidator(_local)] = Field(
        default="/", description="The path to which the provider sends people who signed out."
    )
    redis: RedisSessions | None = Field(
        default=None,
        description="Where several gateway pods share renewals. Not written: each pod renews by "
        "itself.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Sessions:
        if self.idle > self.absolute:
            raise ValueError("idle is longer than absolute and would never apply; shorten it")
        if self.redis and self.key_file is None:
            raise ValueError("pods that share sessions share their keys; write keyFile")
        return self
