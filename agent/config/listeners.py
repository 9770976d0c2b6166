"""Where Envoy listens, and where the agent itself does."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from agent.config.fields import Address, Duration, File, Port, Strict, Text
from agent.config.login import Login


def _interface(value: str) -> str:
    """Envoy binds to an IP address; it refuses a name there."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(
            f"'{value}' is not an IP address; write 0.0.0.0, 127.0.0.1 or another one"
        ) from None
    return value


Interface = Annotated[str, AfterValidator(_interface)]
AccessLog = Annotated[
    str | None,
    Field(
        min_length=1,
        description="Where Envoy itself writes a JSON line for each request: stdout, or a file.",
    ),
]


class Inbound(Strict):
    """What callers reach instead of the application."""

    address: Interface = Field(default="0.0.0.0", description="The IP address to bind to.")  # noqa: S104 - the pod's callers come from outside
    port: Port = Field(default=15006, description="The port to bind to.")
    application: Address = Field(description="Where the application listens, on loopback.")
    protocol: Literal["auto", "http1", "http2"] = Field(
        default="auto",
        description="What the application speaks, without TLS; auto: what the caller spoke.",
    )
    edge: bool = Field(
        default=False,
        description="Callers are strangers: their request ids, trace contexts and baggage are "
        "replaced, and internal tokens are refused.",
    )
    login: Login | None = Field(
        default=None,
        description="Browsers sign in on every route that is not anonymous and does not say "
        "itself.",
    )
    access_log: AccessLog = None


# FTP, SSH, SMTP, POP3, IMAP, submission, MySQL: nothing is seen before the server's greeting.
SERVER_SPEAKS_FIRST = (21, 22, 25, 110, 143, 587, 3306)


class Outbound(Strict):
    """What the application reaches instead of its destinations."""

    address: Interface = Field(default="127.0.0.1", description="The IP address to bind to.")
    port: Port = Field(default=15001, description="The port to bind to.")
    mode: Literal["proxy", "redirect"] = Field(
        default="proxy",
        description="proxy: the application uses HTTP_PROXY; redirect: its packets are redirected.",
    )
    unmatched: Literal["deny", "passthrough"] = Field(
        default="deny", description="What happens to a host that no destination names."
    )
    opaque_ports: Annotated[tuple[Port, ...], Field(strict=False)] = Field(
        default=SERVER_SPEAKS_FIRST,
        description="With mode: redirect and unmatched: passthrough, connections to these ports go "
        "on unread; write the ports on which a server speaks first.",
    )
    access_log: AccessLog = None

    @model_validator(mode="after")
    def _read_at_all(self) -> Outbound:
        opaque = self.mode == "redirect" and self.unmatched == "passthrough"
        if "opaque_ports" in self.model_fields_set and not opaque:
            raise ValueError(
                "opaquePorts is for mode: redirect with unmatched: passthrough; remove it"
            )
        return self


class Listeners(Strict):
    """One of the two, or both."""

    inbound: Inbound | None = None
    outbound: Outbound | None = None


# sockaddr_un holds 108 bytes, the last one zero (unix(7)); the second socket's name is longer
_LONGEST = 107 - len("-xds")


class Agent(Strict):
    """The agent's own sockets and bounds."""

    socket: File = Field(
        default=Path("/run/attache/agent.sock"), description="Where Envoy finds the agent."
    )
    transport: Literal["lean", "grpcio"] = Field(
        default="lean",
        description="What carries Checks and Envoy's configuration: our own transport, or "
        "grpcio's, which costs more CPU and memory.",
    )
    admin: Address = Field(
        default=Address("127.0.0.1", 15020),
        description="Where the agent's health, metrics and status are read; loopback.",
    )
    threads: Annotated[int, Field(ge=4, le=4096)] = Field(
        default=2048, description="Checks in flight at once; misses may hold all but four."
    )
    clock_skew: Annotated[Duration, Field(le=300)] = Field(
        default=60, description="Tolerance for exp, nbf and iat; 300 s at most."
    )
    max_contexts: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        default=16_384, description="Inbound requests remembered for their outbound calls."
    )
    max_tokens: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        default=10_000, description="Verified and obtained tokens kept, each."
    )

    @property
    def xds_socket(self) -> Path:
        """Where Envoy gets its configuration: beside `socket`."""
        return self.socket.with_name(f"{self.socket.stem}-xds{self.socket.suffix}")

    @field_validator("socket")
    @classmethod
    def _fits(cls, value: Path) -> Path:
        if len(str(value).encode()) > _LONGEST:
            raise ValueError(f"this socket's path has at most {_LONGEST} bytes; shorten it")
        if not value.is_absolute():
            raise ValueError("the socket's path is relative; begin it with /, for Envoy too")
        return value


class Envoy(Strict):
    """The Envoy beside the agent."""

    admin: Address = Field(
        default=Address("127.0.0.1", 15000),
        description="Where Envoy's own admin interface listens; loopback.",
    )


class Audit(Strict):
    """Where audit records go, one JSON line each."""

    file: Text = Field(default="stdout", description="stdout, stderr or a file's path.")


class Workload(Strict):
    """Who we are in audit records and `act` claims: `namespace/name`, or the name alone."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = Field(
        description="Letters, digits, '.', '_' and '-'."
    )
    namespace: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$")] = Field(
        default="", description="The Kubernetes namespace, or empty."
    )

    @property
    def id(self) -> str:
        """The one string by which others know this workload."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
