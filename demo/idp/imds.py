"""What does the instance metadata service answer? Managed identities' tokens."""

from collections.abc import Mapping
from typing import Any

from demo.idp import answers, scopes
from demo.idp.demands import ClaimsRequest
from demo.idp.desk import Desk
from demo.idp.directory import ManagedIdentity, service_principal_id
from demo.idp.errors import AadError
from demo.idp.tokens import Client

Reply = tuple[int, dict[str, Any]]


def token(headers: Mapping[str, str], query: Mapping[str, str], desk: Desk) -> Reply:
    """Return the HTTP status and body. All values of an answer are strings."""
    if headers.get("Metadata", "").lower() != "true":
        return _bad("invalid_request", "Required metadata header not specified")
    if "X-Forwarded-For" in headers:
        return _bad("invalid_request", "The request came through a proxy")
    resource = query.get("resource")
    if not resource:
        return _bad("invalid_request", "Required query parameter 'resource' not specified")
    identity = _identity(query, desk)
    app = desk.directory.app(identity.client) if identity else None
    tenant = desk.directory.tenant(identity.tenant) if identity else None
    if app is None or tenant is None:
        return _bad("invalid_request", "Identity not found")
    client = Client(app, "2")
    scope = f"{resource}/{scopes.DEFAULT}"
    ask = scopes.parse(scope, tenant, client, desk)
    if isinstance(ask, AadError):
        return _bad(ask.error, f"AADSTS{ask.code}: {ask.message}")
    lifetime = desk.names.settings.managed_identity_lifetime
    answer = answers.for_app(desk, tenant, client, ask, ClaimsRequest(), lifetime)
    return 200, {
        "access_token": answer["access_token"],
        "client_id": app.client_id,
        "expires_in": str(answer["expires_in"]),
        "expires_on": str(desk.now + lifetime),
        "ext_expires_in": str(answer["ext_expires_in"]),
        "not_before": str(desk.now),
        "resource": resource,
        "token_type": "Bearer",
    }


def _identity(query: Mapping[str, str], desk: Desk) -> ManagedIdentity | None:
    identities = desk.directory.managed_identities
    if client_id := query.get("client_id"):
        identities = tuple(i for i in identities if i.client == client_id)
    if object_id := query.get("object_id") or query.get("principal_id"):
        identities = tuple(
            i for i in identities if service_principal_id(i.tenant, i.client) == object_id
        )
    return identities[0] if identities else None


def _bad(error: str, description: str) -> Reply:
    return 400, {"error": error, "error_description": description}
