"""What the application may call, and the one credential that each destination gets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from agent.config.fields import Address, Duration, File, Name, OneKey, Strict, Text, one_of

Subject = Literal["user", "app", "either"]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]


class NoCredential(Strict):
    """Nothing is injected; whatever the application sent as Authorization is removed."""


class Forward(Strict):
    """The caller's own token, inside one suite that shares an audience list."""

    subject: Literal["user", "either"] = Field(
        default="user", description="user: only a person's token; either: an app's too."
    )


class InternalCredential(Strict):
    """A token minted here (DESIGN.md §7)."""

    audience: Text
    scopes: Texts = ()
    claims: Texts = Field(
        default=(), description="Claims of the caller to pass on, such as name or roles."
    )
    subject: Subject = "user"


class OnBehalfOf(Strict):
    """An Entra On-Behalf-Of token in the caller's own tenant."""

    identity: Name
    scopes: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)]
    subject: Literal["user"] = "user"


class ClientCredentials(Strict):
    """A token of the application itself."""

    identity: Name
    scopes: Texts = ()
    audience: Text | None = None
    subject: Literal["app"] = "app"


KINDS = ("none", "forward", "internal", "obo", "client_credentials")
# Named by DESIGN.md §6 and built by later issues; asked for today, they are refused by name.
NOT_YET = ("managedIdentity", "tokenExchange", "refreshToken", "secretFile")


class CredentialChoice(Strict):
    """One kind of credential; `subject` may stand inside the kind or beside it."""

    none: NoCredential | None = None
    forward: Forward | None = None
    internal: InternalCredential | None = None
    obo: OnBehalfOf | None = None
    client_credentials: ClientCredentials | None = None

    @model_validator(mode="before")
    @classmethod
    def _subject_inside(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for kind in NOT_YET:
            if kind in value:
                raise ValueError(f"{kind} is not part of this version; see the README's table")
        if "subject" in value:
            kinds = [key for key in value if key != "subject"]
            if len(kinds) == 1 and "subject" not in (value[kinds[0]] or {}):
                inner = value[kinds[0]] or {}
                return {kinds[0]: {**inner, "subject": value["subject"]}}
        return value

    @model_validator(mode="after")
    def _one(self) -> CredentialChoice:
        one_of(self, *KINDS)
        return self

    @property
    def kind(self) -> str:
        """The configuration's word for the kind, as it stands in the file."""
        return to_camel(one_of(self, *KINDS))


class Tls(Strict):
    """TLS to the destination; the server's name is the host of `address` unless `sni` says."""

    ca_file: File | None = None
    sni: Text | None = None
    certificate_file: File | None = None
    key_file: File | None = None

    @model_validator(mode="after")
    def _pair(self) -> Tls:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificateFile and keyFile go together")
        return self


def _empty(value: object) -> object:
    """Let an empty `tls:` stand for `tls: {}`: it was written, so TLS is meant."""
    return {} if value is None else value


class Destination(Strict):
    """One place that the application may call."""

    name: Name
    hosts: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    address: Text | None = None
    tls: Annotated[Tls | None, BeforeValidator(_empty)] = None
    plaintext: bool = Field(
        default=False,
        description="A token may travel to this address without TLS, for the network protects it.",
    )
    credential: Annotated[CredentialChoice, OneKey] = CredentialChoice.model_validate({"none": {}})
    timeout: Duration = 15.0

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            Address.parse(host, default_port=80)
        return tuple(host.lower() for host in value)

    @model_validator(mode="after")
    def _address(self) -> Destination:
        if self.address is not None:
            Address.parse(self.address, default_port=443 if self.tls else 80)
        return self

    @property
    def upstream(self) -> Address:
        """Where the requests really go."""
        return Address.parse(self.address or self.hosts[0], default_port=443 if self.tls else 80)
