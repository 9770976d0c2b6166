"""Which token do we get as ourselves? Client credentials at Entra or any OAuth server."""

from __future__ import annotations

from agent.context.caller import Caller
from agent.credentials.answers import Answer, Asked
from agent.credentials.credential import Injection
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.oauth import OAuthClient
from agent.credentials.obo import proof_word
from agent.credentials.token import CacheKey
from agent.errors import Denial
from agent.identity.principal import Kind
from agent.moment import Moment


class ClientCredentials:
    """Obtains the application's own token, whoever caused the call."""

    kind = "clientCredentials"

    def __init__(
        self,
        destination: str,
        scopes: tuple[str, ...],
        audience: str,
        client: EntraClient | OAuthClient,
        exchange: Exchange,
    ) -> None:
        self._client = client
        self._exchange = exchange
        identity = client.identity
        if isinstance(client, EntraClient):
            authority, tenant = client.authority, client.identity.tenant
            scopes = scopes or ((f"{audience.rstrip('/')}/.default",) if audience else ())
            server, proof = "Entra", proof_word(client)
        else:
            authority, tenant = client.identity.token_url, ""
            server, proof = f"'{authority}'", "secret"
        self._scopes, self._audience = scopes, audience
        self._lane = (client.name, tenant)
        self._key = CacheKey.of(
            "clientCredentials", authority, tenant, identity.client_id, scopes, audience
        )
        self._asked = Asked(
            destination,
            client.name,
            identity.client_id,
            tenant,
            scopes,
            for_user=False,
            server=server,
            proof=proof,
        )

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """Our own token for the destination, or why there is none."""
        token = self._exchange.obtain(self._key, self._lane, self._asked, self._ask, moment)
        if isinstance(token, Denial):
            return token
        headers = (("authorization", f"Bearer {token.value}"),)
        return Injection(headers, Kind.APP, token.expires_at)

    def renew(self, now: float) -> None:
        """Renew the token ahead of its end, if there is one (DESIGN.md §6)."""
        self._exchange.renew(self._key, self._lane, self._asked, self._ask, now)

    def _ask(self, seconds: float) -> Answer:
        if isinstance(self._client, EntraClient):
            return self._client.for_client(self._scopes, seconds)
        return self._client.for_client(self._scopes, self._audience, seconds)
