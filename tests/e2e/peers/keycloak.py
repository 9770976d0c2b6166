"""A real Keycloak, for whoever has one unpacked: ATTACHE_KEYCLOAK names its folder (JDK 17 or 21).

`mvn dependency:get -Dartifact=org.keycloak:keycloak-quarkus-dist:26.4.0:zip -Dtransitive=false`
fetches the archive. It takes half a minute to start, so no ordinary run of the tests has it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from demo.child import Child
from demo.ports import Ports
from tests.e2e.peers.oidc_provider import ClientKey

SECRET = "s3cret :%+&=/ of tests"
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")


def _for(client: str) -> dict[str, Any]:
    """A mapper that puts *client* into the audience."""
    mapper = "oidc-audience-mapper"
    config = {"included.client.audience": client, "access.token.claim": "true"}
    return {
        "name": mapper,
        "protocol": "openid-connect",
        "protocolMapper": mapper,
        "config": config,
    }


class Keycloak:
    """One realm `shop`: user alice, client `web` that signs in, `task-api` (us), `billing`."""

    def __init__(self, folder: Path) -> None:
        home = os.environ.get("ATTACHE_KEYCLOAK")
        if not home:
            pytest.skip("ATTACHE_KEYCLOAK names no folder of an unpacked Keycloak")
        folder.mkdir(parents=True)
        self.keys = {name: ClientKey(folder, name) for name in ALGORITHMS}
        self.secret_file = folder / "secret"
        self.secret_file.write_text(SECRET)
        self._password = secrets.token_urlsafe(12)
        port = Ports().take()
        self._base = f"http://127.0.0.1:{port}"
        self.issuer = f"{self._base}/realms/shop"
        self.token_url = f"{self.issuer}/protocol/openid-connect/token"
        command = [f"{home}/bin/kc.sh", "start-dev", f"--http-port={port}", "--db=dev-mem"]
        self._child = Child(
            "keycloak",
            [*command, "--http-host=127.0.0.1", "--hostname-strict=false"],
            folder / "keycloak.log",
            {
                "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
                "KC_BOOTSTRAP_ADMIN_PASSWORD": self._password,
                "JAVA_OPTS_KC_HEAP": "-Xmx700m",
            },
        )
        self._child.start()
        try:
            self._child.come_up(self._listens, 240.0)
            self._realm()
        except BaseException:
            self.stop()
            raise

    def _listens(self) -> bool:
        return bool(re.search(r"Listening on: ", self._child.log.read_text(errors="replace")))

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    def admin(self, method: str, path: str, **content: Any) -> None:
        """One request to its administration."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin"}
        answer = requests.post(
            f"{self._base}/realms/master/protocol/openid-connect/token",
            data=form | {"password": self._password},
            timeout=30,
        )
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        url = f"{self._base}/admin/realms{path}"
        done = requests.request(method, url, headers=headers, timeout=60, **content)
        assert done.status_code < 300, done.text

    def _realm(self) -> None:
        exchanges = {"standard.token.exchange.enabled": "true"}
        ours = {"serviceAccountsEnabled": True}
        signed = [
            {
                "clientId": f"us-{name}",
                "clientAuthenticatorType": "client-jwt",
                "attributes": exchanges
                | {
                    "use.jwks.string": "true",
                    "jwks.string": json.dumps({"keys": [key.jwk()]}),
                    "token.endpoint.auth.signing.alg": name,
                },
                **ours,
            }
            for name, key in self.keys.items()
        ]
        signs_in = {"publicClient": True, "directAccessGrantsEnabled": True}
        alice = {
            "username": "alice",
            "enabled": True,
            "email": "alice@shop.example",
            "emailVerified": True,
            "firstName": "Alice",
            "lastName": "Example",
            "credentials": [{"type": "password", "value": "pw", "temporary": False}],
            "clientRoles": {"billing": ["payer"]},
        }
        clients = [
            {
                "clientId": "web",
                **signs_in,
                "protocolMappers": [_for("task-api"), _for("us-ES256") | {"name": "second"}],
            },
            {"clientId": "other", **signs_in, "protocolMappers": [_for("nobody")]},
            {"clientId": "task-api", "secret": SECRET, "attributes": exchanges, **ours},
            {"clientId": "nobody", "secret": SECRET, **ours},
            {"clientId": "billing", "secret": "x"},
            *signed,
        ]
        realm = {"realm": "shop", "enabled": True, "users": [alice], "clients": clients}
        self.admin("POST", "", json=realm | {"roles": {"client": {"billing": [{"name": "payer"}]}}})

    def sign_in(self, client: str = "web") -> str:
        """An access token of alice."""
        form = {"grant_type": "password", "client_id": client, "username": "alice"}
        answer = requests.post(
            self.token_url, data=form | {"password": "pw", "scope": "openid"}, timeout=30
        )
        return str(answer.json()["access_token"])

    def end_session(self, token: str) -> None:
        """Sign the user of *token* out."""
        self.admin("DELETE", f"/shop/sessions/{self.claims(token)['sid']}")

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of one of its tokens, verified by its published keys."""
        keys = requests.get(f"{self.issuer}/protocol/openid-connect/certs", timeout=10).json()
        kid = jwt.get_unverified_header(token)["kid"]
        key = next(jwt.PyJWK(one) for one in keys["keys"] if one["kid"] == kid)
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=self.issuer,
            options={"verify_aud": False},
        )
