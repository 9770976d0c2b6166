"""How strongly must the user have signed in? The `claims` parameter and access policies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo.idp.desk import Desk
from demo.idp.directory import App, Tenant
from demo.idp.errors import AadError, refuse

MFA = "mfa"


@dataclass(frozen=True, slots=True)
class ClaimsRequest:
    """What a `claims` parameter asks for (OIDC Core §5.5), as far as we know it."""

    contexts: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    @property
    def step_up(self) -> bool:
        """Whether it takes more than a password."""
        return bool(self.contexts or self.policies)


def parse(text: str | None) -> ClaimsRequest | AadError:
    """Read a `claims` parameter; none asks for nothing."""
    if not text:
        return ClaimsRequest()
    try:
        members = json.loads(text)["access_token"]
        return ClaimsRequest(
            contexts=_values(members.get("acrs")),
            policies=_values(members.get("polids")),
            capabilities=_values(members.get("xms_cc")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return refuse(9002313, reason="The 'claims' parameter is not a claims request.")


def _values(member: Mapping[str, Any] | None) -> tuple[str, ...]:
    if member is None:
        return ()
    listed = member["values"] if "values" in member else [member["value"]]
    return tuple(str(value) for value in listed)


def check(
    desk: Desk, tenant: Tenant, resource: App, asked: ClaimsRequest, methods: tuple[str, ...]
) -> AadError | None:
    """Return the refusal of a sign-in too weak for *resource* or for what was asked."""
    for policy in desk.directory.demands(tenant.id, resource.client_id):
        if policy.demand == "block":
            return refuse(53003, suberror="message_only")
        if MFA not in methods:
            return _insufficient(resource, {"polids": {"essential": True, "values": [policy.id]}})
    if asked.contexts and MFA not in methods:
        context = {"acrs": {"essential": True, "value": asked.contexts[0]}}
        return _insufficient(resource, context)
    return None


def _insufficient(resource: App, member: Mapping[str, Any]) -> AadError:
    return refuse(
        50076,
        suberror="basic_action",
        claims={"access_token": member},
        resource=resource.client_id,
    )
