"""One pod with every credential, the servers behind it, and a token endpoint full of troubles."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tests.e2e.contract_outbound_sts import (
    CLAIMS,
    CLIENT,
    HOME,
    OTHER,
    Authority,
    Sts,
    Trouble,
)
from tests.e2e.contract_outbound_tools import Echo, Pod, free_port

# destination → its credential; `subject` is written inside the kind or beside it
CREDENTIALS: dict[str, dict[str, Any]] = {
    "nothing": {"none": {}},
    "suite": {"forward": {}},
    "suite-any": {"forward": {}, "subject": "either"},
    "minted": {"internal": {"audience": "minted", "scopes": ["m.read"], "claims": ["name"]}},
    "minted-app": {"internal": {"audience": "minted", "subject": "app"}},
    "minted-any": {"internal": {"audience": "minted"}, "subject": "either"},
    "behalf": {"obo": {"identity": "us", "scopes": ["api://behalf/.default"]}, "subject": "user"},
    "log": {"clientCredentials": {"identity": "us", "scopes": ["api://log/.default"]}},
    "basic": {
        "clientCredentials": {"identity": "basic", "scopes": ["a", "b"], "subject": "app"},
    },
    "post": {"clientCredentials": {"identity": "post", "scopes": ["c"], "audience": "urn:x"}},
    "refused": {"clientCredentials": {"identity": "refused", "scopes": ["c"]}},
}
# scope's name → how the token endpoint treats it, and what the caller then gets
TROUBLES: dict[str, tuple[Trouble, int, str]] = {
    "mfa": (
        Trouble(code=50076, error="interaction_required", extra={"claims": CLAIMS}),
        401,
        "interaction_required",
    ),
    "blocked": (
        Trouble(code=53003, extra={"claims": CLAIMS, "suberror": "message_only"}),
        403,
        "access_blocked",
    ),
    "consent": (
        Trouble(code=65001, extra={"suberror": "consent_required"}),
        403,
        "consent_required",
    ),
    "expired": (Trouble(code=500133), 401, "invalid_token"),
    "secret": (Trouble(401, "invalid_client", 7000222), 503, "credential_error"),
    "resource": (Trouble(error="invalid_resource", code=500011), 500, "internal_error"),
    "throttled": (
        Trouble(429, raw=b"slow down", headers={"Retry-After": "17"}),
        503,
        "rate_limited",
    ),
    "html": (Trouble(200, raw=b"<html>welcome</html>"), 503, "issuer_unavailable"),
    "down": (Trouble(502, raw=b"<html>bad</html>"), 503, "issuer_unavailable"),
}


class World:
    """One authorization server, a few echoes, one pod with every credential."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.sts = Sts(self.authority)
        self.echoes = {name: Echo(name) for name in CREDENTIALS}
        self.echo = Echo("shared")
        self.secure = Echo("secure", self.authority.server)
        self.secret = folder / "secret"
        self.secret.write_text(self.sts.secret + "\n")
        (folder / "client").write_text("s&cret")
        (folder / "wrong").write_text("not it")
        self.hang = threading.Event()
        for name, (trouble, _, _) in TROUBLES.items():
            self.sts.troubles[f"api://{name}/.default"] = trouble
        self.sts.troubles["api://hang/.default"] = Trouble(hang=self.hang, raw=b"late")
        self.pods: list[Pod] = []
        self.front = self.pod(self.configuration())

    def pod(self, config: dict[str, Any], **how: Any) -> Pod:
        pod = Pod(self.folder / f"pod{len(self.pods)}", config, **how)
        self.pods.append(pod)
        return pod

    def configuration(self, **changes: Any) -> dict[str, Any]:
        ca = str(self.authority.ca)
        entra = {"authority": self.sts.base, "caFile": ca}
        oauth = {"tokenUrl": self.sts.token_url, "clientId": "cli:ent"}
        keys = self.folder / "keys"
        keys.mkdir(exist_ok=True)
        return {
            "workload": {"name": "front", "namespace": "judge"},
            "issuers": [
                {"name": "e", "entra": {**entra, "tenants": [HOME, OTHER], "audiences": [CLIENT]}}
            ],
            "routes": [
                {"path": "/open", "anonymous": True},
                {"path": "/x/**"},
            ],
            "identities": [
                {
                    "name": "us",
                    "entra": {
                        **entra,
                        "tenant": HOME,
                        "clientId": CLIENT,
                        "secretFile": str(self.secret),
                    },
                },
                {"name": "basic", "oauth": {**oauth, "secretFile": f"{self.folder}/client"}},
                {
                    "name": "post",
                    "oauth": {
                        **oauth,
                        "secretFile": f"{self.folder}/client",
                        "authMethod": "client_secret_post",
                    },
                },
                {"name": "refused", "oauth": {**oauth, "secretFile": f"{self.folder}/wrong"}},
            ],
            "destinations": [
                *(
                    {
                        "name": name,
                        "hosts": [f"{name}.shop:8100", f"{name}.alias"],
                        "address": f"127.0.0.1:{self.echoes[name].port}",
                        "credential": credential,
                    }
                    for name, credential in CREDENTIALS.items()
                ),
                *(
                    {
                        "name": f"t-{name}",
                        "hosts": [f"{name}.trouble"],
                        "address": f"127.0.0.1:{self.echo.port}",
                        "credential": {
                            "obo": {"identity": "us", "scopes": [f"api://{name}/.default"]}
                        },
                    }
                    for name in (*TROUBLES, "hang", "crowd", "rotated")
                ),
                {
                    "name": "secure",
                    "hosts": ["secure.shop"],
                    "address": f"localhost:{self.secure.port}",
                    "tls": {"caFile": ca},
                    "credential": {"none": {}},
                },
                {
                    "name": "distrusted",
                    "hosts": ["distrusted.shop"],
                    "address": f"localhost:{self.secure.port}",
                    "tls": {},
                    "credential": {"none": {}},
                },
                {"name": "absent", "hosts": ["absent.shop"], "address": f"127.0.0.1:{free_port()}"},
            ],
            "internalTokens": {
                "issuer": "https://front.judge",
                "trustDomain": "judge",
                "keys": str(keys),
                "lifetime": "2m",
            },
        } | changes

    def stop(self) -> None:
        self.hang.set()
        for pod in self.pods:
            pod.stop()
        for server in (*self.echoes.values(), self.echo, self.secure, self.sts):
            server.stop()


def pick(seen: dict[str, str], *names: str) -> dict[str, str]:
    """What an application relays that copies these headers and no others."""
    return {name: seen[name] for name in names if name in seen}
