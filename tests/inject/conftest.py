"""An API server for the webhook, in this process: the few objects it reads and writes."""

from __future__ import annotations

import copy
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.inject.certificate import Certificate, context, made
from agent.inject.jsonpatch import pointer

Tree = dict[str, Any]
TOKEN = "the service account's token"
SECRET = "/api/v1/namespaces/attache-system/secrets/attache-injector"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/attache-injector"


@dataclass
class FakeApiServer:
    """Optimistic concurrency, authentication and JSON patches, as the real one has them."""

    objects: dict[str, Tree] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    broken: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.put(SECRET, {"kind": "Secret", "type": "Opaque", "metadata": {"labels": {"a": "b"}}})
        hooks = [{"name": name, "clientConfig": {"service": {}}} for name in ("a", "b")]
        self.put(WEBHOOKS, {"kind": "MutatingWebhookConfiguration", "webhooks": hooks})

    def put(self, path: str, tree: Tree) -> Tree:
        version = int(self.objects.get(path, {}).get("metadata", {}).get("resourceVersion", "0"))
        metadata = {**tree.get("metadata", {}), "resourceVersion": str(version + 1)}
        self.objects[path] = {**copy.deepcopy(tree), "metadata": metadata}
        return self.objects[path]

    def ask(self, method: str, path: str, token: str | None, body: Any) -> tuple[int, Tree]:
        with self.lock:
            if self.broken:
                return 503, {"message": "etcd is away"}
            if token != f"Bearer {TOKEN}":
                return 401, {"message": "Unauthorized"}
            there = self.objects.get(path)
            if there is None:
                return 404, {"message": f"{path.rpartition('/')[2]} not found"}
            if method == "GET":
                return 200, there
            self.writes.append(f"{method} {path.rpartition('/')[2]}")
            version = there["metadata"]["resourceVersion"]
            if method == "PUT":
                if body["metadata"]["resourceVersion"] != version:
                    return 409, {"message": "the object has been modified"}
                return 200, self.put(path, body)
            for operation in body:
                if operation["op"] == "test":
                    if operation["value"] != version:
                        return 422, {"message": "the server rejected our request"}
                    continue
                *steps, last = pointer(operation["path"])
                there = copy.deepcopy(there)
                at: Any = there
                for step in steps:
                    at = at[int(step)] if isinstance(at, list) else at[step]
                at[last] = operation["value"]
            return 200, self.put(path, there)

    def bundles(self) -> list[str]:
        hooks = self.objects[WEBHOOKS]["webhooks"]
        return [hook["clientConfig"].get("caBundle", "") for hook in hooks]


@dataclass(frozen=True)
class Cluster:
    """Where the fake one answers, and the service account that it knows."""

    api: FakeApiServer
    url: str
    account: Path


@pytest.fixture(scope="session")
def authority() -> Certificate:
    import time

    return made(["localhost"], time.time(), 3600)


@pytest.fixture
def cluster(tmp_path: Path, authority: Certificate) -> Iterator[Cluster]:
    api = FakeApiServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, tree = api.ask(self.command, self.path, self.headers.get("Authorization"), body)
            content = json.dumps(tree).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_PATCH = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving: ssl.SSLContext = context(authority)
    server.socket = serving.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "account").mkdir()
    (tmp_path / "account" / "token").write_text(TOKEN + "\n")
    (tmp_path / "account" / "ca.crt").write_bytes(authority.authority)
    url = f"https://localhost:{server.server_address[1]}"
    yield Cluster(api, url, tmp_path / "account")
    server.shutdown()
    server.server_close()
