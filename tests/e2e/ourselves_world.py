"""One pod whose every credential is the application's own, and the provider that knows them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.idp import IdentityProvider, certificates, loading
from demo.idp.directory import (
    TOKEN_EXCHANGE_AUDIENCE,
    App,
    FederatedCredential,
    ManagedIdentity,
    service_principal_id,
)
from demo.idp.keys import new_ring
from demo.idp.settings import Settings
from tests.e2e.contract_outbound_tools import Echo, Pod

TENANT = "11111111-1111-4111-8111-111111111111"
TASK_API = "a0000000-0000-4000-8000-000000000001"
MACHINE = "cccccccc-0000-4000-8000-000000000001"  # the machine's own identity
ASSIGNED = "cccccccc-0000-4000-8000-000000000002"  # one that was assigned to it
DIRECTORY = Path(__file__).parents[2] / "demo" / "directory.yaml"


class World:
    """The provider with its instance metadata, and one echo behind every destination."""

    def __init__(self, folder: Path, lifetime: int = 3600) -> None:
        self.folder = folder
        ring = new_ring(time.time())
        certified = certificates.self_signed("task-api", time.time())
        self.certificate = folder / "certificate.pem"
        self.certificate.write_bytes(
            certified.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certified.certificate.public_bytes(Encoding.PEM)
        )
        directory = loading.load(DIRECTORY.read_text(), "directory.yaml")
        task_api = directory.app(TASK_API)
        assert task_api
        trusted = FederatedCredential(
            f"https://sts.windows.net/{TENANT}/",
            service_principal_id(TENANT, ASSIGNED),
            tuple(key.jwk() for key in ring.keys),
        )
        shown = certified.certificate.public_bytes(Encoding.PEM).decode()
        directory = directory.with_app(
            replace(task_api, certificates=(shown,), federated_credentials=(trusted,))
        )
        for client, name in ((MACHINE, "machine"), (ASSIGNED, "assigned")):
            directory = directory.with_app(App(client, name, TENANT, (TENANT,)))
        exchange = "cccccccc-0000-4000-8000-000000000003"
        directory = directory.with_app(
            App(
                *(exchange, "token exchange", TENANT, (TENANT,)),
                uris=(TOKEN_EXCHANGE_AUDIENCE,),
                access_token_version=1,
            )
        )
        identities = (ManagedIdentity(MACHINE, TENANT), ManagedIdentity(ASSIGNED, TENANT))
        self.idp = IdentityProvider(
            replace(directory, managed_identities=identities),
            settings=Settings(access_token_lifetime=lifetime, managed_identity_lifetime=lifetime),
            ring=ring,
        ).start()
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = self.idp.imds_url
        self.echo = Echo("destination")
        self.key = folder / "api-key"
        self.key.write_text("canary-api-key-1\n")
        (folder / "secret").write_text("demo-secret-of-task-api")
        self.pods: list[Pod] = []

    def identity(self, name: str, **proof: Any) -> dict[str, Any]:
        entra = {
            "tenant": TENANT,
            "clientId": TASK_API,
            "authority": self.idp.base_url,
            "caFile": str(self.idp.ca_file),
        }
        return {"name": name, "entra": entra | proof}

    def destination(self, name: str, credential: Any, **more: Any) -> dict[str, Any]:
        address = f"127.0.0.1:{self.echo.port}"
        entry = {"name": name, "hosts": [f"{name}.shop"], "address": address}
        return entry | {"credential": credential} | more

    def pod(self, destinations: list[dict[str, Any]], **more: Any) -> Pod:
        config = {
            "workload": {"name": "task-api", "namespace": "shop"},
            "routes": [{"path": "/**", "anonymous": True}],
            "identities": [
                self.identity("secret", secretFile=str(self.folder / "secret")),
                self.identity("certificate", certificateFile=str(self.certificate)),
                self.identity("vouched", managedIdentity={"clientId": ASSIGNED}),
            ],
            "destinations": destinations,
        }
        pod = Pod(self.folder / f"pod{len(self.pods)}", config | more)
        self.pods.append(pod)
        return pod

    def asked(self, endpoint: str) -> int:
        """How often the provider was asked."""
        return self.idp.counters.total(endpoint)

    def stop(self) -> None:
        for pod in self.pods:
            pod.stop()
        self.echo.stop()
        self.idp.stop()
        os.environ.pop("AZURE_POD_IDENTITY_AUTHORITY_HOST", None)
