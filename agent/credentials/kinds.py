"""How does each kind come out of its configuration: clients of identities, credentials?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from agent.config.destinations import Destination
from agent.config.identities import Identity
from agent.credentials.client_credentials import ClientCredentials
from agent.credentials.credential import Credential
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.exchange_assembly import token_exchange
from agent.credentials.forward import Forward
from agent.credentials.internal import InternalCredential
from agent.credentials.managed_identity import ManagedIdentityToken, Way
from agent.credentials.mint import Grant, Minter
from agent.credentials.none import NoCredential
from agent.credentials.oauth import OAuthClient
from agent.credentials.obo import OnBehalfOf
from agent.credentials.secret_file import FileKey
from agent.credentials.transaction import Purpose, TransactionTokens

if TYPE_CHECKING:
    from agent.credentials.stored.rotator import Rotator

Client = EntraClient | OAuthClient


def client_of(identity: Identity, clock: Callable[[], float], new_id: Callable[[], str]) -> Client:
    """What asks the authorization server of *identity*; *clock* gives UTC seconds."""
    if identity.entra:
        return EntraClient(identity.name, identity.entra)
    if identity.oauth:
        return OAuthClient(identity.name, identity.oauth, clock, new_id)
    raise ValueError(f"identity '{identity.name}' is of no kind")


def credential_of(
    destination: Destination,
    clients: dict[str, Client],
    ways: Mapping[str, Way],
    minter: Minter | None,
    exchange: Exchange,
    rotators: Mapping[str, Rotator] = MappingProxyType({}),
) -> Credential:
    """The credential of *destination*; *clients* are the identities' by name, *ways* Azure's.

    *rotators* are the stored tokens' by name.
    """
    choice = destination.credential
    if choice.forward:
        return Forward(choice.forward.subject)
    if choice.internal and minter:
        asked = choice.internal
        grant = Grant(asked.audience, asked.scopes, asked.claims)
        transactions = None
        if wanted := asked.txn_token:
            transactions = TransactionTokens(Purpose(wanted.scopes, wanted.claims), minter)
        return InternalCredential(grant, asked.subject, minter, transactions)
    if choice.obo:
        client = clients[choice.obo.identity]
        if isinstance(client, EntraClient):
            return OnBehalfOf(
                destination.name, choice.obo.scopes, client, exchange, choice.obo.claims or ""
            )
    if choice.client_credentials:
        own = choice.client_credentials
        return ClientCredentials(
            destination.name,
            own.scopes,
            own.audience or "",
            clients[own.identity],
            exchange,
            own.resource or "",
        )
    if choice.managed_identity:
        way = ways[destination.name]
        return ManagedIdentityToken(destination.name, choice.managed_identity, way, exchange)
    if choice.secret_file:
        return FileKey(destination.name, choice.secret_file, exchange.ledger, exchange.clock)
    if choice.token_exchange:
        return token_exchange(destination.name, choice.token_exchange, clients, minter, exchange)
    if choice.refresh_token:
        from agent.credentials.refresh_token import RefreshToken

        rotator = rotators[choice.refresh_token.token]
        return RefreshToken(destination.name, rotator, exchange)
    if choice.none:
        return NoCredential()
    raise ValueError(f"destination '{destination.name}': {choice.kind} cannot be built")
