"""One pod that hands tokens to local programs, by socket and by HTTP, and both kinds of client."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import grpc

from agent.token_service.token_service_pb2 import (
    GetTokenRequest,
    GetTokenResponse,
    ValidateRequest,
    ValidateResponse,
)
from demo.idp.caller import Caller
from demo.ports import Ports
from tests.e2e.contract_outbound_tools import Pod
from tests.e2e.entra_sidecar_client import SidecarClient
from tests.e2e.ourselves_world import TASK_API, TENANT, World

SERVICE = "/attache.tokens.v1.TokenService/"
PORTS = Ports()
NOTIFICATION = ["api://notification/.default"]
AUDIT = ["api://audit/.default"]
FRIEND = 54_321  # a user who may ask, beside our own


class Rpc:
    """A gRPC client of the socket, as a program in any language has it."""

    def __init__(self, socket: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._get_token = self._channel.unary_unary(
            f"{SERVICE}GetToken",
            request_serializer=GetTokenRequest.SerializeToString,
            response_deserializer=GetTokenResponse.FromString,
        )
        self._validate = self._channel.unary_unary(
            f"{SERVICE}Validate",
            request_serializer=ValidateRequest.SerializeToString,
            response_deserializer=ValidateResponse.FromString,
        )

    def token(
        self,
        destination: str,
        headers: dict[str, str] | None = None,
        metadata: dict[str, str] | None = None,
        as_application: bool = False,
        timeout: float | None = 20,
    ) -> GetTokenResponse:
        request = GetTokenRequest(
            destination=destination, headers=headers, as_application=as_application
        )
        return self._get_token(request, timeout=timeout, metadata=tuple((metadata or {}).items()))

    def validate(self, authorization: str) -> ValidateResponse:
        return self._validate(ValidateRequest(authorization=authorization), timeout=20)

    def close(self) -> None:
        self._channel.close()


class TokenWorld:
    """The provider, the pod and the clients."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self._run = Path(tempfile.mkdtemp(prefix="t"))
        self.socket = str(self._run / "tokens.sock")
        self.port = PORTS.take()
        self.pod: Pod = self.world.pod(
            [
                # No host leads to these two: a database driver and a message client call them.
                {
                    "name": "database",
                    "credential": {"obo": {"identity": "secret", "scopes": NOTIFICATION}},
                },
                {
                    "name": "broker",
                    "credential": {"clientCredentials": {"identity": "secret", "scopes": AUDIT}},
                },
                self.world.destination(
                    "key", {"secretFile": {"file": str(self.world.key), "header": "x-api-key"}}
                ),
                self.world.destination(
                    "hidden", {"clientCredentials": {"identity": "secret", "scopes": AUDIT}}
                ),
            ],
            routes=[{"path": "/**"}],
            issuers=[{"name": "e", "entra": self.entra()}],
            tokenService={
                "socket": self.socket,
                "uids": [os.geteuid(), FRIEND],
                "http": f"127.0.0.1:{self.port}",
                "destinations": ["database", "broker", "key"],
            },
        )
        self.people = Caller(self.world.idp)
        self.rpc = Rpc(self.socket)
        self.sidecar = SidecarClient(f"http://localhost:{self.port}")

    def entra(self) -> dict[str, Any]:
        return {
            "authority": self.world.idp.base_url,
            "caFile": str(self.world.idp.ca_file),
            "tenants": [TENANT],
            "audiences": [TASK_API],
        }

    def stop(self) -> None:
        self.rpc.close()
        self.world.stop()
        shutil.rmtree(self._run, ignore_errors=True)
