"""Where the list of revoked tokens comes from, and what happens when it cannot be reached."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from agent.config.fields import Address, Duration, File, Strict, Text, one_of

_PATH = re.compile(r"(?:/(?:\d{1,5})?)?", re.ASCII)
_FORM = "write rediss://host:6379/0"


def _redis_url(value: object) -> str:
    """A Redis URL without user information, query and fragment; none of it is repeated."""
    if not isinstance(value, str):
        raise ValueError(f"a URL is text; {_FORM}")  # noqa: TRY004 - pydantic's
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"this is not a URL; {_FORM}") from None
    if "@" in parts.netloc:
        raise ValueError(
            "a URL here has no user and no password; write username and passwordFile beside it"
        )
    if parts.scheme not in ("redis", "rediss") or not host:
        raise ValueError(f"this is not the URL of a Redis; {_FORM}")
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        raise ValueError(f"this says more than host, port and database; {_FORM}")
    Address.parse(parts.netloc, default_port=port or 6379)
    return value


RedisUrl = Annotated[
    str,
    BeforeValidator(_redis_url, json_schema_input_type=str),
    Field(description="rediss://host:port/database; redis:// inside the cluster only."),
]


class RedisList(Strict):
    """A hash of JSON entries in Redis."""

    url: RedisUrl
    username: Text | None = Field(default=None, description="The ACL user, where there is one.")
    password_file: File | None = None
    ca_file: File | None = None
    key: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        default="attache:revoked",
        description="The hash of entries; KEY:version counts its changes.",
    )
    plaintext: bool = Field(
        default=False,
        description="redis:// may leave the cluster, for the network itself protects it.",
    )

    @model_validator(mode="after")
    def _fits(self) -> RedisList:
        if self.username and self.password_file is None:
            raise ValueError("username needs a password; write passwordFile")
        if self.ca_file and not self.tls:
            raise ValueError("caFile belongs to rediss://; write that, or remove caFile")
        return self

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("rediss:")

    @property
    def address(self) -> Address:
        """Host and port."""
        return Address.parse(urlsplit(self.url).netloc, default_port=6379)

    @property
    def database(self) -> int:
        """The number of the database."""
        return int(urlsplit(self.url).path.strip("/") or 0)


class Revocation(Strict):
    """Which tokens are refused although they are genuine and in time."""

    file: File | None = None
    redis: RedisList | None = None
    snapshot: File | None = Field(
        default=None,
        description="Where the last known list is kept, for a start without its source.",
    )
    on_loss: Literal["serve", "notReady"] = Field(
        default="serve",
        description="While the source is lost the last known list holds; notReady: and /readyz "
        "answers 503.",
    )
    max_age: Annotated[Duration, Field(ge=10)] | None = Field(
        default=None,
        description="A list that its source has not confirmed for so long admits nobody.",
    )

    @model_validator(mode="after")
    def _one(self) -> Revocation:
        one_of(self, "file", "redis")
        if self.file is not None and self.file == self.snapshot:
            raise ValueError("snapshot would overwrite the list itself; name another file")
        return self
