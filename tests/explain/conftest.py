"""A configuration with an issuer of each kind, and the commands as a person runs them."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from agent import cli

TENANT = "11111111-1111-1111-1111-111111111111"
CONFIG = f"""
workload: {{name: task-api, namespace: shop}}
listeners:
  inbound: {{application: 127.0.0.1:8000}}
issuers:
  - name: entra
    entra: {{tenants: [{TENANT}], audiences: ["api://task-api"]}}
  - name: customers
    b2c:
      authority: https://contoso.b2clogin.com
      tenant: contoso.onmicrosoft.com
      policies: [B2C_1_signin]
      audiences: [b2c-api]
  - name: partner
    oidc: {{issuer: "https://login.partner.example", audiences: [orders]}}
  - name: strict
    oidc: {{issuer: "https://strict.example", audiences: [orders], profile: rfc9068}}
  - name: opaque
    introspection:
      url: "https://opaque.example/introspect"
      clientId: us
      secretFile: /secrets/opaque
      audiences: [orders]
  - name: mesh
    internal:
      trustDomain: shop.internal
      issuers: ["https://gateway.shop.internal"]
      audience: task-api
      jwks: {{url: "https://keys.shop.internal/jwks.json"}}
routes:
  - {{path: /healthz, methods: [GET], anonymous: true}}
  - path: /api/tasks
    methods: [POST]
    require: {{caller: user, scopes: [access_as_user], anyRole: [Admin, Editor]}}
  - {{path: "/api/tasks/{{id}}", methods: [DELETE], require: {{authContext: c1}}}}
  - {{path: /admin/**, hosts: [admin.shop], require: {{roles: [Admin]}}}}
  - {{path: "/api/**", require: {{scopes: [access_as_user]}}}}
  - {{path: /open/**}}
inbound:
  headers: {{x-team: team}}
  cors: {{allowOrigins: ["https://ui.example"]}}
"""


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "attache.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def attache(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run `attache …` in this process."""

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["attache", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def site() -> Iterator[Callable[[bytes], str]]:
    """An issuer on loopback that publishes these keys; gives its URL."""
    servers: list[ThreadingHTTPServer] = []

    def up(keys: bytes) -> str:
        class Issuer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = {"issuer": base, "jwks_uri": f"{base}/keys"}
                body = keys if self.path == "/keys" else json.dumps(said).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silence."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
        base = f"http://127.0.0.1:{server.server_port}"
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return base

    yield up
    for server in servers:
        server.shutdown()
        server.server_close()
