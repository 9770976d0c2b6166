"""What we are at an authorization server: a client and how it proves itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from agent.config.fields import File, Name, Strict, Text, Url, one_of
from agent.config.own_credentials import FederatedManagedIdentity


class EntraIdentity(Strict):
    """An app registration in Entra ID; `tenant` is its home."""

    tenant: Text = Field(description="The home directory: its GUID or a domain.")
    client_id: Text = Field(description="The application (client) id.")
    authority: Url = "https://login.microsoftonline.com"
    ca_file: File | None = None
    secret_file: File | None = None
    certificate_file: File | None = Field(
        default=None, description="PEM with the private key and the certificate, or a PFX."
    )
    federated_token_file: File | None = Field(
        default=None, description="An assertion of workload identity, reread when it changes."
    )
    # `managedIdentity:` with nothing after it was meant: the system-assigned one.
    managed_identity: Annotated[
        FederatedManagedIdentity | None,
        BeforeValidator(lambda value: {} if value is None else value),
    ] = Field(
        default=None,
        description="A managed identity that a federated credential of the registration names.",
    )

    @model_validator(mode="after")
    def _one_proof(self) -> EntraIdentity:
        one_of(self, "secret_file", "certificate_file", "federated_token_file", "managed_identity")
        if self.authority.startswith("http:"):
            raise ValueError("msal accepts https authorities only; give the local server TLS")
        return self


class OAuthIdentity(Strict):
    """A client of any OAuth 2 authorization server."""

    token_url: Url
    client_id: Text = Field(description="The client's id.")
    secret_file: File
    auth_method: Literal["client_secret_basic", "client_secret_post"] = Field(
        default="client_secret_basic",
        description="How the client proves itself (RFC 6749 section 2.3.1).",
    )
    ca_file: File | None = None


class Identity(Strict):
    """One identity, of exactly one kind."""

    name: Name
    entra: EntraIdentity | None = None
    oauth: OAuthIdentity | None = None

    @model_validator(mode="after")
    def _one(self) -> Identity:
        one_of(self, "entra", "oauth")
        return self
