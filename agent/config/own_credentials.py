"""Credentials that a program has of itself beside client credentials: Azure's, and plain keys."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from agent.config.fields import File, Instant, Name, Strict, Text
from agent.config.routes import RESERVED_HEADERS

Source = Literal["auto", "platform", "workload"]

_HEADER = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"([!-~][ -~]*)?", re.ASCII)
# RFC 9110 §7.6.1: these belong to a connection; and those that frame or route a message.
_OF_THE_MESSAGE = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "proxy-authorization", "proxy-authenticate", "host", "content-length"),
        *("content-type", "content-encoding", "expect", "forwarded", "via"),
    }
)
_OF_THE_LINK = frozenset({"baggage", "tracestate", "traceparent", "x-auth-name", "x-auth-email"})
_FOREIGN = ("x-envoy-", "x-forwarded-", "x-attache-", "grpc-")


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(
            "this is not a header's name; write lower-case letters, digits and '-', as x-api-key"
        )
    if value in _OF_THE_MESSAGE:
        raise ValueError(f"'{value}' belongs to the connection or the message; choose another")
    if value in RESERVED_HEADERS | _OF_THE_LINK or value.startswith(_FOREIGN):
        raise ValueError(f"'{value}' is the agent's or Envoy's own; choose another")
    return value


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise ValueError("a prefix is plain ASCII text; write it like 'Bearer '")
    return value


class ManagedIdentity(Strict):
    """A token of one of Azure's managed identities itself, through azure-identity."""

    scopes: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        default=(), description="One resource, such as api://name/.default."
    )
    resource: Text | None = Field(
        default=None, description="The same without /.default; write one of the two."
    )
    client_id: Text | None = Field(
        default=None,
        description="Which user-assigned identity; if not written, the system-assigned one.",
    )
    identity: Name | None = Field(
        default=None,
        description="An entra identity whose managedIdentity is meant, instead of clientId.",
    )
    source: Source = Field(
        default="auto",
        description="platform: what Azure gives the machine (IMDS, App Service, Arc); workload: "
        "the pod's workload identity; auto: workload where the pod has one, else platform.",
    )
    ca_file: File | None = Field(
        default=None, description="Whom to trust as the server of a workload identity."
    )
    subject: Literal["app"] = Field(
        default="app", description="These tokens are the application's own."
    )

    @model_validator(mode="after")
    def _one_resource(self) -> ManagedIdentity:
        if (len(self.scopes) == 1) == (self.resource is not None) or len(self.scopes) > 1:
            raise ValueError(
                "a managed identity's token is for one resource; write resource, or one scope"
            )
        if self.identity and (self.client_id or self.source != "auto"):
            raise ValueError("identity says clientId and source already; write them there only")
        return self

    @property
    def wanted(self) -> str:
        """The resource as Azure names it."""
        return self.resource or self.scopes[0].removesuffix("/.default")


class FederatedManagedIdentity(Strict):
    """A managed identity that vouches for an app registration (a federated credential on it)."""

    client_id: Text | None = Field(
        default=None,
        description="Which user-assigned identity; if not written, the system-assigned one.",
    )


class SecretFile(Strict):
    """A key of some API in a header, from a file that is reread when it changes."""

    file: File
    header: Annotated[str, AfterValidator(_header)] = Field(
        default="authorization", description="The header that carries the key, as x-api-key."
    )
    prefix: Annotated[str, Field(max_length=64), AfterValidator(_prefix)] | None = Field(
        default=None,
        description="Text before the key; if not written, 'Bearer ' in authorization, else none.",
    )
    expires: Instant | None = Field(
        default=None,
        description="When the key ends; a file of the same name with .expires behind it wins.",
    )
    subject: Literal["app"] = Field(default="app", description="The key is the application's own.")

    @property
    def before(self) -> str:
        """What stands before the key."""
        if self.prefix is not None:
            return self.prefix
        return "Bearer " if self.header == "authorization" else ""
