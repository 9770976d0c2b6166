"""Which token do we get for the caller's, or for our own, at any server? (RFC 8693)"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import inf

from agent.config.token_exchange import TokenExchange as Config
from agent.config.token_exchange import token_type
from agent.context.caller import Caller
from agent.credentials.answers import Answer, Asked
from agent.credentials.client_credentials import ClientCredentials
from agent.credentials.credential import Injection
from agent.credentials.exchange import Exchange
from agent.credentials.oauth import Form, OAuthClient
from agent.credentials.shown_token import Shown, Source
from agent.credentials.subject import acting_as, expired
from agent.credentials.token import CacheKey, Token
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Verified
from agent.moment import Moment

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a token exchange is made of: who shows a token of ours, and who serves as a fallback."""

    actor: Source | None = None
    own: Source | None = None
    fallback: ClientCredentials | None = None


class TokenExchange:
    """Exchanges the caller's verified token for one to the destination; each user's for theirs."""

    kind = "tokenExchange"

    def __init__(
        self,
        destination: str,
        config: Config,
        client: OAuthClient,
        exchange: Exchange,
        parts: Parts,
    ) -> None:
        self._config = config
        self._client = client
        self._exchange = exchange
        self._parts = parts
        self._lane = (client.name, "")
        self._key = CacheKey.of(
            self.kind,
            client.authority,
            "",
            client.identity.client_id,
            config.scopes,
            # All that makes a difference to what comes back (SECURITY.md 27)
            json.dumps(
                [
                    config.audience,
                    config.resource,
                    config.subject_token_type,
                    config.requested_token_type,
                    parts.actor.name if parts.actor else None,
                    parts.own.name if parts.own else None,
                ]
            ),
        )
        self._asked = Asked(
            destination,
            client.name,
            client.identity.client_id,
            "",
            config.scopes,
            for_user=True,
            server=f"'{client.authority}'",
            proof=client.proof_word,
            target=config.resource or config.audience or "",
            exchange=True,
        )

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """A token for the caller or for ourselves, or why there is none."""
        acting = acting_as(self._config.subject, caller)
        if isinstance(acting, Denial):
            return acting
        if acting is Kind.APP:
            return self._as_ourselves(moment)
        verified = caller.verified if caller else None
        if verified is None:
            raise RuntimeError("a user without a verified token")
        if denial := expired(verified, moment.now) or self._foreign(verified):
            return denial
        ends = verified.principal.expires_at
        key = self._key.for_user(verified.token_hash, verified.principal.tenant)
        token = self._exchange.cache.fresh(key, moment.now)
        if token is None:
            subject = Shown(verified.token, token_type(self._config.subject_token_type))
            found = self._ask(key, subject, self._asked, moment, ends)
            if isinstance(found, Denial):
                return found
            token = found
        return _injection(token, Kind.USER, ends)

    def renew(self, now: float) -> None:
        """Renew ahead of its end what is kept of our own tokens."""
        for kept in (self._parts.actor, self._parts.own, self._parts.fallback):
            if kept is not None:
                kept.renew(now)

    def _as_ourselves(self, moment: Moment) -> Injection | Denial:
        """Our own token exchanged, or else plain client credentials at the same server."""
        own = self._parts.own
        if own is None:
            if self._parts.fallback is None:
                raise RuntimeError("a token exchange without a token of our own")
            return self._parts.fallback.obtain(None, moment)
        token = self._exchange.cache.fresh(self._key, moment.now)
        if token is None:
            found = self._exchanged(own, moment)
            if isinstance(found, Denial):
                return found
            token = found
        return _injection(token, Kind.APP, inf)

    def _exchanged(self, own: Source, moment: Moment) -> Token | Denial:
        started = self._exchange.clock()
        subject = own.obtain(moment)
        if isinstance(subject, Denial):
            return self._in_hand(self._key, moment) or subject
        asked = replace(self._asked, for_user=False)
        left = _rest(moment, self._exchange.clock() - started)
        return self._ask(self._key, subject, asked, left, inf)

    def _foreign(self, verified: Verified) -> Denial | None:
        """Why this issuer's tokens are not shown to the server: then none is sent (28)."""
        principal = verified.principal
        named = self._config.issuers
        if named and principal.issuer_name in named:
            return None
        if not named and principal.issuer_kind is not IssuerKind.INTERNAL:
            return None
        return Denial(
            Reason.DESTINATION_NOT_ALLOWED,
            f"this destination is not for callers with a token of issuer '{principal.issuer_name}'",
        )

    def _ask(
        self, key: CacheKey, subject: Shown, asked: Asked, moment: Moment, ends: float
    ) -> Token | Denial:
        actor = None
        if self._parts.actor:
            # Before the flight, not in it: a flight that waits for another could wait for ever.
            started = self._exchange.clock()
            found = self._parts.actor.obtain(moment)
            if isinstance(found, Denial):
                return self._in_hand(key, moment) or found
            actor, moment = found, _rest(moment, self._exchange.clock() - started)
        form = self._form(subject, actor)
        wanted = form["requested_token_type"]

        def ask(seconds: float) -> Answer:
            return checked(self._client.ask(form, seconds), wanted)

        return self._exchange.obtain(key, self._lane, asked, ask, moment, ends)

    def _in_hand(self, key: CacheKey, moment: Moment) -> Token | None:
        """SECURITY.md 38: what is in hand serves, whatever keeps it from being renewed."""
        return self._exchange.cache.in_hand(key, moment.now)

    def _form(self, subject: Shown, actor: Shown | None) -> Form:
        """RFC 8693 §2.1."""
        config = self._config
        form = {
            "grant_type": GRANT,
            "subject_token": subject.value,
            "subject_token_type": subject.type,
            "requested_token_type": token_type(config.requested_token_type),
        }
        if actor is not None:
            form |= {"actor_token": actor.value, "actor_token_type": actor.type}
        if config.audience:
            form["audience"] = config.audience
        if config.resource:
            form["resource"] = config.resource
        if config.scopes:
            form["scope"] = " ".join(config.scopes)
        return form


def checked(answer: Answer, wanted: str) -> Answer:
    """*answer*, unless what came is not what was asked for (RFC 8693 §2.2.1). Pure.

    Both members are required there; another type of token could be sent to places it is not for.
    """
    body = answer.body
    if answer.status != 200 or body is None or "access_token" not in body:
        return answer
    if body.get("issued_token_type") != wanted:
        return replace(
            answer,
            body=None,
            unfit="issued another type of token than was requested. Correct requestedTokenType of "
            "the destination, or let the server say issued_token_type (RFC 8693).",
        )
    kind = body.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return replace(
            answer,
            body=None,
            unfit="issued a token that is no bearer token. Have client '{client}' get plain ones "
            "there: no DPoP, no certificate-bound tokens, no N_A.",
        )
    return answer


def _injection(token: Token, kind: Kind, ends: float) -> Injection:
    headers = (("authorization", f"Bearer {token.value}"),)
    return Injection(headers, kind, min(token.expires_at, ends))


def _rest(moment: Moment, elapsed: float) -> Moment:
    """What is left of *moment* after *elapsed* seconds."""
    return Moment(moment.now, moment.deadline - max(elapsed, 0.0))
