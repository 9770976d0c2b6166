"""A certified OpenID provider by other hands (npm: oidc-provider), for whoever's tests want one.

The session's fixture `oidc_provider` is made of it. Its clients, resources and users are below; a
test that needs others makes a provider of its own: `OidcProvider(folder, clients=[…])`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus, urljoin, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo import npm
from demo.child import Child
from demo.idp import certificates

HERE = Path(__file__).parent / "oidc"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT = "http://127.0.0.1:1/callback"  # nobody listens: the code is read from the redirect
SECRET = "s3cret :%+&=/ of tests"  # RFC 6749 §2.3.1 has to encode it

# resource → what its access tokens are like; `logical` is its name as an audience (RFC 8693)
RESOURCES: dict[str, dict[str, Any]] = {
    "https://api.example/us": {"alg": "RS256", "scope": "tasks.read tasks.write"},
    "https://api.example/es": {"alg": "ES256", "scope": "tasks.read"},
    "https://api.example/ed": {"alg": "EdDSA", "scope": "tasks.read"},
    "https://api.example/opaque": {"scope": "tasks.read tasks.write"},
    "https://api.example/billing": {"alg": "ES256", "scope": "billing.read", "logical": "billing"},
    "https://api.example/vault": {"scope": "vault.open", "logical": "vault"},  # opaque
}


def installed(package: Path) -> Path:
    """A folder with what *package* (a package.json) names; skips where that cannot be had."""
    try:
        return npm.installed(package)
    except npm.NotInstalled as reason:
        pytest.skip(f"the peers of these tests are from npm: {reason}")


class ClientKey:
    """A client's key pair: a PEM file for us, a JWK for the provider."""

    def __init__(self, folder: Path, algorithm: str, kid: str = "") -> None:
        self.algorithm, self.kid = algorithm, kid or f"key-{algorithm}"
        self.key: Any = {
            "R": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "P": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[algorithm if algorithm[0] == "E" else algorithm[0]]()
        self.file = folder / f"{self.kid}.pem"
        self.file.write_bytes(
            self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )

    def jwk(self, private: bool = False) -> dict[str, Any]:
        """RFC 7517; *private* with its secret members."""
        kind = jwt.get_algorithm_by_name(self.algorithm)
        shown = kind.to_jwk(self.key if private else self.key.public_key(), as_dict=True)
        shown = {name: value for name, value in shown.items() if name != "key_ops"}
        return shown | {"kid": self.kid, "alg": self.algorithm, "use": "sig"}


def client(client_id: str, method: str, *grants: str, **more: Any) -> dict[str, Any]:
    """A client as the provider registers it."""
    values = {
        "client_id": client_id,
        "token_endpoint_auth_method": method,
        "grant_types": list(grants or ("client_credentials", EXCHANGE)),
        "redirect_uris": [REDIRECT] if "authorization_code" in grants else [],
        "response_types": ["code"] if "authorization_code" in grants else [],
    }
    return values | ({"client_secret": SECRET} if "secret" in method else {}) | more


class OidcProvider:
    """One running provider on https://localhost:PORT, with a CA of its own."""

    def __init__(
        self,
        folder: Path,
        clients: Sequence[Mapping[str, Any]] = (),
        resources: Mapping[str, Mapping[str, Any]] = RESOURCES,
        trusted: Sequence[Mapping[str, Any]] = (),
        ttl: Mapping[str, int] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        modules = installed(HERE / "package.json")
        for file in HERE.glob("*.mjs"):  # a module finds its packages from where it lies
            shutil.copy(file, folder)
        (folder / "node_modules").symlink_to(modules / "node_modules")
        self.folder = folder
        self.secret_file = folder / "secret"
        self.secret_file.write_text(SECRET + "\n")
        self.ca_file, self.certificate_file = folder / "ca.pem", folder / "client.pem"
        self._certify()
        self.keys = {
            algorithm: ClientKey(folder, algorithm)
            for algorithm in ("RS256", "PS256", "ES256", "ES384", "EdDSA")
        }
        settings = {
            "tls": str(folder / "tls.pem"),
            "ca": str(self.ca_file),
            "clients": [*self._clients(), *clients],
            "resources": resources,
            "scopes": sorted({s for r in resources.values() for s in r["scope"].split()}),
            # who may exchange which tokens: the client and the audience that it is known by
            "requesters": {
                "us": "https://api.example/us",
                **{f"us-{name}": "https://api.example/us" for name in self.keys},
            },
            "trusted": trusted,
            "ttl": {"AccessToken": 3600, "ClientCredentials": 600} | dict(ttl or {}),
            "keys": [
                ClientKey(folder, algorithm, f"provider-{algorithm}").jwk(private=True)
                for algorithm in ("RS256", "ES256", "EdDSA")
            ],
        }
        file = folder / "settings.json"
        file.write_text(json.dumps(settings))
        self._child = Child(
            "oidc-provider",
            [shutil.which("node") or "node", str(folder / "provider.mjs"), str(file)],
            folder / "provider.log",
        )
        self._child.start()
        self.issuer = self._child.come_up(self._ready)
        self.token_url = f"{self.issuer}/token"
        self.introspection_url = f"{self.issuer}/token/introspection"
        self.revocation_url = f"{self.issuer}/token/revocation"

    def _clients(self) -> list[dict[str, Any]]:
        asserted = [
            client(
                f"us-{name}",
                "private_key_jwt",
                token_endpoint_auth_signing_alg=name,
                jwks={"keys": [key.jwk()]},
            )
            for name, key in self.keys.items()
        ]
        return [
            *asserted,
            client("us", "client_secret_basic"),
            client("us:%+ basic", "client_secret_basic"),
            client("us-post", "client_secret_post"),
            client("us-mtls", "tls_client_auth", tls_client_auth_san_dns="us.example"),
            client("inspector", "client_secret_basic"),
            # a browser's client and a device's, both public
            client("web", "none", "authorization_code", "refresh_token", DEVICE),
        ]

    def _certify(self) -> None:
        now = time.time()
        authority = certificates.authority(now)
        self.ca_file.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        server = certificates.leaf(authority, certificates.LOOPBACK_NAMES, now)
        (self.folder / "tls.pem").write_bytes(server.pem())
        ours = certificates.leaf(authority, ("us.example",), now, client=True)
        self.certificate_file.write_bytes(ours.pem())

    def _ready(self) -> str | None:
        found = re.search(r"^READY (\S+)$", self.log, re.MULTILINE)
        return found[1] if found else None

    @property
    def log(self) -> str:
        """What it has said so far: each refused grant with its reason."""
        return self._child.log.read_text(errors="replace")

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    def session(self) -> requests.Session:
        """A client's session that trusts it, whatever the environment says of proxies and CAs."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca_file)
        return session

    def counts(self) -> dict[str, int]:
        """How often each of its paths was asked."""
        with self.session() as session:
            return session.get(f"{self.issuer}/-/counts", timeout=10).json()

    def post(self, url: str, form: Mapping[str, str], who: str = "") -> requests.Response:
        """A form sent as client *who* (by client_secret_basic), or as nobody in particular."""
        pair = (who, quote_plus(SECRET)) if who else None
        with self.session() as session:
            return session.post(url, data=dict(form), auth=pair, timeout=20)

    def introspect(self, token: str) -> dict[str, Any]:
        """What the provider says of an opaque token (RFC 7662)."""
        return self.post(self.introspection_url, {"token": token}, "inspector").json()

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of one of its JWTs, verified by its published keys."""
        with self.session() as session:
            keys = session.get(f"{self.issuer}/jwks", timeout=10).json()
        kid = jwt.get_unverified_header(token)["kid"]
        key = next(jwt.PyJWK(one) for one in keys["keys"] if one["kid"] == kid)
        return jwt.decode(
            token, key, algorithms=[key.algorithm_name], audience=audience, issuer=self.issuer
        )

    def sign_in(
        self,
        login: str,
        scope: str = "tasks.read",
        resource: str = "https://api.example/us",
        offline: bool = False,
    ) -> dict[str, Any]:
        """Sign *login* in by authorization code with PKCE: the token endpoint's answer."""
        verifier = secrets.token_urlsafe(48)
        asked = {
            "client_id": "web",
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": f"openid {'offline_access ' if offline else ''}{scope}",
            "resource": resource,
            "state": "s",
            "prompt": "consent",
            "code_challenge_method": "S256",
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
            .rstrip(b"=")
            .decode(),
        }
        with self.session() as browser:
            code = self._browse(browser, f"{self.issuer}/auth", asked, login)
        form = {
            "grant_type": "authorization_code",
            "client_id": "web",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": REDIRECT,
            "resource": resource,
        }
        answer = self.post(self.token_url, form)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _browse(
        self, browser: requests.Session, url: str, asked: Mapping[str, str], login: str
    ) -> str:
        """Follow the provider's pages, fill its forms in, and return the code."""
        got = browser.get(url, params=dict(asked), allow_redirects=False, timeout=20)
        for _ in range(12):
            if location := got.headers.get("location"):
                target = urljoin(got.url, location)
                if target.startswith(REDIRECT):
                    answer = parse_qs(urlsplit(target).query)
                    assert "code" in answer, answer
                    return answer["code"][0]
                got = browser.get(target, allow_redirects=False, timeout=20)
                continue
            prompt = re.search(r'name="prompt" value="(\w+)"', got.text)
            assert prompt, got.text
            form = {"prompt": prompt[1], "login": login, "password": "any"}
            got = browser.post(got.url, data=form, allow_redirects=False, timeout=20)
        raise AssertionError("the sign-in does not come to an end")
