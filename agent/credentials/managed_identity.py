"""Which token do we get as a managed identity of Azure, and by which way?"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from agent.config.attache import Attache
from agent.config.identities import EntraIdentity, Identity
from agent.config.own_credentials import ManagedIdentity
from agent.credentials.answers import Answer, Asked
from agent.credentials.azure import SERVER, Platform
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.own_token import RequestedToken
from agent.credentials.token import CacheKey

log = logging.getLogger("attache.credentials")

_TENANT, _FILE = "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"
_CLIENT, _AUTHORITY = "AZURE_CLIENT_ID", "AZURE_AUTHORITY_HOST"


@dataclass(frozen=True, slots=True)
class Unset:
    """Workload identity is configured, and the environment does not hold it: a sentence."""

    sentence: str


Way = Platform | EntraClient | Unset
"""How a managed identity's token is asked for. An `EntraClient` is the pod's workload identity."""


def workload_identities(
    config: Attache, environment: Mapping[str, str]
) -> dict[str, Identity | Unset]:
    """By destination, the client that the pod's workload identity is, where that is wanted.

    azure-identity would become workload identity silently; here `source` says so, or `auto` does
    in the log and in /status. Pure.
    """
    found: dict[str, Identity | Unset] = {}
    for destination in config.destinations:
        asked = destination.credential.managed_identity
        if asked is None or asked.source == "platform" or asked.identity:
            continue
        wanted = asked.source == "workload"
        if wanted or all(environment.get(name) for name in (_TENANT, _FILE)):
            found[destination.name] = _workload_identity(asked, destination.name, environment)
    return found


def _workload_identity(
    asked: ManagedIdentity, destination: str, environment: Mapping[str, str]
) -> Identity | Unset:
    client = asked.client_id or environment.get(_CLIENT)
    missing = [name for name in (_TENANT, _FILE) if not environment.get(name)]
    missing += [] if client else [_CLIENT]
    if missing:
        return Unset(
            f"this pod has no workload identity: {' and '.join(missing)} not set. Label the pod "
            "and annotate its service account, or write source: platform."
        )
    document = {
        "tenant": environment[_TENANT],
        "clientId": client,
        "authority": environment.get(_AUTHORITY) or "https://login.microsoftonline.com",
        "federatedTokenFile": environment[_FILE],
    }
    if asked.ca_file:
        document["caFile"] = str(asked.ca_file)
    try:
        entra = EntraIdentity.model_validate(document)
    except ValidationError:
        return Unset(
            f"this pod's workload identity is unusable: {_TENANT}, {_CLIENT} or {_AUTHORITY} is "
            "malformed. Correct them, or write source: platform."
        )
    # A name that no configured identity can have.
    name = f"workload identity of destination {destination}"
    return Identity.model_construct(name=name, entra=entra, oauth=None)


def managed_identities(
    config: Attache,
    workloads: Mapping[str, Identity | Unset],
    clients: Mapping[Identity, object],
) -> dict[str, Way]:
    """By destination, the way to its managed identity's token. What `auto` chose is said."""
    identities = {identity.name: identity.entra for identity in config.identities}
    ways: dict[str, Way] = {}
    for destination in config.destinations:
        asked = destination.credential.managed_identity
        if asked is None:
            continue
        found = workloads.get(destination.name)
        client = clients[found] if isinstance(found, Identity) else None
        if isinstance(found, Unset):
            ways[destination.name] = found
        elif isinstance(client, EntraClient):
            ways[destination.name] = client
            log.info(
                "destination '%s': its managed identity is the pod's workload identity '%s'",
                destination.name,
                client.identity.client_id,
            )
        else:
            entra = identities[asked.identity] if asked.identity else None
            vouching = entra.managed_identity if entra else None
            ways[destination.name] = Platform((vouching or asked).client_id or "")
    return ways


class ManagedIdentityToken(RequestedToken):
    """Obtains a managed identity's own token, whoever caused the call."""

    kind = "managedIdentity"

    def __init__(
        self, destination: str, asked: ManagedIdentity, way: Way, exchange: Exchange
    ) -> None:
        self._way = way
        self._resource = asked.wanted
        scope = f"{asked.wanted}/.default"
        tenant, server, authority, proof = "", SERVER, "platform", "managed identity"
        client = asked.client_id or ""
        if isinstance(way, Platform):
            client = way.client_id
        if isinstance(way, EntraClient):
            tenant, client = way.identity.tenant, way.identity.client_id
            server, authority, proof = "Entra", way.authority, "federated token"
        name = way.name if isinstance(way, EntraClient) else f"managed identity {client}".strip()
        super().__init__(
            CacheKey.of("managedIdentity", authority, tenant, client, (scope,)),
            (name, tenant),
            Asked(destination, name, client, tenant, (scope,), False, server, proof),
            exchange,
        )

    @property
    def source(self) -> str:
        """Which way was chosen: for /status and the log."""
        return "platform" if isinstance(self._way, Platform) else "workload"

    @property
    def problem(self) -> str:
        """Why no token can be asked for at all; empty where one can."""
        unset = self._way.sentence if isinstance(self._way, Unset) else ""
        return f"destination '{self._asked.destination}': {unset}" if unset else ""

    def _ask(self, seconds: float) -> Answer:
        if isinstance(self._way, Platform):
            return self._way.token(self._resource, seconds)
        if isinstance(self._way, Unset):
            return Answer(0, failure=self._way.sentence, ours=True)
        return self._way.for_client((f"{self._resource}/.default",), seconds)
