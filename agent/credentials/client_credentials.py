"""Which token do we get as ourselves? Client credentials at Entra or any OAuth server."""

from __future__ import annotations

from agent.credentials.answers import Answer, Asked
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.oauth import OAuthClient
from agent.credentials.obo import proof_word
from agent.credentials.own_token import RequestedToken
from agent.credentials.token import CacheKey


class ClientCredentials(RequestedToken):
    """Obtains the application's own token, whoever caused the call."""

    kind = "clientCredentials"

    def __init__(
        self,
        destination: str,
        scopes: tuple[str, ...],
        audience: str,
        client: EntraClient | OAuthClient,
        exchange: Exchange,
        resource: str = "",
    ) -> None:
        self._client = client
        identity = client.identity
        if isinstance(client, EntraClient):
            authority, tenant = client.authority, client.identity.tenant
            scopes = scopes or ((f"{audience.rstrip('/')}/.default",) if audience else ())
            server, proof = "Entra", proof_word(client)
        else:
            authority, tenant = client.authority, ""
            server, proof = f"'{authority}'", client.proof_word
        self._scopes, self._audience, self._resource = scopes, audience, resource
        key = CacheKey.of(
            "clientCredentials",
            authority,
            tenant,
            identity.client_id,
            scopes,
            # a line break stands in no URI, so no two pairs share a name
            f"{resource}\n{audience}" if resource else audience,
        )
        asked = Asked(
            destination,
            client.name,
            identity.client_id,
            tenant,
            scopes,
            for_user=False,
            server=server,
            proof=proof,
            target=resource or audience,
        )
        super().__init__(key, (client.name, tenant), asked, exchange)

    def _ask(self, seconds: float) -> Answer:
        if isinstance(self._client, EntraClient):
            return self._client.for_client(self._scopes, seconds)
        return self._client.for_client(self._scopes, self._audience, seconds, self._resource)
