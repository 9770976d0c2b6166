"""What the application may call, and the one credential that each destination gets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from agent.challenge import minified
from agent.config.fields import (
    Address,
    Duration,
    File,
    Name,
    OneKey,
    Strict,
    Text,
    Texts,
    one_of,
)
from agent.config.own_credentials import ManagedIdentity, SecretFile
from agent.config.stored_tokens import RefreshTokenCredential
from agent.config.token_exchange import Resource, TokenExchange

Subject = Literal["user", "app", "either"]


class NoCredential(Strict):
    """Nothing is injected; whatever the application sent as Authorization is removed."""


class Forward(Strict):
    """The caller's own token, inside one suite that shares an audience list."""

    subject: Literal["user", "either"] = Field(
        default="user", description="user: only a person's token; either: an app's too."
    )


class TransactionToken(Strict):
    """A Txn-Token beside an internal token (draft-ietf-oauth-transaction-tokens-10)."""

    scopes: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] = Field(
        description="What the transaction is for, as narrowly as possible."
    )
    claims: Texts = Field(
        default=(), description="Claims of the caller that become the transaction's tctx."
    )


class InternalCredential(Strict):
    """A token minted here (DESIGN.md §7)."""

    audience: Text = Field(description="The destination's name in aud.")
    scopes: Texts = Field(default=(), description="The minimum that the call needs.")
    claims: Texts = Field(
        default=(), description="Claims of the caller to pass on, such as name or roles."
    )
    subject: Subject = Field(default="user", description="For whom the call is made.")
    txn_token: TransactionToken | None = Field(
        default=None,
        description="Send a Txn-Token too: the one that the request came with, else a new one.",
    )


def _challenge(value: object) -> str:
    text = minified(value)
    if not text:
        raise ValueError(
            "this is not a claims request; write {access_token: {acrs: {essential: true, value: "
            "c1}}}, or the JSON that the destination's challenge holds"
        )
    return text


# Written as it stands in a challenge, or as YAML; kept as minified JSON.
Challenge = Annotated[
    str, BeforeValidator(_challenge), WithJsonSchema({"type": ["object", "string"]})
]


class OnBehalfOf(Strict):
    """An Entra On-Behalf-Of token in the caller's own tenant."""

    identity: Name
    scopes: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] = Field(
        description="What is asked for, such as api://name/.default."
    )
    claims: Challenge | None = Field(
        default=None,
        description="What the destination demands of every token: a claims request (OpenID Connect "
        "Core section 5.5), such as an authentication context.",
    )
    subject: Literal["user"] = Field(default="user", description="On-Behalf-Of is for users only.")


class ClientCredentials(Strict):
    """A token of the application itself."""

    identity: Name
    scopes: Texts = Field(default=(), description="What is asked for, such as api://name/.default.")
    audience: Text | None = Field(
        default=None, description="The audience parameter, for servers that want one."
    )
    resource: Resource | None = Field(
        default=None, description="The resource parameter (RFC 8707), an absolute URI."
    )
    subject: Literal["app"] = Field(
        default="app", description="These tokens are the application's own."
    )


KINDS = (
    *("none", "forward", "internal", "obo", "client_credentials"),
    *("managed_identity", "secret_file", "token_exchange", "refresh_token"),
)
# Kinds that speak for the application alone: one credential for whoever causes the call.
OWN = frozenset({"clientCredentials", "managedIdentity", "secretFile", "refreshToken"})


class CredentialChoice(Strict):
    """One kind of credential; `subject` may stand inside the kind or beside it."""

    none: NoCredential | None = None
    forward: Forward | None = None
    internal: InternalCredential | None = None
    obo: OnBehalfOf | None = None
    client_credentials: ClientCredentials | None = None
    managed_identity: ManagedIdentity | None = None
    secret_file: SecretFile | None = None
    token_exchange: TokenExchange | None = None
    refresh_token: RefreshTokenCredential | None = None

    @model_validator(mode="before")
    @classmethod
    def _subject_inside(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kinds = {
            # A kind that is written with nothing after it was meant: `forward:` is `forward: {}`.
            key: {} if inner is None else inner
            for key, inner in value.items()
            if key != "subject"
        }
        if "subject" not in value:
            return kinds
        for kind, inner in kinds.items():
            if len(kinds) == 1 and isinstance(inner, dict):
                if "subject" in inner:
                    raise ValueError("subject is said twice; write it inside the kind only")
                return {kind: {**inner, "subject": value["subject"]}}
        return value

    @model_validator(mode="after")
    def _one(self) -> CredentialChoice:
        one_of(self, *KINDS)
        return self

    @property
    def field(self) -> str:
        """The attribute that holds the kind."""
        return one_of(self, *KINDS)

    @property
    def kind(self) -> str:
        """The configuration's word for the kind, as it stands in the file."""
        return to_camel(self.field)

    @property
    def subject(self) -> Subject | None:
        """For whom the credential is obtained; None where it speaks for nobody."""
        subject: Subject | None = getattr(getattr(self, one_of(self, *KINDS)), "subject", None)
        return subject


class Tls(Strict):
    """TLS to the destination; the server's name is the host of `address` unless `sni` says."""

    ca_file: File | None = None
    sni: Text | None = Field(
        default=None, description="The server's name, where it is not the host of address."
    )
    certificate_file: File | None = None
    key_file: File | None = None

    @model_validator(mode="after")
    def _pair(self) -> Tls:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificateFile and keyFile go together; write both or none")
        return self


def _host(value: str) -> str:
    Address.parse(value, default_port=80)
    return value.lower()


def _upstream(value: str) -> str:
    Address.parse(value, default_port=80)  # 443 with tls; the form is the same
    return value


Host = Annotated[str, AfterValidator(_host)]
Upstream = Annotated[Text, AfterValidator(_upstream)]


def _empty(value: object) -> object:
    """Let an empty `tls:` stand for `tls: {}`: it was written, so TLS is meant."""
    return {} if value is None else value


class Destination(Strict):
    """One place that the application may call."""

    name: Name
    hosts: Annotated[tuple[Host, ...], Field(strict=False)] = Field(
        default=(),
        description="What the application calls; the port only where it is not 80. A destination "
        "without any is for the tokenService only.",
    )
    address: Upstream | None = Field(
        default=None, description="Where it really goes; the first of hosts if not written."
    )
    tls: Annotated[Tls | None, BeforeValidator(_empty)] = None
    plaintext: bool = Field(
        default=False,
        description="A token may travel to this address without TLS, for the network protects it.",
    )
    credential: Annotated[CredentialChoice, OneKey] = CredentialChoice.model_validate({"none": {}})
    delivery: Literal["check", "sds"] = Field(
        default="check",
        description="check: the agent is asked for each call; sds: an application's own credential "
        "is pushed to Envoy, which then asks nobody.",
    )
    timeout: Duration = 15.0

    @model_validator(mode="after")
    def _routed(self) -> Destination:
        routed = self.address or self.tls or self.plaintext or self.delivery == "sds"
        if routed and not self.hosts:
            raise ValueError(
                "address, tls, plaintext and delivery are for requests that Envoy routes, and no "
                "host leads here; write hosts, or remove them"
            )
        return self

    @property
    def upstream(self) -> Address:
        """Where the requests really go."""
        return Address.parse(self.address or self.hosts[0], default_port=443 if self.tls else 80)
