"""Whose tokens are measured? A local identity provider with one user and two APIs."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import requests

from demo.idp.loading import load
from demo.idp.server import IdentityProvider
from demo.idp.settings import Settings

TENANT = "11111111-1111-4111-8111-111111111111"
API = "aaaaaaaa-0000-4000-8000-000000000001"
USER = "bbbbbbbb-0000-4000-8000-000000000001"

DIRECTORY = f"""
tenants: [{{id: {TENANT}, name: bench.example}}]
apps:
  - name: api
    clientId: {API}
    homeTenant: bench.example
    uris: ["api://api"]
    scopes: [access]
    roles: [Editor]
    secrets: [{{value: api-secret}}]
  - name: store
    clientId: aaaaaaaa-0000-4000-8000-000000000002
    homeTenant: bench.example
    uris: ["api://store"]
    scopes: [Store.Read]
users:
  - id: {USER}
    tenant: bench.example
    username: u@bench.example
    password: bench-password
    name: U
consents:
  - {{tenant: bench.example, client: api, resource: store, scopes: [Store.Read]}}
"""


def provider(state: Path | None = None, refresh_in: int | None = None) -> IdentityProvider:
    """The provider, not yet started; one with a *state* can be stopped and started again."""
    settings = Settings(refresh_in=refresh_in)
    return IdentityProvider(load(DIRECTORY, "bench"), state=state, settings=settings)


def user_token(idp: IdentityProvider) -> str:
    """A fresh RS256-2048 access token of the user for the API; no two are the same."""
    now = int(time.time())
    return idp.mint(
        {
            "iss": f"{idp.base_url}/{TENANT}/v2.0",
            "aud": API,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "tid": TENANT,
            "oid": USER,
            "sub": "pairwise-subject-of-the-user",
            "ver": "2.0",
            "azp": API,
            "scp": "access",
            "roles": ["Editor"],
            "name": "U",
            "preferred_username": "u@bench.example",
            "uti": uuid.uuid4().hex,
        }
    )


def keys(idp: IdentityProvider) -> str:
    """The provider's key document."""
    url = f"{idp.base_url}/{TENANT}/discovery/v2.0/keys"
    return requests.get(url, verify=str(idp.ca_file), timeout=10).text
