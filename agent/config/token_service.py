"""Who may ask the agent for a destination's token, and how: for calls that are not HTTP."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from agent.config.fields import Address, File, Name, Strict

_LONGEST = 107  # sockaddr_un holds 108 bytes, the last one zero (unix(7))

Uid = Annotated[int, Field(ge=0, le=2**32 - 2, description="A user's number.")]


class TokenService(Strict):
    """Hands tokens to local programs; off unless it is written."""

    socket: File | None = Field(
        default=None, description="A Unix socket for gRPC (protos/attache/tokens/v1)."
    )
    uids: Annotated[tuple[Uid, ...], Field(strict=False)] = Field(
        default=(),
        description="Users whose processes may connect to socket; if not written, the agent's own.",
    )
    http: Address | None = Field(
        default=None,
        description="A loopback address for HTTP, compatible with the Microsoft Entra SDK sidecar; "
        "every process of the pod can reach it.",
    )
    destinations: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)] = Field(
        description="Whose tokens are handed out, by name; no other is."
    )

    @model_validator(mode="after")
    def _reachable(self) -> TokenService:
        if self.socket is None and self.http is None:
            raise ValueError("nobody could ask; write socket, http or both")
        if self.uids and self.socket is None:
            raise ValueError("uids are checked on the socket only; write socket, or remove uids")
        if self.socket is not None:
            if not self.socket.is_absolute():
                raise ValueError("the socket's path is relative; begin it with /")
            if len(str(self.socket).encode()) > _LONGEST:
                raise ValueError(f"a socket's path has at most {_LONGEST} bytes; shorten it")
        if self.http is not None and not self.http.loopback:  # SECURITY.md 24
            raise ValueError(
                f"http: {self.http} can be reached from outside the pod; use 127.0.0.1"
            )
        return self
