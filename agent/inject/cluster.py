"""What does the API server say, and what do we ask it for? Four requests, and no library."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import requests

from agent.inject.levels import Level, level_of

log = logging.getLogger(__name__)

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = (3.0, 5.0)  # seconds to connect, and between two reads
MAX_BODY = 4 * 1024 * 1024  # bytes of an answer
FRESH = 10.0  # seconds that a namespace's level is believed
STALE = 300.0  # seconds that it is believed where the API server does not answer
MAX_NAMESPACES = 4096

Tree = dict[str, Any]


class Unanswered(RuntimeError):
    """The API server did not do it, and why; `status` is 0 where it did not answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class ApiServer:
    """Asks as the pod's service account. Its token is reread each time, for kubelet renews it."""

    def __init__(self, url: str, account: Path = ACCOUNT) -> None:
        self._url = url.rstrip("/")
        self._account = account
        self._session = requests.Session()
        self._session.trust_env = False

    def secret(self, namespace: str, name: str) -> Tree:
        """The Secret, whole."""
        return self._ask("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    def replace_secret(self, namespace: str, name: str, secret: Tree) -> Tree:
        """Write *secret* over what its resourceVersion says; 409 where another was first."""
        return self._ask("PUT", f"/api/v1/namespaces/{namespace}/secrets/{name}", secret)

    def webhooks(self, name: str) -> Tree:
        """The MutatingWebhookConfiguration."""
        return self._ask("GET", f"{_WEBHOOKS}/{name}")

    def patch_webhooks(self, name: str, operations: list[Tree]) -> Tree:
        """Patch it (RFC 6902)."""
        return self._ask("PATCH", f"{_WEBHOOKS}/{name}", operations)

    def namespace(self, name: str) -> Tree:
        """The Namespace."""
        return self._ask("GET", f"/api/v1/namespaces/{quote(name, safe='')}")

    def _ask(self, method: str, path: str, body: Any = None) -> Tree:
        kind = "application/json-patch+json" if method == "PATCH" else "application/json"
        try:
            token = (self._account / "token").read_text("utf-8").strip()
            with self._session.request(
                method,
                f"{self._url}{path}",
                data=None if body is None else json.dumps(body),
                headers={
                    "Authorization": f"Bearer {token}",
                    "Accept": "application/json",
                    "Content-Type": kind,
                    "User-Agent": "attache-injector",
                },
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
                verify=str(self._account / "ca.crt"),
            ) as response:
                content = response.raw.read(MAX_BODY + 1, decode_content=True)
                status = response.status_code
        except (requests.RequestException, OSError, ValueError) as why:
            raise Unanswered(f"the API server cannot be asked: {type(why).__name__}") from None
        if status != 200:
            raise Unanswered(f"{method} {path}: {status}: {_message(content)}", status)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Unanswered(f"{method} {path}: the answer is no object")
        return answer


_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])[:300]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no reason given"


def trusted(webhooks: Tree) -> list[bytes]:
    """The caBundle of each webhook of a configuration; empty where there is none."""
    found = []
    for webhook in webhooks.get("webhooks") or []:
        try:
            found.append(base64.b64decode(webhook["clientConfig"].get("caBundle") or ""))
        except (binascii.Error, KeyError, TypeError):
            found.append(b"")
    return found


def trusting(webhooks: Tree, bundle: bytes) -> list[Tree]:
    """The operations that give every webhook this *bundle*, if nobody changed it meanwhile."""
    version = webhooks["metadata"]["resourceVersion"]
    value = base64.b64encode(bundle).decode()
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        *(
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": value}
            for index, there in enumerate(trusted(webhooks))
            if there != bundle
        ),
    ]


class _Namespaces(Protocol):
    def namespace(self, name: str) -> Tree: ...


@dataclass(frozen=True, slots=True)
class _Known:
    level: Level
    at: float


class Levels:
    """Which Pod Security level does a namespace enforce? Remembered for a moment."""

    def __init__(self, api: _Namespaces, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, namespace: str) -> Level | None:
        """Its level, None where that cannot be learnt."""
        now = self._clock()
        with self._lock:
            known = self._known.get(namespace)
        if known and now - known.at < FRESH:
            return known.level
        try:
            labels = self._api.namespace(namespace).get("metadata", {}).get("labels") or {}
        except Unanswered as why:
            log.warning("the Pod Security level of namespace '%s' is not known: %s", namespace, why)
            return known.level if known and now - known.at < STALE else None
        level = level_of(labels)
        with self._lock:
            self._known[namespace] = _Known(level, now)
            self._known.move_to_end(namespace)
            while len(self._known) > MAX_NAMESPACES:
                self._known.popitem(last=False)
        return level
