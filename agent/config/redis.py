"""Where is the Redis that pods agree by?"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from agent.config.fields import Address, File, Strict, Text

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


class RedisServer(Strict):
    """One Redis, and how we prove ourselves to it."""

    url: RedisUrl
    username: Text | None = Field(default=None, description="The ACL user, where there is one.")
    password_file: File | None = None
    ca_file: File | None = None
    plaintext: bool = Field(
        default=False,
        description="redis:// may leave the cluster, for the network itself protects it.",
    )

    @model_validator(mode="after")
    def _fits(self) -> RedisServer:
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
