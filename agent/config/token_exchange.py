"""Which token becomes which at an authorization server? (RFC 8693)"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from agent.config.fields import File, Name, OneKey, Strict, Text, Texts, one_of

_WORDS = ("access_token", "jwt", "id_token")
_PREFIX = "urn:ietf:params:oauth:token-type:"  # RFC 8693 §3


def _resource(value: str) -> str:
    parts = urlsplit(value)
    if not parts.scheme or parts.fragment or not value.isascii() or not value.isprintable():
        raise ValueError(
            "a resource is an absolute URI without a fragment (RFC 8707); write https://…, or use "
            "audience for a name"
        )
    return value


def _token_type(value: str) -> str:
    if value not in _WORDS and not urlsplit(value).scheme:
        raise ValueError(
            f"this is no token type; write one of {', '.join(_WORDS)}, or the URI of another"
        )
    return value


def token_type(word: str) -> str:
    """The identifier of RFC 8693 §3 for *word*; a URI is one already.

    >>> token_type("jwt"), token_type("urn:example:badge")
    ('urn:ietf:params:oauth:token-type:jwt', 'urn:example:badge')
    """
    return f"{_PREFIX}{word}" if word in _WORDS else word


Resource = Annotated[Text, AfterValidator(_resource)]
TokenType = Annotated[
    Text,
    AfterValidator(_token_type),
    Field(description="access_token, jwt, id_token, or the URI of another type."),
]


class ShownByClientCredentials(Strict):
    """A token that we obtain for ourselves as a client."""

    identity: Name | None = Field(
        default=None, description="As whom; the exchange's own identity if not written."
    )
    scopes: Texts = Field(default=(), description="What is asked for.")
    audience: Text | None = Field(
        default=None, description="The audience parameter, for servers that want one."
    )
    resource: Resource | None = Field(
        default=None, description="The resource parameter (RFC 8707), an absolute URI."
    )


class ShownByMinting(Strict):
    """A token about ourselves that we mint; the server must trust internalTokens.issuer."""

    audience: Text | None = Field(
        default=None, description="The server's name in aud; its issuer or token URL if not given."
    )
    scopes: Texts = Field(default=(), description="The scopes to write into it.")


class ShownByFile(Strict):
    """A token that something else keeps fresh, such as a projected service account token."""

    path: File
    token_type: TokenType = "jwt"


def _file(value: object) -> object:
    """Let `file: /path` stand for `file: {path: /path}`."""
    return {"path": value} if isinstance(value, str) else value


class ShownToken(Strict):
    """A token of our own that is shown to the authorization server; of exactly one kind."""

    client_credentials: ShownByClientCredentials | None = None
    internal: ShownByMinting | None = None
    file: Annotated[
        ShownByFile | None, BeforeValidator(_file, json_schema_input_type=ShownByFile | str | None)
    ] = Field(default=None, description="A token in a file; its path alone is enough.")

    @model_validator(mode="after")
    def _one(self) -> ShownToken:
        one_of(self, "client_credentials", "internal", "file")
        return self


def _nobody(value: object) -> object:
    """Let `actor: none` say what leaving it out says."""
    return None if value == "none" else value


class TokenExchange(Strict):
    """The caller's token, exchanged at an authorization server for one to this destination."""

    identity: Name
    audience: Text | None = Field(
        default=None, description="The destination's name at the server, such as a client id."
    )
    resource: Resource | None = Field(
        default=None, description="Where the token is used: an absolute URI (RFC 8707)."
    )
    scopes: Texts = Field(default=(), description="What is asked for.")
    subject_token_type: TokenType = "access_token"
    requested_token_type: Literal["access_token", "jwt"] = Field(
        default="access_token", description="What must come back; another answer is refused."
    )
    actor: Annotated[ShownToken | None, OneKey, BeforeValidator(_nobody)] = Field(
        default=None, description="Our own token beside the caller's, as the one who acts."
    )
    own: Annotated[ShownToken | None, OneKey] = Field(
        default=None,
        description="What is exchanged where the call is made as the application itself.",
    )
    issuers: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        default=(),
        description="Whose callers' tokens are exchanged; all but internal ones if not written.",
    )
    subject: Literal["user", "app", "either"] = Field(
        default="user", description="For whom the call is made."
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> TokenExchange:
        if self.audience is None and self.resource is None and not self.scopes:
            raise ValueError(
                "nothing says what the token is for; write audience, resource or scopes"
            )
        if self.subject == "app" and self.own is None:
            raise ValueError(
                "subject: app exchanges a token of our own; name it under own, or use "
                "clientCredentials"
            )
        if self.subject == "app" and self.issuers:
            raise ValueError("subject: app exchanges no caller's token; remove issuers")
        if self.subject == "user" and self.own is not None:
            raise ValueError(
                "own is exchanged for the application itself, which subject: user never is; "
                "remove it, or write subject: either"
            )
        return self
