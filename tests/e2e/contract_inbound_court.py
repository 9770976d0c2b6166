"""A court of strangers: several providers unlike the demo's, and one pod that trusts them."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.contract_inbound_tools import Key, Pod, Site, authority, life

T1, T2, T3, T4 = (f"{n}0000000-aaaa-4bbb-8ccc-dddddddddddd" for n in "1234")


class Court:
    """Several providers that differ from the demo's, and one pod that trusts them."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.plain, self.late = Site(), Site(), Site()
        tls, self.ca = authority(folder)
        self.tls = Site(tls)
        self.rsa, self.ec = Key("r/1 +é"), Key("e1", "EC")  # neither JWK names an algorithm
        self.secure = Key("s1", alg="RS256", use="sig", x5t="x", extra={"deep": [1]})
        self.late_key = Key("l1")
        self._oidc(self.plain, "/realm/x", self.keys, self.rsa, self.ec)
        self._oidc(self.tls, "", self.tls, self.secure)
        self.late.down()
        self._entra(folder)
        self._mesh(folder)
        self.pod = Pod(folder / "pod", self.configuration())

    @staticmethod
    def _oidc(site: Site, path: str, keys: Site, *held: Key, name: str = "/jwks") -> None:
        # The issuer is a path's end; the keys may be elsewhere; unknown members are ignored.
        site.pages[f"{path}/.well-known/openid-configuration"] = {
            "issuer": site.url + path,
            "jwks_uri": keys.url + name,
            "x-unknown": [1, {"a": None}],
            "response_types_supported": [],
        }
        symmetric = {"kty": "oct", "k": "c2VjcmV0", "kid": "sym"}
        encryption = {**Key("enc").jwk, "use": "enc"}
        keys.pages[name] = {"keys": [*(k.jwk for k in held), symmetric, encryption], "more": 1}

    def _entra(self, folder: Path) -> None:
        self.entra, self.world = Site(), Site()
        self.v1, self.v2 = Key("v1"), Key("v2", issuer=self.entra.url + "/{tenantid}/v2.0")
        self.scoped = Key("only-t1", issuer=f"{self.entra.url}/{T1}/v2.0")
        sts = "https://sts.example.test"
        keys = self.keys
        keys.pages |= {
            "/v1": {"keys": [self.v1.jwk]},
            "/v2": {"keys": [self.v2.jwk, self.scoped.jwk]},
        }
        well = "/.well-known/openid-configuration"
        self.entra.pages |= {
            f"/{T1}{well}": {"issuer": f"{sts}/{T1}/", "jwks_uri": keys.url + "/v1"},
            f"/{T1}/v2.0{well}": {
                "issuer": f"{self.entra.url}/{T1}/v2.0",
                "jwks_uri": keys.url + "/v2",
            },
            # T2: no v1 document at all, and a template in v2's
            f"/{T2}/v2.0{well}": {
                "issuer": self.entra.url + "/{tenantid}/v2.0",
                "jwks_uri": keys.url + "/v2",
            },
        }
        self.any_key = Key("any", issuer=self.world.url + "/{tenantid}/v2.0")
        self.world.pages |= {
            f"/common/v2.0{well}": {
                "issuer": self.world.url + "/{tenantid}/v2.0",
                "jwks_uri": self.world.url + "/k",
            },
            "/k": {"keys": [self.any_key.jwk]},
        }

    def _mesh(self, folder: Path) -> None:
        self.gateway = Key("g1", "EC", workload="shop/gateway")
        self.other = Key("o1", "EC", workload="shop/other")
        self.unbound = Key("u1", "EC")
        self.trust = folder / "mesh.json"
        held = [self.gateway.jwk, self.other.jwk, self.unbound.jwk]
        self.trust.write_text(json.dumps({"keys": held}))
        self.far = Key("f1", "EC", workload="far/edge", alg="ES256")
        self.tls.pages["/mesh"] = {"keys": [self.far.jwk]}

    def configuration(self, **changes: Any) -> dict[str, Any]:
        mesh = {"trustDomain": "m.internal", "audience": "judged"}
        issuers = [
            {"name": "partner", "oidc": {"issuer": self.plain.url + "/realm/x", "audiences": ["a", "b"]}},
            {"name": "secure", "oidc": {"issuer": self.tls.url, "audiences": ["a"], "caFile": str(self.ca)}},
            {"name": "late", "oidc": {"issuer": self.late.url, "audiences": ["a"]}},
            {"name": "corp", "entra": {"authority": self.entra.url, "tenants": [T1, T2], "audiences": ["api://j"]}},
            {"name": "world", "entra": {"authority": self.world.url, "allowAnyTenant": True, "audiences": ["api://j"]}},
            {"name": "mesh", "internal": {**mesh, "issuers": ["https://gw"], "jwks": {"file": str(self.trust)}}},
            {"name": "far", "internal": {**mesh, "issuers": ["https://far"],
                                         "jwks": {"url": self.tls.url + "/mesh", "caFile": str(self.ca)}}},
        ]  # fmt: skip
        routes: list[dict[str, Any]] = [
            {"path": "/healthz", "methods": ["GET"], "anonymous": True},
            {"path": "/", "anonymous": True},
            {"path": "/scopes", "require": {"scopes": ["read", "write"]}},
            {"path": "/user", "require": {"caller": "user"}},
            {"path": "/app", "require": {"caller": "app"}},
            {"path": "/role", "require": {"anyRole": ["Admin", "Editor"]}},
            {"path": "/step", "require": {"authContext": "c1"}},
            {"path": "/item/{id}", "methods": ["DELETE"], "require": {"scopes": ["nobody"]}},
            {"path": "/item/{id}", "methods": ["GET"]},
            {"path": "/api/**"},
        ]
        cors = {"allowOrigins": ["https://ui.example.test"]}
        extra = {"x-team": "team", "x-auth-name": "nick"}
        base = {
            "issuers": issuers,
            "routes": routes,
            "inbound": {"headers": extra, "cors": cors},
            "internalTokens": {"issuer": "https://gw", "trustDomain": "m.internal", "keys": str(self.trust.parent / "signing")},
        }  # fmt: skip
        return base | changes

    # tokens -------------------------------------------------------------------------------

    def user(self, key: Key | None = None, **claims: Any) -> str:
        base = {
            "iss": self.plain.url + "/realm/x",
            "aud": "a",
            "sub": "ann",
            "azp": "spa",
            "scope": "read",
        }
        return (key or self.rsa).token(_merged({**base, **life()}, claims))

    def app(self, **claims: Any) -> str:
        return self.user(sub="job", client_id="job", azp=None, scope=None, **claims)

    def tenant(self, of: str = T1, key: Key | None = None, **claims: Any) -> str:
        iss = f"{self.entra.url}/{of}/v2.0"
        base = {"iss": iss, "aud": "api://j", "tid": of, "oid": "o-1", "sub": "pairwise", "ver": "2.0", "azp": "spa", "scp": "read"}  # fmt: skip
        return (key or self.v2).token(_merged({**base, **life()}, claims))

    def internal(self, key: Key | None = None, **claims: Any) -> str:
        base = {"iss": "https://gw", "aud": "judged", "sub": "sub-1", "oid": "o-9", "tid": T1, "txn": "txn-7", "scope": "read", "client_id": "shop/gateway", "act": {"sub": "shop/gateway"}, "hops": 1, "jti": "j"}  # fmt: skip
        typ = claims.pop("typ", "at+jwt")
        return (key or self.gateway).token(_merged({**base, **life(300)}, claims), typ=typ)

    def close(self) -> None:
        for site in (self.keys, self.plain, self.tls, self.entra, self.world, self.late):
            site.down()


def _merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (base | more).items() if value is not None}
