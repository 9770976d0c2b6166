"""A real API server of Kubernetes with its etcd, and nothing else: for Secrets and their rights.

Programs are looked for in ATTACHE_KUBE_BIN, where ../shared/cluster builds them, and in PATH.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.child import Child
from demo.ports import Ports

_MASTER = "token-of-the-tests-own-administrator"


def program(name: str) -> str:
    """Its path; skips where it is not installed."""
    cache = Path(os.environ.get("CLUSTER_CACHE", Path.home() / ".cache" / "attache-cluster"))
    places = [os.environ.get("ATTACHE_KUBE_BIN", ""), str(cache / "bin"), os.environ["PATH"]]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if not found:
        pytest.skip(f"{name} is not here: ../shared/cluster builds it (cluster build)")
    return found


class ApiServer:
    """One server with RBAC on a port of its own."""

    def __init__(self, folder: Path) -> None:
        etcd, apiserver = program("etcd"), program("kube-apiserver")
        folder.mkdir()
        ports = Ports()
        client, peer, port = ports.take(), ports.take(), ports.take()
        self.url = f"https://127.0.0.1:{port}"
        self.folder = folder
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (folder / "sa.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (folder / "tokens.csv").write_text(f'{_MASTER},admin,1,"system:masters"\n')
        self._etcd = Child(
            "etcd",
            [
                *(etcd, "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
                *("--listen-client-urls", f"http://127.0.0.1:{client}"),
                *("--advertise-client-urls", f"http://127.0.0.1:{client}"),
                *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
            ],
            folder / "etcd.log",
        )
        self._server = Child(
            "kube-apiserver",
            [
                *(apiserver, "--etcd-servers", f"http://127.0.0.1:{client}"),
                *("--bind-address", "127.0.0.1", "--secure-port", str(port)),
                *("--cert-dir", str(folder), "--token-auth-file", str(folder / "tokens.csv")),
                *("--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.0.0.0/24"),
                *("--service-account-issuer", "https://kubernetes.default.svc"),
                *("--service-account-key-file", str(folder / "sa.key")),
                *("--service-account-signing-key-file", str(folder / "sa.key")),
            ],
            folder / "apiserver.log",
        )
        self._etcd.start()
        self._server.start()
        self.ca_file = folder / "apiserver.crt"
        self._session = requests.Session()
        self._session.trust_env = False
        try:
            self._server.come_up(self._ready, 90.0)
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> bool | None:
        if not self.ca_file.exists():
            return None
        self._session.verify = str(self.ca_file)
        try:
            return self.ask("GET", "/readyz").status_code == 200 or None
        except requests.RequestException:
            return None

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        """As the administrator."""
        headers = {"Authorization": f"Bearer {_MASTER}"}
        return self._session.request(
            method, self.url + path, json=body, headers=headers, timeout=20
        )

    def account(self, namespace: str, name: str, *verbs: str) -> Path:
        """A service account that may do *verbs* with Secrets: the file with its token."""
        meta = {"metadata": {"name": name}}
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        for path, body in (
            (f"/api/v1/namespaces/{namespace}/serviceaccounts", meta),
            (
                f"{rbac}/namespaces/{namespace}/roles",
                meta
                | {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": list(verbs)}]},
            ),
            (
                f"{rbac}/namespaces/{namespace}/rolebindings",
                meta
                | {
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "Role",
                        "name": name,
                    },
                    "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
                },
            ),
        ):
            got = self.ask("POST", path, body)
            assert got.status_code == 201, got.text
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        file = self.folder / f"{namespace}-{name}.token"
        file.write_text(self.ask("POST", path, asked).json()["status"]["token"])
        return file

    def stop(self) -> None:
        """End both."""
        self._server.stop()
        self._etcd.stop()
        self._session.close()
