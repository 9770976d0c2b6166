"""A client of the Microsoft Entra SDK sidecar, written from Microsoft's public documentation alone.

learn.microsoft.com/entra/msidweb/agent-id-sdk/endpoints, …/scenarios/obtain-authorization-header:
paths, parameters, and the shapes of answers and problems. Nothing of ours is imported.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import requests


class SidecarProblem(Exception):
    """An answer that is no success: `application/problem+json` with title, status and detail."""

    def __init__(self, response: requests.Response) -> None:
        assert response.headers["content-type"].startswith("application/problem+json")
        self.document: dict[str, Any] = response.json()
        self.status = response.status_code
        self.headers = response.headers
        assert self.document["status"] == self.status
        assert self.document["title"]
        super().__init__(self.document.get("detail", ""))


class SidecarClient:
    """What an application does that uses the sidecar over HTTP."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False

    def authorization_header(
        self,
        service: str,
        incoming: str,
        params: list[tuple[str, str]] | None = None,
        **headers: str,
    ) -> str:
        """The header for a downstream API, for who sent *incoming*, an Authorization header."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if incoming:
            given["Authorization"] = incoming
        document = self._get(f"/AuthorizationHeader/{quote(service, safe='')}", given, params)
        assert set(document) == {"authorizationHeader"}
        return document["authorizationHeader"]

    def application_header(
        self, service: str, params: list[tuple[str, str]] | None = None, **headers: str
    ) -> str:
        """The header for a downstream API, for the application itself."""
        path = f"/AuthorizationHeaderUnauthenticated/{quote(service, safe='')}"
        return self._get(path, headers, params)["authorizationHeader"]

    def validate(self, incoming: str) -> dict[str, Any]:
        """The claims of a token that verifies."""
        document = self._get("/Validate", {"Authorization": incoming} if incoming else {}, None)
        assert set(document) == {"protocol", "token", "claims"}
        assert document["protocol"] == "Bearer"
        assert document["token"] == incoming.removeprefix("Bearer ")
        return document["claims"]

    def healthy(self) -> bool:
        """Whether the health probe says 200."""
        return self._session.get(f"{self._base_url}/healthz", timeout=10).status_code == 200

    def _get(
        self, path: str, headers: dict[str, str], params: list[tuple[str, str]] | None
    ) -> dict[str, Any]:
        response = self._session.get(
            self._base_url + path, params=params, headers=headers, timeout=30
        )
        if response.status_code != 200:
            raise SidecarProblem(response)
        assert response.headers["content-type"].startswith("application/json")
        assert response.headers["cache-control"] == "no-store"
        document: dict[str, Any] = response.json()
        return document
