"""One provider with everyday tokens, and configurations for the pods that ask for them."""

from __future__ import annotations

from typing import Any

from tests.e2e.contract_inbound_tools import Key, Site, life

AUDIENCE = "api"


class Provider:
    """An OIDC issuer on loopback whose keys are served, and one beside it that is down."""

    def __init__(self) -> None:
        self.site, self.key = Site(), Key("k1")
        self.down = Site()
        self.down.down()
        self.site.pages |= {
            "/.well-known/openid-configuration": {
                "issuer": self.site.url,
                "jwks_uri": f"{self.site.url}/jwks",
            },
            "/jwks": {"keys": [self.key.jwk]},
        }

    def issuers(self) -> list[dict[str, Any]]:
        return [
            {"name": "up", "oidc": {"issuer": self.site.url, "audiences": [AUDIENCE]}},
            {"name": "down", "oidc": {"issuer": self.down.url, "audiences": [AUDIENCE]}},
        ]

    def token(self, **claims: Any) -> str:
        """Ann's token, with whatever is to be different."""
        base = {"iss": self.site.url, "aud": AUDIENCE, "sub": "ann", "azp": "spa", "scope": "read"}
        return self.key.token({**base, **life(), **claims})

    def stranded(self) -> str:
        """A token whose issuer's keys cannot be had."""
        return self.token(iss=self.down.url)
