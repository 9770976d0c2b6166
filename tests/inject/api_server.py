"""A real kube-apiserver with a real etcd, for tests: what asks our webhook, and nothing else.

Programs are found on PATH, or where ../shared/cluster put them. No kubelet runs, so no pod does:
what is stored is what the API server, with our webhook, made of it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from agent.inject.certificate import made
from demo.child import Child
from demo.ports import Ports

CACHE = Path(os.environ.get("CLUSTER_CACHE", Path.home() / ".cache" / "attache-cluster"))
PROGRAMS = ("etcd", "kube-apiserver", "kubectl", "helm")
Tree = dict[str, Any]


def program(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name) or shutil.which(name, path=str(CACHE / "bin"))


def absent() -> list[str]:
    """The programs that are not on this machine."""
    return [name for name in PROGRAMS if program(name) is None]


class Refused(Exception):
    """kubectl or helm said no; the text is what it said."""


class ApiServer:
    """Starts both, and speaks to them by kubectl and helm."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self._folder = folder
        self.port = ports.take()
        client, peer = ports.take(), ports.take()
        self.url = f"https://localhost:{self.port}"
        authority = made(["localhost", "kubernetes.default.svc"], time.time(), 86400)
        self._write("ca.crt", authority.authority)
        self._write("server.crt", authority.chain)
        self._write("server.key", authority.key)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._write(
            "accounts.key",
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        self._write("tokens.csv", b'root-token,root,root,"system:masters"\n')
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(folder / "ca.crt")
        self._session.headers["Authorization"] = "Bearer root-token"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))
        storage = f"http://127.0.0.1:{client}"
        self._etcd = Child(
            "etcd",
            [
                str(program("etcd")), "--data-dir", str(folder / "etcd"),
                "--listen-client-urls", storage, "--advertise-client-urls", storage,
                "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--unsafe-no-fsync",
            ],
            folder / "etcd.log",
            {"ETCD_UNSUPPORTED_ARCH": "arm64"},
        )  # fmt: skip
        self._server = Child(
            "kube-apiserver",
            [
                str(program("kube-apiserver")), "--etcd-servers", storage,
                "--secure-port", str(self.port), "--bind-address", "127.0.0.1",
                "--advertise-address", own_address(),
                "--tls-cert-file", str(folder / "server.crt"),
                "--tls-private-key-file", str(folder / "server.key"),
                "--cert-dir", str(folder / "certificates"),
                "--token-auth-file", str(folder / "tokens.csv"),
                "--authorization-mode", "RBAC",
                "--service-account-issuer", "https://kubernetes.default.svc",
                "--service-account-signing-key-file", str(folder / "accounts.key"),
                "--service-account-key-file", str(folder / "accounts.key"),
                "--service-cluster-ip-range", "10.96.0.0/16",
                # a Service is reached by its endpoints: there is no kube-proxy
                "--enable-aggregator-routing=true",
                # there is no controller that would make each namespace's account
                "--disable-admission-plugins", "ServiceAccount",
            ],
            folder / "kube-apiserver.log",
        )  # fmt: skip

    def start(self) -> None:
        """Start both, and wait until the API is there."""
        self._etcd.start()
        self._server.start()
        self._server.come_up(self._ready, bound=120)

    def stop(self) -> None:
        """End both."""
        self._server.kill()
        self._etcd.kill()

    def kubectl(self, *words: str, stdin: Any = None, text: str = "") -> str:
        """Run kubectl with an object, or a text, as its input; return what it printed."""
        return self._run(
            "kubectl", *words, stdin=text or ("" if stdin is None else json.dumps(stdin))
        )

    def post(self, path: str, tree: Tree) -> Tree:
        """Create an object as a controller would; return it as it is stored, or `Refused`."""
        answer = self._session.post(f"{self.url}{path}", json=tree, timeout=60)
        stored: Tree = answer.json()
        if answer.status_code >= 400:
            raise Refused(stored["message"])
        return stored

    def may(self, account: str, verb: str, resource: str, namespace: str) -> bool:
        """Whether a user may do *verb* to *resource*, written kind or kind/name."""
        kind, _, name = resource.partition("/")
        group = "admissionregistration.k8s.io" if kind.endswith("configurations") else ""
        asked = {"verb": verb, "group": group, "resource": kind, "name": name}
        spec = {"user": account, "resourceAttributes": {**asked, "namespace": namespace}}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.post(path, {**review, "spec": spec})["status"]["allowed"])

    def helm(self, *words: str, **values: Any) -> str:
        """Run helm with *values*."""
        return self._run("helm", *words, *(["-f", "-"] if values else []), stdin=json.dumps(values))

    def apply(self, *objects: Tree) -> None:
        """Create or change objects."""
        self.kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List",
                                                "items": list(objects)})  # fmt: skip

    def get(self, *words: str) -> Any:
        """What `kubectl get … -o json` says."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def account(self, namespace: str, name: str, folder: Path) -> Path:
        """Write the token of a service account as kubelet would into a pod."""
        folder.mkdir()
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration", "1h")
        (folder / "token").write_text(token)
        shutil.copy(self._folder / "ca.crt", folder / "ca.crt")
        return folder

    def _ready(self) -> bool:
        try:
            return self.kubectl("get", "--raw", "/readyz") == "ok" and bool(
                self.get("namespaces", "kube-system")
            )
        except Refused:
            return False

    def _run(self, name: str, *words: str, stdin: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [str(program(name)), *words],
            input=stdin, text=True, capture_output=True, timeout=120, env=environment, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Refused(f"{name} {' '.join(words[:4])}: {done.stdout}{done.stderr}")
        return done.stdout

    def _kubeconfig(self) -> Tree:
        cluster = {"server": self.url, "certificate-authority": str(self._folder / "ca.crt")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "root", "user": {"token": "root-token"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "root"}}],
            "current-context": "test",
        }

    def _write(self, name: str, content: bytes) -> None:
        (self._folder / name).write_bytes(content)


def own_address() -> str:
    """An address of this machine that is not loopback: an endpoint may be nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])
