"""How is a token kept in a Kubernetes Secret? One entry, replaced under its resourceVersion."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from agent.config.stored_tokens import KubernetesSecretStore as Place
from agent.credentials.stored.store import MAX_BYTES, NotUsable

SECONDS = 5.0
TRIES = 5  # of a write that somebody else's write to another entry came before
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MAX_BODY = 4 * 1024 * 1024  # a Secret has at most 1 MiB, encoded a third more


class SecretStore:
    """One entry of one Secret, shared by whoever may read and change it."""

    def __init__(self, place: Place, token: str, environment: Mapping[str, str]) -> None:
        """*environment* names the API server where the configuration does not."""
        host = environment.get("KUBERNETES_SERVICE_HOST", "")
        port = environment.get("KUBERNETES_SERVICE_PORT", "443")
        host = f"[{host}]" if ":" in host else host
        self._server = (place.server or (f"https://{host}:{port}" if host else "")).rstrip("/")
        self._namespace = place.namespace
        self._token_file = place.token_file or ACCOUNT / "token"
        self._secret = place.name
        self._entry = token
        self.name = f"Secret {place.name}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(place.ca_file or ACCOUNT / "ca.crt")

    def read(self) -> bytes | None:
        """What the entry holds."""
        return self._found()[0]

    def swap(self, expected: bytes | None, fresh: bytes, ahead: bool = False) -> bool:
        """Set the entry, if it holds *expected*; the API server compares the whole Secret."""
        for _ in range(TRIES):
            content, version = self._found()
            if content != expected:
                return False
            entry = {self._entry: base64.b64encode(fresh).decode()}
            if version is None:
                body = {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": self._secret},
                    "type": "Opaque",
                    "data": entry,
                }
                status = self._ask("POST", "", body)[0]
            else:
                patch = {"metadata": {"resourceVersion": version}, "data": entry}
                status = self._ask("PATCH", f"/{quote(self._secret)}", patch)[0]
            if status in (200, 201):
                return True
            if status != 409:
                raise self._refused(status, "changed")
        raise NotUsable(f"{self.name} is changed by others all the time; give tokens their own")

    def claim(self, nonce: str) -> None:
        """Nothing can be said."""

    def abandoned(self, nonce: str) -> bool:
        """The API server does not know who has died."""
        return False

    def release(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _found(self) -> tuple[bytes | None, str | None]:
        """The entry's content and the Secret's version; None for what is not there."""
        status, body = self._ask("GET", f"/{quote(self._secret)}")
        if status == 404:
            return None, None
        metadata, entries = body.get("metadata"), body.get("data") or {}
        if status != 200 or not isinstance(metadata, dict) or not isinstance(entries, dict):
            raise self._refused(status, "read")
        version, entry = metadata.get("resourceVersion"), entries.get(self._entry)
        if not isinstance(version, str) or not version:
            raise self._refused(status, "read")
        if entry is None:
            return None, version
        try:
            content = base64.b64decode(entry, validate=True)
        except (ValueError, binascii.Error, TypeError):
            raise NotUsable(f"{self.name} has no sealed token in '{self._entry}'") from None
        if len(content) > MAX_BYTES:
            raise NotUsable(f"{self.name}: '{self._entry}' is no token's record; rename one")
        return content, version

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        if not self._server:
            raise NotUsable(f"{self.name}: this is no pod of Kubernetes; write server beside it")
        headers = {
            "Authorization": f"Bearer {self._read(self._token_file)}",
            "Accept": "application/json",
        }
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"  # RFC 7386
        namespace = self._namespace or self._read(ACCOUNT / "namespace")
        url = f"{self._server}/api/v1/namespaces/{quote(namespace)}/secrets{path}"
        try:
            with self._session.request(
                method,
                url,
                json=body,
                headers=headers,
                timeout=SECONDS,
                allow_redirects=False,
                stream=True,
            ) as got:
                content = got.raw.read(_MAX_BODY, decode_content=True)
                found = json.loads(content) if content else {}
        except requests.exceptions.SSLError:
            raise NotUsable(
                f"{self.name}: the API server shows a certificate that we do not trust; correct "
                "caFile"
            ) from None
        except (requests.RequestException, OSError) as error:
            raise NotUsable(
                f"{self.name}: the API server cannot be reached ({type(error).__name__}); look "
                "whether the network lets this pod through"
            ) from None
        except ValueError:
            raise NotUsable(f"{self.name}: what answers is no API server; correct server") from None
        return got.status_code, found if isinstance(found, dict) else {}

    def _read(self, path: Path) -> str:
        """A file of the service account, which the kubelet renews."""
        try:
            return path.read_text("ascii").strip()
        except (OSError, ValueError):
            raise NotUsable(
                f"{self.name}: {path} cannot be read; let the pod mount its service account's token"
            ) from None

    def _refused(self, status: int, what: str) -> NotUsable:
        if status == 401:
            return NotUsable(f"{self.name}: the API server does not accept our token; renew it")
        if status == 403:
            return NotUsable(
                f"{self.name} may not be {what}; allow the service account get, patch and create "
                "on it"
            )
        return NotUsable(f"{self.name} was not {what} (status {status}); look at the API server")
