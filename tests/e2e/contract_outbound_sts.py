"""Who issues? An Entra-like server, a plain OAuth one, and workloads' own keys."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import json
import ssl
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from tests.e2e.contract_outbound_tools import LIMIT, Answer, Server, b64, peek

HOME = "0b5e6f0a-9a41-4c52-8f3e-3c1f0de0a001"
OTHER = "0b5e6f0a-9a41-4c52-8f3e-3c1f0de0a002"
CLIENT = "7d1c2b9e-1111-4a4a-9b9b-000000000001"
SECRET = "first-secret"
CLAIMS = '{"access_token":{"capolids":{"essential":true,"values":["c-7"]}}}'


class Authority:
    """A certificate authority and one server certificate for localhost and 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)

        def build(cn: str, public: Any, issuer: x509.Name, ca: bool) -> x509.Certificate:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            made = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)]))
                .issuer_name(issuer)
                .public_key(public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            )
            if not ca:
                made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
            return made.sign(key, hashes.SHA256())

        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "judge ca")])
        root = build("judge ca", key.public_key(), issuer, ca=True)
        leaf = ec.generate_private_key(ec.SECP256R1())
        cert = build("localhost", leaf.public_key(), issuer, ca=False)
        pem = serialization.Encoding.PEM
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(root.public_bytes(pem))
        chain = folder / "server.pem"
        chain.write_bytes(
            cert.public_bytes(pem)
            + leaf.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(chain)


@dataclass
class Trouble:
    """How the token endpoint answers a scope, instead of a token."""

    status: int = 400
    error: str = "invalid_grant"
    code: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: threading.Event | None = None


class Sts:
    """Entra-like: discovery (v1, v2), keys, OBO and client credentials; and a plain OAuth one."""

    def __init__(self, authority: Authority) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.secret = SECRET
        self.lifetime = 3600
        self.troubles: dict[str, Trouble] = {}
        self.asked: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._server = Server(self._answer, authority.server)
        self.plain = Server(self._plain)
        self.base = f"https://localhost:{self._server.port}"
        self.token_url = f"http://127.0.0.1:{self.plain.port}/as/token"

    def stop(self) -> None:
        self._server.stop()
        self.plain.stop()

    def jws(self, claims: Mapping[str, Any]) -> str:
        head = b64(json.dumps({"typ": "JWT", "alg": "RS256", "kid": "judge-1"}).encode())
        message = f"{head}.{b64(json.dumps(dict(claims)).encode())}"
        raw = self.key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{message}.{b64(raw)}"

    def issue(self, oid: str, tid: str = HOME, life: float = 3600, **claims: Any) -> str:
        """A v2 access token of a user for our API; `app=True` makes it an app's."""
        now = int(time.time())
        body: dict[str, Any] = {
            "iss": f"{self.base}/{tid}/v2.0",
            "aud": CLIENT,
            "tid": tid,
            "oid": oid,
            "sub": f"pw-{oid}-{uuid.uuid4().hex[:4]}",  # pairwise ids are no key of ours
            "azp": "spa-client",
            "ver": "2.0",
            "iat": now,
            "nbf": now,
            "exp": int(now + life),
            "uti": uuid.uuid4().hex,
            "name": f"Name {oid}",
        }
        if claims.pop("app", False):
            body |= {"idtyp": "app", "sub": oid, "roles": ["Do"]}
        else:
            body |= {"scp": "access_as_user"}
        return self.jws(body | claims)

    def count(self, **wanted: str) -> int:
        with self._lock:
            return sum(all(a.get(k) == v for k, v in wanted.items()) for a in self.asked)

    def _answer(self, method: str, path: str, pairs: list[tuple[str, str]], body: bytes) -> Answer:
        parts = path.partition("?")[0].strip("/").split("/")
        tid, rest = parts[0], "/".join(parts[1:])
        if rest == "v2.0/.well-known/openid-configuration":
            return 200, {}, self._metadata(tid, f"{self.base}/{tid}/v2.0", "discovery/v2.0/keys")
        if rest == ".well-known/openid-configuration":
            return 200, {}, self._metadata(tid, f"https://sts.example/{tid}/", "discovery/keys")
        if rest in ("discovery/v2.0/keys", "discovery/keys"):
            n = self.key.public_key().public_numbers()
            jwk = {"kty": "RSA", "use": "sig", "kid": "judge-1", "e": "AQAB"}
            jwk["n"] = b64(n.n.to_bytes(256, "big"))
            if "v2.0" in rest:
                jwk["issuer"] = f"{self.base}/{tid}/v2.0"
            return 200, {}, {"keys": [jwk]}
        if rest == "oauth2/v2.0/token":
            form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
            return self._token(form | {"tid": tid})
        return 404, {}, {"error": "not found"}

    def _metadata(self, tid: str, issuer: str, keys: str) -> dict[str, Any]:
        base = f"{self.base}/{tid}"
        return {
            "issuer": issuer,
            "jwks_uri": f"{base}/{keys}",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _token(self, form: dict[str, str]) -> Answer:
        with self._lock:
            self.asked.append(form)
        self.gate.wait(LIMIT)
        scopes = [s for s in form["scope"].split() if s not in ("openid", "profile")]
        scope = next(s for s in scopes if s != "offline_access")
        if trouble := self.troubles.get(scope):
            return self._trouble(trouble)
        if form.get("client_secret") != self.secret:
            return self._trouble(Trouble(401, "invalid_client", 7000215))
        now = int(time.time())
        audience = scope.rpartition("/")[0]
        common = {"token_type": "Bearer", "expires_in": self.lifetime}
        made = {"aud": audience, "tid": form["tid"], "exp": now + self.lifetime}
        made["jti"] = uuid.uuid4().hex
        if form["grant_type"] == "client_credentials":
            made |= {"idtyp": "app", "appid": form["client_id"], "roles": ["Log.Write"]}
            return 200, {}, common | {"access_token": self.jws(made)}
        assert form["requested_token_use"] == "on_behalf_of"
        theirs = peek(form["assertion"])
        made |= {"oid": theirs["oid"], "scp": "all"}
        info = b64(json.dumps({"uid": theirs["oid"], "utid": form["tid"]}).encode())
        identity = {"iss": f"{self.base}/{form['tid']}/v2.0", "aud": form["client_id"]}
        identity |= {"sub": theirs["sub"], "iat": now, "exp": now + 3600, "tid": form["tid"]}
        return (
            200,
            {},
            common
            | {
                "access_token": self.jws(made),
                "scope": scope,
                "id_token": self.jws(identity),
                "client_info": info,
            },
        )

    def _trouble(self, trouble: Trouble) -> Answer:
        if trouble.hang:
            trouble.hang.wait(LIMIT)
        if trouble.raw is not None:
            return trouble.status, {"content-type": "text/html"} | trouble.headers, trouble.raw
        body = {
            "error": trouble.error,
            "error_description": f"AADSTS{trouble.code}: something. Trace ID: x",
            "error_codes": [trouble.code],
            "trace_id": str(uuid.uuid4()),
            "correlation_id": str(uuid.uuid4()),
        }
        return trouble.status, trouble.headers, body | trouble.extra

    def _plain(self, method: str, path: str, pairs: list[tuple[str, str]], body: bytes) -> Answer:
        form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
        form["_authorization"] = dict(pairs).get("authorization", "")
        with self._lock:
            self.asked.append(form)
        if form["_authorization"]:
            given = base64.b64decode(form["_authorization"].split()[1]).decode()
            fine = given == "cli%3Aent:s%26cret"  # RFC 6749 §2.3.1: each part form-encoded
            how = "basic"
        else:
            fine = (form.get("client_id"), form.get("client_secret")) == ("cli:ent", "s&cret")
            how = "post"
        if not fine:
            return 401, {}, {"error": "invalid_client"}
        wanted = f"{form.get('scope', '')}-{form.get('audience', '')}"
        made = f"opaque-{how}-{wanted.replace(' ', '.').replace(':', '.')}"
        return 200, {}, {"access_token": made, "token_type": "bearer", "expires_in": "600"}


class Signing:
    """A workload's internal signing key in a folder, and its part of the key document."""

    def __init__(self, folder: Path, workload: str, name: str = "one.pem") -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.workload = folder, workload
        self.key = ec.generate_private_key(ec.SECP256R1())
        (folder / name).write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        numbers = self.key.public_key().public_numbers()
        x, y = (b64(v.to_bytes(32, "big")) for v in (numbers.x, numbers.y))
        thumb = json.dumps(
            {"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":")
        ).encode()
        self.kid = b64(hashlib.sha256(thumb).digest())  # RFC 7638
        self.jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid}
        self.jwk |= {"alg": "ES256", "use": "sig", "workload": workload}

    def sign(self, claims: Mapping[str, Any]) -> str:
        head = {"alg": "ES256", "kid": self.kid, "typ": "at+jwt"}
        message = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(dict(claims)).encode())}"
        r, s = decode_dss_signature(self.key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{message}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
