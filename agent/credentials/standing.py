"""How does each destination stand? Its row in /status, in which there is no secret."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from agent.config.destinations import Destination
from agent.credentials.credential import Credential
from agent.credentials.entra import EntraClient
from agent.credentials.kinds import Client
from agent.credentials.ledger import Ledger
from agent.credentials.managed_identity import ManagedIdentityToken
from agent.credentials.own_token import OwnToken


def row(
    destination: Destination, credential: Credential, clients: Iterable[Client], ledger: Ledger
) -> dict[str, Any]:
    """What is configured for *destination*, and how it last went. Times are RFC 3339."""
    choice = destination.credential
    named = choice.obo or choice.client_credentials or choice.token_exchange
    client = next((c for c in clients if named and c.name == named.identity), None)
    tenant = client.identity.tenant if isinstance(client, EntraClient) else None
    identity = named.identity if named else None
    if choice.refresh_token and isinstance(credential, OwnToken):
        identity = credential.identity
    last = ledger.row(destination.name)
    source = credential.source if isinstance(credential, ManagedIdentityToken) else None
    return {
        "destination": destination.name,
        "kind": choice.kind,
        **({"source": source} if source else {}),
        "delivery": destination.delivery,
        "identity": identity,
        "tenant": "the caller's" if choice.obo else tenant,
        "lastError": last.last_error or None,
        "lastReason": last.reason or None,
        "lastErrorAt": _written(last.failed_at),
        "lastSuccessAt": _written(last.succeeded_at),
        "tokenExpiresAt": _written(last.expires_at),
    }


def _written(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
