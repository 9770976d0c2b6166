"""What is a destination's token exchange made of? Built from its configuration."""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.token_exchange import ShownToken
from agent.config.token_exchange import TokenExchange as Config
from agent.credentials.answers import Asked
from agent.credentials.client_credentials import ClientCredentials
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.mint import Grant, Minter
from agent.credentials.oauth import OAuthClient
from agent.credentials.shown_token import ByClientCredentials, ByFile, ByMinting, Source
from agent.credentials.token_exchange import Parts, TokenExchange

Clients = Mapping[str, EntraClient | OAuthClient]


def token_exchange(
    destination: str, config: Config, clients: Clients, minter: Minter | None, exchange: Exchange
) -> TokenExchange:
    """The credential of *destination*; `ValueError` for what no loaded configuration says."""
    client = _oauth(clients, config.identity)
    own = [
        _own(destination, each, config.identity, clients, minter, exchange) if each else None
        for each in (config.actor, config.own)
    ]
    fallback = None
    if config.subject == "either" and config.own is None:
        # As ourselves without a token to exchange: client credentials for the same target.
        fallback = ClientCredentials(
            destination,
            config.scopes,
            config.audience or "",
            client,
            exchange,
            config.resource or "",
        )
    return TokenExchange(destination, config, client, exchange, Parts(own[0], own[1], fallback))


def _own(
    destination: str,
    config: ShownToken,
    identity: str,
    clients: Clients,
    minter: Minter | None,
    exchange: Exchange,
) -> Source:
    asked = config.client_credentials
    client = _oauth(clients, asked.identity if asked and asked.identity else identity)
    name = f"{client.authority} {client.identity.client_id} {config.model_dump_json()}"
    if asked:
        audience, resource = asked.audience or "", asked.resource or ""
        return ByClientCredentials(
            name,
            ClientCredentials(destination, asked.scopes, audience, client, exchange, resource),
        )
    if config.internal and minter:
        grant = Grant(config.internal.audience or client.assertion_audience, config.internal.scopes)
        return ByMinting(name, grant, minter)
    if config.file:
        about = Asked(
            destination, client.name, client.identity.client_id, "", (), False, client.authority
        )
        return ByFile(name, config.file.path, config.file.token_type, about, exchange.ledger)
    raise ValueError(f"destination '{destination}': a token of our own cannot be built")


def _oauth(clients: Clients, name: str) -> OAuthClient:
    client = clients[name]
    if not isinstance(client, OAuthClient):
        raise ValueError(f"identity '{name}' is no oauth client")  # noqa: TRY004 - configuration
    return client
