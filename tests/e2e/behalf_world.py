"""A person, an application that relays what it is told, its pod, and APIs that make demands."""

from __future__ import annotations

import base64
import http.client
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msal
import requests

from demo.idp import IdentityProvider, loading
from tests.e2e.contract_outbound_tools import Answer, Echo, Got, Pod, Server, ask, peek

TENANT = "11111111-1111-4111-8111-111111111111"
TASK_API = "a0000000-0000-4000-8000-000000000001"
SIGN_IN = "a0000000-0000-4000-8000-000000000000"
CALLBACK = "http://localhost:8400/"
SCOPE = "api://task-api/access_as_user"
DIRECTORY = Path(__file__).parents[2] / "demo" / "directory.yaml"
CARRIED = ("baggage", "traceparent")


def claims_of(got: Got) -> dict[str, Any]:
    """The challenge in an answer, read as MSAL's clients read it."""
    found = re.search(r'claims="([^"]+)"', got.headers["www-authenticate"])
    assert found, got.headers
    decoded: dict[str, Any] = json.loads(base64.b64decode(found.group(1), validate=True))
    return decoded


class Application(Server):
    """Calls `<host>.shop` for each request to /<host>, and relays what it is answered.

    A destination's claims challenge it answers as docs/destinations.md says: once, by
    `x-attache-claims`. It holds no other line about authorization.
    """

    def __init__(self) -> None:
        self.outbound = 0
        self.seen: list[list[tuple[str, str]]] = []
        super().__init__(self._relay)

    def _relay(self, method: str, path: str, pairs: list[tuple[str, str]], body: bytes) -> Answer:
        self.seen.append(pairs)
        host, _, _ = path.removeprefix("/api/").partition("?")
        carried = {name: value for name, value in pairs if name in CARRIED}
        status, headers, content = self._call(host, carried)
        found = re.search(r'claims="([^"]+)"', headers.get("www-authenticate", ""))
        if status == 401 and found and headers.get("x-api") == "notification":
            status, headers, content = self._call(
                host, carried | {"x-attache-claims": found.group(1)}
            )
        relayed = ("www-authenticate", "retry-after", "content-type")
        return status, {name: headers[name] for name in relayed if name in headers}, content

    def _call(self, host: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.outbound, timeout=30)
        try:
            connection.request("GET", "/", headers={"host": f"{host}.shop"} | headers)
            got = connection.getresponse()
            return got.status, {k.lower(): v for k, v in got.getheaders()}, got.read()
        finally:
            connection.close()


CHALLENGE = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}


class Demanding(Server):
    """An API that wants the authentication context c1 in every token, and says so as Entra's do."""

    def __init__(self) -> None:
        self.tokens: list[dict[str, Any]] = []
        self.seen: list[dict[str, str]] = []
        super().__init__(self._answer)

    def _answer(self, method: str, path: str, pairs: list[tuple[str, str]], body: bytes) -> Answer:
        headers = dict(pairs)
        claims = peek(headers["authorization"])
        self.tokens.append(claims)
        self.seen.append(headers)
        if "c1" in claims.get("acrs", []):
            return 200, {}, {"name": "demanding", "headers": headers}
        encoded = base64.b64encode(json.dumps(CHALLENGE).encode()).decode()
        said = f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'
        return 401, {"www-authenticate": said, "x-api": "notification"}, {"type": "its own"}


class World:
    """The provider, the pod of `task-api`, and what it calls."""

    def __init__(self, folder: Path) -> None:
        directory = loading.load(DIRECTORY.read_text(), "directory.yaml")
        users = tuple(replace(user, second_factor=True) for user in directory.users)
        self.directory = replace(directory, users=users)
        self.idp = IdentityProvider(self.directory).start()
        self.application, self.demanding, self.echo = Application(), Demanding(), Echo("api")
        secret = folder / "secret"
        secret.write_text("demo-secret-of-task-api")
        entra = {"authority": self.idp.base_url, "caFile": str(self.idp.ca_file)}
        behalf = {"identity": "us", "scopes": ["api://notification/.default"]}
        tried = {"identity": "us", "scopes": ["api://notification/Notify.Send"]}
        standing = {"claims": CHALLENGE}
        self.pod = Pod(
            folder / "pod",
            {
                "workload": {"name": "task-api", "namespace": "shop"},
                "listeners": {"inbound": {"application": f"127.0.0.1:{self.application.port}"}},
                "issuers": [
                    {"name": "e", "entra": entra | {"tenants": [TENANT], "audiences": [TASK_API]}}
                ],
                "routes": [{"path": "/api/**", "require": {"scopes": ["access_as_user"]}}],
                "identities": [
                    {
                        "name": "us",
                        "entra": entra
                        | {"tenant": TENANT, "clientId": TASK_API, "secretFile": str(secret)},
                    }
                ],
                "destinations": [
                    self._leads("behalf", self.echo, {"obo": behalf}),
                    self._leads("tried", self.echo, {"obo": tried}),
                    self._leads("demanding", self.demanding, {"obo": behalf}),
                    self._leads("standing", self.demanding, {"obo": behalf | standing}),
                    self._leads(
                        "own",
                        self.echo,
                        {
                            "clientCredentials": {
                                "identity": "us",
                                "scopes": ["api://notification/.default"],
                            }
                        },
                    ),
                ],
            },
        )
        self.application.outbound = self.pod.outbound
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(self.idp.ca_file)

    @staticmethod
    def _leads(name: str, server: Server, credential: dict[str, Any]) -> dict[str, Any]:
        address = f"127.0.0.1:{server.port}"
        return {"name": name, "hosts": [f"{name}.shop"], "address": address} | {
            "credential": credential
        }

    def token(self, username: str, claims: dict[str, Any] | None = None) -> str:
        """Sign in with MSAL as a public client does, answering a claims challenge if there is one.

        The person types into the provider's page.
        """
        user = next(user for user in self.directory.users if user.username == username)
        client = msal.PublicClientApplication(
            SIGN_IN,
            authority=self.idp.authority(TENANT),
            instance_discovery=False,
            http_client=self._session,  # the environment names no other CA to it
        )
        flow = client.initiate_auth_code_flow(
            [SCOPE],
            redirect_uri=CALLBACK,
            claims_challenge=json.dumps(claims) if claims else None,
        )
        url = flow["auth_uri"]
        typed = {"username": username, "password": user.password}
        page = parse_qs(urlsplit(url).query)
        form = {name: values[0] for name, values in page.items()} | typed
        answer = self._session.post(url, data=form, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        back = {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
        result = client.acquire_token_by_auth_code_flow(flow, back)
        assert "access_token" in result, result
        return str(result["access_token"])

    def use(self, token: str, host: str) -> Got:
        """What the application's caller sees when the application calls *host* for them."""
        headers = {"authorization": f"Bearer {token}"}
        return ask(self.pod.inbound, f"/api/{host}", "task-api.shop", headers)

    def back_to_normal(self) -> None:
        self.idp.clear_faults()
        self.idp.world.change(lambda _: self.directory)

    def stop(self) -> None:
        self.pod.stop()
        for server in (self.application, self.demanding, self.echo):
            server.stop()
        self._session.close()
        self.idp.stop()
