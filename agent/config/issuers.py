"""Whose tokens are accepted, and what is asked of them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from agent.config.fields import File, Name, Strict, Text, Url, one_of

_GUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_UPPER_GUID = re.compile(_GUID, re.IGNORECASE)

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
Audiences = Annotated[tuple[Text, ...], Field(min_length=1, strict=False)]
Algorithms = Annotated[tuple[Algorithm, ...], Field(min_length=1, strict=False)]


def _tenant(value: object) -> object:
    """Entra writes tenant ids in lower case; another case would never match (SECURITY.md 9)."""
    if isinstance(value, str) and _UPPER_GUID.fullmatch(value):
        return value.lower()
    raise ValueError(f"'{value}' is not a tenant id; write the directory's GUID")


TenantId = Annotated[str, BeforeValidator(_tenant, json_schema_input_type=str)]


class Entra(Strict):
    """Microsoft Entra ID: listed tenants, or any tenant where that is said."""

    authority: Url = "https://login.microsoftonline.com"
    ca_file: File | None = None
    tenants: Annotated[tuple[TenantId, ...], Field(strict=False)] = Field(
        default=(), description="Whose users and apps are accepted: GUIDs of directories."
    )
    allow_any_tenant: bool = Field(
        default=False,
        description="Accept every directory there is; authorise by tenants or clients then.",
    )
    audiences: Audiences = Field(description="Accepted values of aud, matched exactly.")
    algorithms: Algorithms = Field(
        default=("RS256",), description="The signature algorithms that its keys may use."
    )

    @model_validator(mode="after")
    def _tenants_are_said(self) -> Entra:
        if not self.tenants and not self.allow_any_tenant:
            raise ValueError("no tenant is allowed; list the tenants, or say allowAnyTenant: true")
        if self.tenants and self.allow_any_tenant:
            raise ValueError("tenants and allowAnyTenant contradict each other; remove one")
        return self


class B2C(Strict):
    """Azure AD B2C: one metadata document and one set of keys for each policy."""

    authority: Url
    ca_file: File | None = None
    tenant: Text = Field(
        description="The directory: its name or its GUID, as the authority's URLs write it."
    )
    policies: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] = Field(
        description="The user flows whose tokens are accepted."
    )
    audiences: Audiences = Field(description="Accepted values of aud, matched exactly.")
    algorithms: Algorithms = Field(
        default=("RS256",), description="The signature algorithms that its keys may use."
    )


class Oidc(Strict):
    """Any OpenID Connect issuer with discovery."""

    issuer: Url
    ca_file: File | None = None
    audiences: Audiences = Field(description="Accepted values of aud, matched exactly.")
    algorithms: Algorithms = Field(
        default=("RS256", "ES256"), description="The signature algorithms that its keys may use."
    )


class KeyDocument(Strict):
    """Where a trust domain's keys come from: a mounted file, or a URL."""

    file: File | None = None
    url: Url | None = None
    ca_file: File | None = None

    @model_validator(mode="after")
    def _one(self) -> KeyDocument:
        one_of(self, "file", "url")
        if self.file and self.ca_file:
            raise ValueError("caFile belongs to a url, not to a file; remove it")
        return self


class Internal(Strict):
    """Our own tokens: what the workloads of one trust domain mint (DESIGN.md §7)."""

    trust_domain: Text = Field(description="The name of the trust domain.")
    issuers: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] = Field(
        description="Accepted values of iss, matched exactly."
    )
    audience: Text = Field(description="Our own name in aud.")
    jwks: KeyDocument
    algorithms: Algorithms = Field(
        default=("ES256",), description="The signature algorithms that its keys may use."
    )


class Issuer(Strict):
    """One issuer, of exactly one kind."""

    name: Name
    entra: Entra | None = None
    b2c: B2C | None = Field(default=None, alias="b2c")
    oidc: Oidc | None = None
    internal: Internal | None = None

    @model_validator(mode="after")
    def _one(self) -> Issuer:
        one_of(self, "entra", "b2c", "oidc", "internal")
        return self

    @property
    def rules(self) -> Entra | B2C | Oidc | Internal:
        """The kind that is set."""
        kind = one_of(self, "entra", "b2c", "oidc", "internal")
        rules: Entra | B2C | Oidc | Internal = getattr(self, kind)
        return rules
