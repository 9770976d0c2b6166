"""The words of which the configuration is made: addresses, URLs, durations, names, files.

Every `ValueError` of the model reads "reason; remedy", and repeats no value that may hold a secret.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

_DURATION = re.compile(r"(\d{1,12})(ms|s|m|h|d)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_MAX_SECONDS = 366 * 86400.0
_NO_URL = re.compile(r"[\x00-\x20\x7f]")  # urlsplit drops some of them silently
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)


class Strict(BaseModel):
    """The base of every configuration object: frozen, camelCase, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=False,
        strict=True,
        defer_build=True,  # a validator for the whole configuration, and not one for each section
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
        if "@" in text:
            raise ValueError("an address holds no user information; write host:port")
        match = _ADDRESS.fullmatch(text)
        if match is None or _NO_URL.search(text):
            raise ValueError(f"'{text}' is not an address; write host:port")
        host, port = match[1].strip("[]").lower(), int(match[2] or default_port or 0)
        if ":" in host:
            host = _ipv6(host)
        elif not _HOST.fullmatch(host):
            raise ValueError(f"'{host}' is not a host name; write letters, digits, dots and -")
        if not 1 <= port <= 65535:
            raise ValueError(f"'{text}' has no valid port; write host:port")
        return cls(host, port)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls.parse,
            core_schema.str_schema(strict=True),
            serialization=core_schema.to_string_ser_schema(),
            metadata={"pydantic_js_updates": {"description": "host:port or [v6]:port."}},
        )


def _ipv6(host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"'{host}' is not an IPv6 address; write [address]:port") from None


def is_loopback(host: str) -> bool:
    """Whether *host* is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_cluster(host: str, namespace: str) -> bool:
    """Whether *host* is a name or address that only this cluster or machine resolves."""
    try:
        address = ipaddress.ip_address(host)
        return address.is_private or address.is_loopback
    except ValueError:
        pass
    labels = host.rstrip(".").split(".")
    return (
        len(labels) == 1
        or labels[-1] in {"svc", "local", "internal", "localhost"}
        or (len(labels) == 2 and bool(namespace) and labels[1] == namespace)
    )


def duration(value: object) -> float:
    """Seconds from `5m`, `30s`, `250ms` or a plain number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("this is not a duration; write it like 30s, 5m or 1h")  # noqa: TRY004
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if not match:
            raise ValueError(f"'{value}' is not a duration; write it like 30s, 5m or 1h")
        value = int(match[1]) * _UNITS[match[2]]
    if not math.isfinite(value) or abs(value) > _MAX_SECONDS:
        raise ValueError("this is longer than a year; write a duration like 30s, 5m or 1h")
    return float(value)


def instant(text: object) -> float:
    """UTC seconds of a date, at its beginning in UTC, or of a time with its zone (RFC 3339).

    >>> instant("2026-12-31"), instant("2026-12-31T01:00:00+01:00")
    (1798675200.0, 1798675200.0)
    """
    wrong = "this is not a time; write it like 2026-12-31 or 2026-12-31T23:59:59Z"
    if not isinstance(text, str) or not text.isascii():
        raise ValueError(wrong)
    try:
        if len(text) == len("2026-12-31"):
            return datetime.combine(date.fromisoformat(text), time(), UTC).timestamp()
        at = datetime.fromisoformat(text)
        seconds = at.timestamp()
    except (ValueError, OverflowError):
        raise ValueError(wrong) from None
    if at.tzinfo is None:
        raise ValueError(wrong)
    return seconds


def secure_url(value: object) -> str:
    """An absolute https URL without a trailing secret: no user, no fragment (SECURITY.md 32)."""
    if not isinstance(value, str):
        raise ValueError("a URL is text; write https://host/path")  # noqa: TRY004 - pydantic's
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this is not a URL; write https://host/path") from None
    if "@" in parts.netloc or parts.fragment:  # the value may hold a password: not repeated
        raise ValueError("a URL here has no user information and no fragment; remove them")
    if parts.scheme not in ("https", "http") or not host or _NO_URL.search(value):
        raise ValueError(f"'{value}' is not an absolute URL; write https://host/path")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            f"'{value}' is plain http, which is accepted for loopback only; write https://"
        )
    return value


def _choice(value: object) -> object:
    """Let `credential: none` stand for `credential: {none: {}}`."""
    return {value: {}} if isinstance(value, str) else value


def _path(value: object) -> object:
    """A file's path; key material in its place is refused without repeating it."""
    if not isinstance(value, str):
        return value
    if "-----BEGIN" in value or "\n" in value:
        raise ValueError(
            "this is key material; secrets are only ever references to files, write the path"
        )
    if not value or "\x00" in value:
        raise ValueError("this is not a path; write the path of a file")
    return Path(value)


Duration = Annotated[
    float,
    BeforeValidator(duration, json_schema_input_type=str | int | float),
    Field(gt=0, description="Seconds, or a text like 30s, 5m, 1h."),
]
Instant = Annotated[
    float,
    BeforeValidator(instant, json_schema_input_type=str),
    Field(description="A date or a time with its zone, like 2026-12-31 or 2026-12-31T23:59:59Z."),
]
# What JSON Schema can say of `secure_url`, in expressions that RE2 knows too (Helm).
SECURE_URL = r"^(https://|http://(localhost|127\.[0-9.]+|\[::1\])([:/?]|$))"
Url = Annotated[
    str,
    BeforeValidator(secure_url, json_schema_input_type=str),
    Field(
        description="An https URL; plain http for loopback only.",
        json_schema_extra={"pattern": SECURE_URL},
    ),
]
Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
        description="A name: lower-case letters, digits, '.', '_' and '-'.",
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=2048)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
Port = Annotated[int, Field(ge=1, le=65535)]
File = Annotated[
    Path,
    BeforeValidator(_path, json_schema_input_type=str),
    Field(
        description="The path of a file; secrets are only ever written into files.",
        json_schema_extra={"pattern": r"^[^\r\n]+$"},  # key material has lines
    ),
]
OneKey = BeforeValidator(_choice)


def one_of(model: BaseModel, *names: str) -> str:
    """Return the one attribute among *names* that is set; `ValueError` unless exactly one is."""
    found = [name for name in names if getattr(model, name) is not None]
    if len(found) != 1:
        fields = type(model).model_fields
        written = ", ".join(str(fields[name].alias) for name in names)
        got = ", ".join(str(fields[name].alias) for name in found) or "none"
        raise ValueError(f"exactly one of {written} is needed, found {got}; write one of them")
    return found[0]
