"""What we are at an authorization server: a client and how it proves itself."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from agent.config.fields import File, Instant, Name, Strict, Text, Url, one_of
from agent.config.issuers import Algorithm
from agent.config.own_credentials import FederatedManagedIdentity

Expires = Annotated[
    Instant | None,
    Field(
        description="When the secret in secretFile ends; a file beside it, of the same name with "
        ".expires behind it, wins. Certificates say their end themselves."
    ),
]


def _only_with_secret(identity: EntraIdentity | OAuthIdentity) -> None:
    if identity.expires is not None and identity.secret_file is None:
        raise ValueError("expires is the end of the secret in secretFile; remove it")


class EntraIdentity(Strict):
    """An app registration in Entra ID; `tenant` is its home."""

    tenant: Text = Field(description="The home directory: its GUID or a domain.")
    client_id: Text = Field(description="The application (client) id.")
    authority: Url = "https://login.microsoftonline.com"
    ca_file: File | None = None
    secret_file: File | None = None
    expires: Expires = None
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
        _only_with_secret(self)
        return self


AuthMethod = Literal[
    "client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"
]
_METHODS: tuple[AuthMethod, ...] = get_args(AuthMethod)
# method → the files that it needs; the first method that fits is meant where none is written
_PROOFS: dict[str, frozenset[str]] = {
    "client_secret_basic": frozenset({"secretFile"}),
    "client_secret_post": frozenset({"secretFile"}),
    "tls_client_auth": frozenset({"certificateFile", "keyFile"}),
    "private_key_jwt": frozenset({"keyFile"}),
    "none": frozenset(),
}


class OAuthIdentity(Strict):
    """A client of any OAuth 2 authorization server."""

    token_url: Url | None = None
    issuer: Url | None = Field(
        default=None,
        description="Whose discovery document names the token endpoint; instead of tokenUrl.",
    )
    client_id: Text = Field(
        default="", description="The client's id; only authMethod: none may go without."
    )
    auth_method: AuthMethod | None = Field(
        default=None,
        description="How the client proves itself; what its files say if not written "
        "(RFC 6749 section 2.3.1, RFC 7523, RFC 8705).",
    )
    secret_file: File | None = None
    expires: Expires = None
    key_file: File | None = Field(
        default=None,
        description="PEM private key: signs assertions, or belongs to the certificate.",
    )
    certificate_file: File | None = Field(
        default=None, description="PEM certificate shown over TLS (tls_client_auth)."
    )
    federated_token_file: File | None = Field(
        default=None,
        description="An assertion that something else keeps fresh, such as a projected service "
        "account token; instead of keyFile.",
    )
    key_id: Text | None = Field(default=None, description="The kid in our assertions.")
    algorithm: Algorithm | None = Field(
        default=None, description="How assertions are signed; the key's usual one if not written."
    )
    assertion_audience: Text | None = Field(
        default=None,
        description="The aud of our assertions: the issuer, or else the token URL, if not written.",
    )
    ca_file: File | None = None

    @model_validator(mode="after")
    def _proof_fits(self) -> OAuthIdentity:
        _only_with_secret(self)
        if (self.token_url is None) == (self.issuer is None):
            raise ValueError("exactly one of tokenUrl, issuer is needed; write one of them")
        method = self.method
        if not self.client_id and method != "none":
            raise ValueError("clientId is missing; write the client's id")
        signs = method == "private_key_jwt" and self.federated_token_file is None
        for name, value in (("keyId", self.key_id), ("algorithm", self.algorithm)):
            if value is not None and not signs:
                raise ValueError(f"{name} is for assertions that keyFile signs; remove it")
        if self.assertion_audience is not None and not signs:
            raise ValueError("assertionAudience is for assertions that keyFile signs; remove it")
        return self

    @property
    def method(self) -> AuthMethod:
        """How the client proves itself, said or told by its files; `ValueError` if they differ."""
        files = frozenset(
            str(type(self).model_fields[name].alias)
            for name in ("secret_file", "key_file", "certificate_file", "federated_token_file")
            if getattr(self, name) is not None
        )
        if self.auth_method is None:
            if files == {"federatedTokenFile"}:
                return "private_key_jwt"
            for method in _METHODS:
                if files == _PROOFS[method] and files:
                    return method
            raise ValueError(
                "nothing says how the client proves itself; write one of secretFile, keyFile, "
                "certificateFile with keyFile, federatedTokenFile, or authMethod: none"
            )
        needed = _PROOFS[self.auth_method]
        if self.auth_method == "private_key_jwt" and files == {"federatedTokenFile"}:
            return self.auth_method
        if files != needed:
            wanted = " and ".join(sorted(needed)) or "no file"
            found = ", ".join(sorted(files)) or "none"
            raise ValueError(
                f"authMethod {self.auth_method} goes with {wanted}, found {found}; write what it "
                "goes with, or another authMethod"
            )
        return self.auth_method


class Identity(Strict):
    """One identity, of exactly one kind."""

    name: Name
    entra: EntraIdentity | None = None
    oauth: OAuthIdentity | None = None

    @model_validator(mode="after")
    def _one(self) -> Identity:
        one_of(self, "entra", "oauth")
        return self
