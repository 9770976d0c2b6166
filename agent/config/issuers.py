"""Whose tokens are accepted, and what is asked of them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from agent.config.fields import (
    SECURE_URL,
    Duration,
    File,
    Name,
    Strict,
    Text,
    Url,
    one_of,
    secure_url,
)

_GUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_UPPER_GUID = re.compile(_GUID, re.IGNORECASE)

# RE2 has no look-ahead: it is not the word `http:` by its first letter that differs.
_NOT_HTTP = "^([^h]|h([^t]|$)|ht([^t]|$)|htt([^p]|$)|http([^:]|$))"

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
Audiences = Annotated[tuple[Text, ...], Field(min_length=1, strict=False)]
Algorithms = Annotated[tuple[Algorithm, ...], Field(min_length=1, strict=False)]


def _names(value: object) -> object:
    """Let one name stand for a list of one."""
    return (value,) if isinstance(value, str) else value


_ClaimName = Annotated[str, Field(min_length=1, max_length=256)]
ClaimNames = Annotated[
    tuple[_ClaimName, ...],
    Field(min_length=1, max_length=16, strict=False),
    # Outermost, or the schema would count the letters of one name as names.
    BeforeValidator(
        _names,
        json_schema_input_type=_ClaimName
        | Annotated[list[_ClaimName], Field(min_length=1, max_length=16)],
    ),
]


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


class KeyDocument(Strict):
    """Where keys come from without discovery: a mounted file, or a URL."""

    file: File | None = None
    url: Url | None = None
    ca_file: File | None = None

    @model_validator(mode="after")
    def _one(self) -> KeyDocument:
        one_of(self, "file", "url")
        if self.file and self.ca_file:
            raise ValueError("caFile belongs to a url, not to a file; remove it")
        return self


class Claims(Strict):
    """Which claims say what. A name is taken to the letter first, then as a path with dots."""

    scopes: ClaimNames | None = Field(
        default=None, description="Scopes: a text with spaces, or a list. Default: scope and scp."
    )
    roles: ClaimNames | None = Field(
        default=None, description="Roles: a list, or one role. Default: roles, realm_access.roles."
    )
    client: ClaimNames | None = Field(
        default=None, description="The client; the first one there. Default: client_id, azp, cid."
    )
    subject: ClaimNames | None = Field(
        default=None, description="Who is calling; the first one there. Default: sub."
    )
    tenant: ClaimNames | None = Field(
        default=None, description="The caller's tenant; the first one there. Default: tid."
    )
    audience: ClaimNames | None = Field(
        default=None,
        description="What is compared with audiences where a token has no aud: client_id for "
        "Amazon Cognito, for example. Default: nothing, such a token is refused.",
    )


Callers = Literal["told", "users", "apps"]
_CALLERS = (
    "Whether its tokens are users' or apps': as each token tells (a user's where it does not), "
    "all of them users', or all of them apps'."
)


class Oidc(Strict):
    """Any OpenID Connect issuer: keys by discovery, or from where jwks says."""

    # Before `issuer`, whose validator asks for it.
    jwks: KeyDocument | None = Field(
        default=None, description="Where the keys are, for an issuer without discovery."
    )
    issuer: Text = Field(
        description="The value of iss, to the letter; without jwks the https URL that discovery "
        "starts at.",
        json_schema_extra={"anyOf": [{"pattern": SECURE_URL}, {"pattern": _NOT_HTTP}]},
    )
    ca_file: File | None = None
    audiences: Audiences = Field(description="Accepted values of aud, matched exactly.")
    algorithms: Algorithms = Field(
        default=("RS256", "ES256"), description="The signature algorithms that its keys may use."
    )
    profile: Literal["generic", "rfc9068"] = Field(
        default="generic",
        description="rfc9068: every token must be a JWT access token by RFC 9068, with typ at+jwt "
        "and all claims that it requires.",
    )
    claims: Claims = Claims()
    callers: Callers = Field(default="told", description=_CALLERS)

    @field_validator("issuer")
    @classmethod
    def _reachable(cls, value: str, info: ValidationInfo) -> str:
        """What is asked for keys is a URL; a mere name may look as it likes, but not unsafe."""
        named_only = info.data.get("jwks") is not None
        return value if named_only and not value.startswith("http:") else secure_url(value)

    @model_validator(mode="after")
    def _one_ca(self) -> Oidc:
        if self.jwks and self.ca_file:
            raise ValueError("caFile is for discovery, and jwks does without; write jwks.caFile")
        return self


class Introspection(Strict):
    """Opaque tokens, explained by the server that issued them (RFC 7662)."""

    url: Url = Field(description="The introspection endpoint.")
    ca_file: File | None = None
    client_id: Text = Field(description="Our own client id there.")
    secret_file: File = Field(description="Our client secret; read anew when it changes.")
    auth_method: Literal["client_secret_basic", "client_secret_post"] = Field(
        default="client_secret_basic",
        description="How we prove ourselves (RFC 6749 section 2.3.1).",
    )
    issuer: Text | None = Field(
        default=None,
        description="What iss must be where the answer has one. JWTs of this iss are asked about "
        "too, unless another issuer claims them.",
    )
    audiences: Audiences = Field(description="Accepted values of aud, matched exactly.")
    cache: Annotated[Duration, Field(le=3600)] = Field(
        default=60,
        description="How long an answer is believed; never beyond the token's expiry. A token "
        "that its server revokes is accepted for so long.",
    )
    require_expiry: bool = Field(
        default=True, description="Refuse a token whose answer says no exp; RFC 7662 allows it."
    )
    claims: Claims = Claims()
    callers: Callers = Field(default="told", description=_CALLERS)


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
    txn_token: Literal["ignore", "accept", "require"] = Field(
        default="ignore",
        description="A Txn-Token beside its tokens: accept one that agrees with the token, require "
        "one, or ignore it. It never opens a route.",
    )


class Issuer(Strict):
    """One issuer, of exactly one kind."""

    name: Name
    entra: Entra | None = None
    b2c: B2C | None = Field(default=None, alias="b2c")
    oidc: Oidc | None = None
    internal: Internal | None = None
    introspection: Introspection | None = None

    @model_validator(mode="after")
    def _one(self) -> Issuer:
        one_of(self, *_KINDS)
        return self

    @property
    def rules(self) -> Rules:
        """The kind that is set."""
        rules: Rules = getattr(self, one_of(self, *_KINDS))
        return rules


Rules = Entra | B2C | Oidc | Internal | Introspection
_KINDS = ("entra", "b2c", "oidc", "internal", "introspection")
