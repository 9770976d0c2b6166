"""The shop on a cluster: its namespace, its Secrets, its releases. kubectl and helm do the work."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from demo import kubernetes, trust
from demo.idp import certificates
from demo.idp.dumping import dump
from demo.idp.loading import load_file
from demo.people import with_crowd
from demo.pod import SERVICES

ROOT = Path(__file__).parents[2]
REGISTRY = os.environ.get("REGISTRY", "localhost")
VERSION = os.environ.get("VERSION", "0.1.0")
DEMO = f"{REGISTRY}/attache-demo:{VERSION}"
PATIENCE = 240  # seconds that a release may take to be ready on a busy machine

IMAGES = {
    name: {"repository": f"{REGISTRY}/{image}", "tag": VERSION}
    for name, image in {
        "image": "attache",
        "initImage": "attache-init",
        "envoyImage": "attache-envoy",
    }.items()
}


class Refused(Exception):
    """kubectl or helm said no; the text is what it said."""


def run(*command: str, stdin: str = "", timeout: float = 300) -> str:
    """Run *command*; return what it printed, or raise `Refused`."""
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=timeout)
    if done.returncode:
        raise Refused(f"{' '.join(command[:6])}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


class Space:
    """One namespace of the test, with the Pod Security level that it enforces."""

    def __init__(self, name: str, level: str) -> None:
        self.name = name
        self.level = level

    def make(self) -> None:
        """Make it anew."""
        self.remove()
        enforced = {"pod-security.kubernetes.io/enforce": self.level}
        metadata = {"name": self.name, "labels": enforced}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def exists(self) -> bool:
        """Whether it is there."""
        return bool(run("kubectl", "get", "namespace", self.name, "--ignore-not-found"))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        run("kubectl", "delete", "namespace", self.name, "--ignore-not-found", "--wait=true")

    def kubectl(self, *words: str, stdin: str = "", timeout: float = 300) -> str:
        """Run kubectl in it."""
        return run("kubectl", "-n", self.name, *words, stdin=stdin, timeout=timeout)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply *objects*."""
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in objects))

    def get(self, *words: str) -> Any:
        """What `kubectl get … -o json` says."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def secret(self, name: str, files: Mapping[str, str]) -> None:
        """Apply a Secret."""
        data = {key: base64.b64encode(text.encode()).decode() for key, text in files.items()}
        metadata = {"name": name}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    def config_map(self, name: str, files: Mapping[str, str]) -> None:
        """Apply a ConfigMap."""
        metadata = {"name": name}
        self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files})

    def install(
        self, release: str, chart: Path, values: Mapping[str, Any], wait: bool = True
    ) -> None:
        """Install or upgrade a release; wait until it is ready."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(values, file)
            file.flush()
            waiting = ["--wait", "--timeout", f"{PATIENCE}s"] if wait else []
            run(
                *("helm", "-n", self.name, "upgrade", "--install", release, str(chart)),
                *("-f", file.name, *waiting),
                timeout=PATIENCE + 60,
            )

    def uninstall(self, *releases: str) -> None:
        """Uninstall releases and wait."""
        run("helm", "-n", self.name, "uninstall", "--wait", *releases)

    def pods(self, release: str) -> list[dict[str, Any]]:
        """The pods of a release that are not about to end."""
        found = self.get("pods", "-l", f"app.kubernetes.io/instance={release}")["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def logs(self, pod: str, container: str) -> str:
        """What a container wrote."""
        return self.kubectl("logs", pod, "-c", container)


class Shop(Space):
    """The namespace in which the demo's services are."""

    def lay_out(self) -> None:
        """Make what the releases name: CA, directory, client secrets, signing keys."""
        authority = certificates.authority(time.time())
        ca = authority.certificate.public_bytes(Encoding.PEM).decode()
        directory = with_crowd(load_file(ROOT / "demo" / "directory.yaml"), 0)
        self.secret(
            "idp",
            {"ca-key.pem": authority.pem().decode(), "directory.json": dump_text(directory)},
        )
        self.config_map("idp-ca", {"ca.pem": ca})
        secrets = {app.name: app.secrets[0].value for app in directory.apps if app.secrets}
        self.secret("tasks-secrets", {"task-api": secrets["task-api"]})
        self.secret("tasks-sessions", {"session-keys": token_urlsafe(32)})
        signing = [replace(one) for one in SERVICES if one.signs and one.name != "worker"]
        with tempfile.TemporaryDirectory() as folder:
            keys, document = Path(folder) / "keys", Path(folder) / "trust.json"
            trust.lay_out([f"{self.name}/{one.name}" for one in signing], keys, document)
            self.config_map("trust", {"trust.json": document.read_text()})
            for one in signing:
                pem = (keys / one.name / "signing.pem").read_text()
                self.secret(f"{one.name}-keys", {"signing.pem": pem})

    def deploy(self, name: str, **changes: Any) -> None:
        """Install one service by charts/attache."""
        self.install(name, ROOT / "charts" / "attache", self.values(name, **changes))

    def values(self, name: str, **changes: Any) -> dict[str, Any]:
        """The values of one service."""
        return {**kubernetes.values(name, self.name, DEMO), **IMAGES, **changes}

    def start_client(self) -> None:
        """Start the pod from which callers call."""
        hardened = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": "client",
            "image": DEMO,
            "command": ["sleep", "infinity"],
            "securityContext": hardened,
            "volumeMounts": [{"name": "ca", "mountPath": "/idp"}],
        }
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "client"},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "ca", "configMap": {"name": "idp-ca"}}],
                    "terminationGracePeriodSeconds": 1,
                },
            }
        )
        self.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "pod/client")

    def call(self, script: str, *arguments: str, timeout: float = 120) -> Any:
        """Run a script of tests/cluster/scripts in the client; return the JSON it prints."""
        text = (ROOT / "tests" / "cluster" / "scripts" / f"{script}.py").read_text()
        words = ("exec", "-i", "client", "--", "python", "-", self.name, *arguments)
        return json.loads(self.kubectl(*words, stdin=text, timeout=timeout).splitlines()[-1])

    def control(self, *words: str) -> None:
        """Change the identity provider's directory, as an administrator of Entra would."""
        text = (ROOT / "tests" / "cluster" / "scripts" / "control.py").read_text()
        self.kubectl("exec", "-i", "deployment/idp", "--", "python", "-", *words, stdin=text)


def dump_text(directory: Any) -> str:
    """The directory as JSON."""
    text: str = dump(directory)
    return text
