"""Who uses the shop, and how do they sign in?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests

from demo.idp.directory import Assignment, Directory, User
from demo.wiretap import claims_of

CONTOSO = "11111111-1111-4111-8111-111111111111"
FABRIKAM = "22222222-2222-4222-8222-222222222222"
NORTHWIND = "33333333-3333-4333-8333-333333333333"

SIGN_IN = "a0000000-0000-4000-8000-000000000000"
TASK_API = "a0000000-0000-4000-8000-000000000001"
NOTIFICATION = "a0000000-0000-4000-8000-000000000002"
AUDIT = "a0000000-0000-4000-8000-000000000003"
REPORTS = "a0000000-0000-4000-8000-000000000006"

TASKS_SCOPE = "api://task-api/access_as_user"
GATEWAY_SCOPE = "api://gateway/access"
SUITE_SCOPE = "api://suite/access"

CROWD = 200


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that somebody holds; `claims` are shown, the text is not."""

    text: str = field(repr=False)
    claims: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        """How it is sent."""
        return {"Authorization": f"Bearer {self.text}"}


def with_crowd(directory: Directory, size: int = CROWD) -> Directory:
    """Return *directory* with *size* more people, every second one at fabrikam."""
    tenants = {tenant.id: tenant.name for tenant in directory.tenants}
    people = []
    for number in range(size):
        tenant = FABRIKAM if number % 2 else CONTOSO
        name = f"person{number:03}"
        people.append(
            User(
                id=str(uuid.uuid5(uuid.UUID(tenant), name)),
                tenant=tenant,
                username=f"{name}@{tenants[tenant]}",
                password=f"demo-password-of-{name}",
                name=f"Person {number:03}",
                email=f"{name}@{tenants[tenant]}",
            )
        )
    editors = [Assignment(user.tenant, user.id, TASK_API, "Editor") for user in people]
    return replace(
        directory,
        users=(*directory.users, *people),
        assignments=(*directory.assignments, *editors),
    )


class SignIn:
    """The identity provider, as people and the demo's stage manager use it."""

    def __init__(self, base_url: str, ca_file: Path, control_key: str) -> None:
        self.base_url = base_url
        self._ca = str(ca_file)
        self._control = {"X-Control-Key": control_key}

    def person(self, user: User, scope: str) -> Bearer:
        """Sign *user* in for *scope*."""
        return self._bearer(
            user.tenant,
            {
                "grant_type": "password",
                "client_id": SIGN_IN,
                "username": user.username,
                "password": user.password,
                "scope": scope,
            },
        )

    def app(self, tenant: str, client: str, secret: str, scope: str) -> Bearer:
        """A token of an app itself."""
        return self._bearer(
            tenant,
            {
                "grant_type": "client_credentials",
                "client_id": client,
                "client_secret": secret,
                "scope": scope,
            },
        )

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Move the provider's world: faults, roles, keys (see demo/idp/README.md)."""
        answer = self._send(method, f"{self.base_url}/_control/{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def answers(self) -> bool:
        """Whether the provider serves."""
        try:
            return self._send("GET", f"{self.base_url}/{CONTOSO}/discovery/v2.0/keys").ok
        except requests.RequestException:
            return False

    def _bearer(self, tenant: str, form: dict[str, str]) -> Bearer:
        answer = self._send("POST", f"{self.base_url}/{tenant}/oauth2/v2.0/token", data=form)
        if not answer.ok:
            raise RuntimeError(f"the identity provider refused a sign-in: {answer.json()['error']}")
        text = answer.json()["access_token"]
        return Bearer(text, claims_of(f"Bearer {text}"))

    def _send(self, method: str, url: str, **given: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, url, headers=self._control, verify=self._ca, timeout=30, **given
            )
