"""The words of which the configuration is made: addresses, URLs, durations, names, files."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)


class Strict(BaseModel):
    """The base of every configuration object: frozen, camelCase, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False, strict=True
    )


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, written `host:port` or `[v6]:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether the host names this machine (or pod) only."""
        return is_loopback(self.host)

    @classmethod
    def parse(cls, text: str, default_port: int | None = None) -> Address:
        """Read `host:port`; raise `ValueError` with a sentence that says what is wrong."""
        parts = urlsplit(f"//{text}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"'{text}' has no valid port; write host:port") from None
        if not host or parts.path or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"'{text}' is not an address; write host:port")
        if ":" not in host and not _HOST.fullmatch(host):
            raise ValueError(f"'{host}' is not a host name")
        port = default_port if port is None else port
        if port is None or not 1 <= port <= 65535:
            raise ValueError(f"'{text}' has no port; write host:port")
        return cls(host, port)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls.parse, core_schema.str_schema(strict=True)
        )


def is_loopback(host: str) -> bool:
    """Whether *host* is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _duration(value: object) -> float:
    """Seconds from `5m`, `30s`, `250ms` or a plain number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("a duration is written like 30s, 5m or 1h")  # noqa: TRY004 - pydantic's
    if isinstance(value, (int, float)):
        return float(value)
    match = _DURATION.fullmatch(value)
    if not match:
        raise ValueError(f"'{value}' is not a duration; write it like 30s, 5m or 1h")
    return int(match[1]) * _UNITS[match[2]]


def _secure_url(value: object) -> str:
    """An absolute https URL without a trailing secret: no user, no fragment (SECURITY.md 32)."""
    if not isinstance(value, str):
        raise ValueError("a URL is a string")  # noqa: TRY004 - pydantic turns it into a finding
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(f"'{value}' is not an absolute URL; write https://host/path")
    if parts.username is not None or parts.fragment:
        raise ValueError("a URL here has neither user information nor a fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"'{value}' is plain http, which is accepted for loopback only; write https://"
        )
    return value


def _choice(value: object) -> object:
    """Let `credential: none` stand for `credential: {none: {}}`."""
    return {value: {}} if isinstance(value, str) else value


Duration = Annotated[
    float,
    BeforeValidator(_duration, json_schema_input_type=str | int | float),
    Field(gt=0, description="Seconds, or a text like 30s, 5m, 1h."),
]
Url = Annotated[str, BeforeValidator(_secure_url, json_schema_input_type=str)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$")]
Text = Annotated[str, Field(min_length=1, max_length=2048)]
Port = Annotated[int, Field(ge=1, le=65535)]
File = Annotated[Path, BeforeValidator(lambda v: Path(v) if isinstance(v, str) and v else v)]
OneKey = BeforeValidator(_choice)


def one_of(model: BaseModel, *names: str) -> str:
    """Return the one attribute among *names* that is set; `ValueError` unless exactly one is."""
    found = [name for name in names if getattr(model, name) is not None]
    if len(found) != 1:
        fields = type(model).model_fields
        written = ", ".join(str(fields[name].alias) for name in names)
        got = ", ".join(str(fields[name].alias) for name in found) or "none"
        raise ValueError(f"exactly one of {written} is needed, found {got}")
    return found[0]
