"""Which token does Entra give us on behalf of the user? (ENTRA.md §2)"""

from __future__ import annotations

import re

from agent.challenge import merged
from agent.context.caller import Caller
from agent.credentials.answers import VOUCHED, Asked
from agent.credentials.credential import Injection
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.subject import acting_as, expired
from agent.credentials.token import CacheKey, Token
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Verified
from agent.moment import Moment

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class OnBehalfOf:
    """Exchanges the caller's verified token for one to the destination, in the caller's tenant."""

    kind = "obo"

    def __init__(
        self,
        destination: str,
        scopes: tuple[str, ...],
        client: EntraClient,
        exchange: Exchange,
        claims: str = "",
    ) -> None:
        """*claims*: what the destination demands of every token, as `agent.challenge` writes it."""
        self._destination = destination
        self._claims = claims
        self._client = client
        self._exchange = exchange
        self._scopes = scopes
        identity = client.identity
        self._key = CacheKey.of("obo", client.authority, "", identity.client_id, scopes)

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """The user's token for the destination, or why there is none."""
        acting = acting_as("user", caller)
        if isinstance(acting, Denial):
            return acting
        verified = caller.verified if caller else None
        if caller is None or verified is None:
            raise RuntimeError("a user without a verified token")
        if denial := expired(verified, moment.now) or unfit(verified, self._client):
            return denial
        tenant = verified.principal.tenant
        claims = merged(self._claims, caller.claims)
        key = self._key.for_user(verified.token_hash, tenant, claims)
        token = self._exchange.cache.fresh(key, moment.now) or self._ask(key, verified, moment)
        if isinstance(token, Denial):
            return token
        headers = (("authorization", f"Bearer {token.value}"),)
        return Injection(headers, Kind.USER, min(token.expires_at, verified.principal.expires_at))

    def _ask(self, key: CacheKey, verified: Verified, moment: Moment) -> Token | Denial:
        client, assertion, scopes = self._client, verified.token, self._scopes
        tenant = verified.principal.tenant
        asked = Asked(
            self._destination,
            client.name,
            client.identity.client_id,
            tenant,
            scopes,
            for_user=True,
            proof=proof_word(client),
        )
        return self._exchange.obtain(
            key,
            (client.name, tenant),
            asked,
            lambda seconds: client.on_behalf_of(tenant, assertion, scopes, key.claims, seconds),
            moment,
        )


def unfit(verified: Verified, client: EntraClient) -> Denial | None:
    """Why a user's token cannot be exchanged by *client* at all; it is then not sent (28)."""
    principal = verified.principal
    if principal.issuer_kind is not IssuerKind.ENTRA or not principal.tenant:
        return Denial(
            Reason.DESTINATION_NOT_ALLOWED,
            "this destination is for users of Entra ID; the caller signed in elsewhere",
        )
    audience = principal.claims.get("aud")
    # A v2 audience is always the client id (ENTRA.md §1): another one cannot be meant for us.
    ours = client.identity.client_id.lower()
    if isinstance(audience, str) and audience.lower() != ours and _GUID.fullmatch(audience):
        return Denial(
            Reason.INTERNAL_ERROR,
            "the credential of this destination is misconfigured: the caller's token is meant for "
            "another application than the one that would exchange it",
        )
    return None


def proof_word(client: EntraClient) -> str:
    """What the log calls our proof."""
    identity = client.identity
    if identity.certificate_file:
        return "certificate"
    if identity.managed_identity:
        return VOUCHED
    return "federated token" if identity.federated_token_file else "secret"
