"""Which refresh tokens does the agent keep, where, and what did their provider promise?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from agent.config.fields import (
    Duration,
    File,
    Name,
    Port,
    Strict,
    Text,
    Texts,
    Url,
    duration,
    one_of,
)
from agent.config.redis import RedisServer
from agent.config.token_exchange import Resource

_LABEL = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
# What the flow itself says; RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8628 §3.1.
_OWN_PARAMETERS = frozenset(
    {
        *("response_type", "response_mode", "client_id", "client_secret", "redirect_uri", "state"),
        *("scope", "code_challenge", "code_challenge_method", "request", "request_uri", "resource"),
    }
)


def _kubernetes(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("this is no name of Kubernetes; write lower-case letters, digits and -")
    return value


def _parameters(value: Mapping[str, str]) -> Mapping[str, str]:
    for name in value:
        if name in _OWN_PARAMETERS:
            raise ValueError(f"'{name}' is the sign-in's own; remove it")
        if not 0 < len(name) <= 64:
            raise ValueError("a parameter's name has 1 to 64 characters; shorten it")
    return value


KubernetesName = Annotated[str, AfterValidator(_kubernetes)]
KeyFile = Annotated[
    File,
    Field(
        description="Keys that seal what is stored, one a line, each of 32 bytes "
        "(openssl rand -base64 32): the first one seals, all of them open."
    ),
]


class FileStore(Strict):
    """A file of one machine; processes that share it must see each other's locks."""

    path: File = Field(description="The file; its folder must be writable and is ours.")
    key_file: KeyFile


class RedisStore(RedisServer):
    """A key in Redis, which must not evict it (maxmemory-policy noeviction) nor forget it."""

    key: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="The key; attache:token:NAME if not written."
    )
    key_file: KeyFile


class KubernetesSecretStore(Strict):
    """An entry of a Secret, replaced under its resourceVersion."""

    name: KubernetesName = Field(description="The Secret; it is made if it is not there.")
    namespace: KubernetesName | None = Field(
        default=None, description="Its namespace; the pod's own if not written."
    )
    key_file: KeyFile
    server: Url | None = Field(
        default=None, description="The API server; the pod's own if not written."
    )
    token_file: File | None = Field(
        default=None, description="A bearer token for it; the service account's if not written."
    )
    ca_file: File | None = None


class TokenStore(Strict):
    """Where one token is kept, sealed."""

    file: FileStore | None = None
    redis: RedisStore | None = None
    kubernetes_secret: KubernetesSecretStore | None = None

    @model_validator(mode="after")
    def _one(self) -> TokenStore:
        one_of(self, "file", "redis", "kubernetes_secret")
        return self


class Login(Strict):
    """What `attache login` needs to know beyond the provider's discovery document."""

    authorize_url: Url | None = Field(
        default=None, description="Where people sign in, if no discovery document says so."
    )
    device_url: Url | None = Field(
        default=None, description="Where device codes come from, if no document says so."
    )
    host: Literal["127.0.0.1", "localhost"] = Field(
        default="127.0.0.1",
        description="The host in the redirect URI; Entra takes any port for localhost only.",
    )
    port: Port | None = Field(
        default=None, description="Its port, for providers that take one only; else a free one."
    )
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9/_.-]{0,64}$")] = Field(
        default="/callback", description="Its path."
    )
    parameters: Annotated[Mapping[str, Text], AfterValidator(_parameters)] = Field(
        default={},
        description="More for the sign-in page, as prompt: consent or access_type: offline.",
    )


class StoredToken(Strict):
    """A refresh token that the agent keeps; `attache login NAME` obtains it."""

    name: Name
    identity: Name = Field(description="The client that the token belongs to.")
    scopes: Texts = Field(
        default=(), description="What a login asks for; many providers want offline_access."
    )
    resource: Resource | None = Field(
        default=None, description="The resource parameter (RFC 8707), an absolute URI."
    )
    audience: Text | None = Field(
        default=None, description="The audience parameter, for providers that want one."
    )
    store: TokenStore
    mounted: File | None = Field(
        default=None,
        description="A file with the first refresh token; it is used once, then the store counts.",
    )
    grace: Annotated[
        float,
        BeforeValidator(duration, json_schema_input_type=str | int | float),
        Field(ge=0),
    ] = Field(
        default=60.0,
        description="For how long the provider takes a refresh token again that was used already; "
        "0: not at all.",
    )
    reusable: bool = Field(
        default=False,
        description="The provider takes a used refresh token for as long as it lives, as Entra.",
    )
    idle_lifetime: Duration | None = Field(
        default=None, description="A token that is not used for so long ends."
    )
    absolute_lifetime: Duration | None = Field(
        default=None, description="So long after the login every token ends."
    )
    login: Login = Login()


class RefreshTokenCredential(Strict):
    """An access token that a stored refresh token gives, for systems that know one login."""

    token: Name = Field(description="A name of storedTokens.")
    subject: Literal["app"] = Field(default="app", description="The login is the application's.")
