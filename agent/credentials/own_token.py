"""How is a token of the application itself obtained, and kept fresh?"""

from __future__ import annotations

from abc import ABC, abstractmethod

from agent.context.caller import Caller
from agent.credentials.answers import Answer, Asked
from agent.credentials.bulkhead import Lane
from agent.credentials.credential import Injection
from agent.credentials.exchange import Exchange
from agent.credentials.token import CacheKey, Token
from agent.errors import Denial
from agent.identity.principal import Kind
from agent.moment import Moment


class OwnToken(ABC):
    """A bearer token that is ours, whoever caused the call. A kind says where it comes from."""

    kind = ""

    def __init__(self, key: CacheKey, lane: Lane, asked: Asked, exchange: Exchange) -> None:
        self._key = key
        self._lane = lane
        self._asked = asked
        self._exchange = exchange

    @property
    def identity(self) -> str:
        """The name of the identity that asks."""
        return self._asked.identity

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """Our own token for the destination, or why there is none."""
        token = self.token(moment)
        return token if isinstance(token, Denial) else _bearer(token)

    def at_hand(self, now: float) -> Injection | None:
        """The header with the token, if it is valid at *now*; nobody is asked."""
        token = self._exchange.cache.in_hand(self._key, now)
        return _bearer(token) if token else None

    @abstractmethod
    def token(self, moment: Moment) -> Token | Denial:
        """The token itself, for those who show it to an authorization server."""

    @abstractmethod
    def renew(self, now: float) -> None:
        """Renew the token ahead of its end, if there is one (DESIGN.md §6)."""

    @abstractmethod
    def wanted(self, now: float) -> None:
        """Renew the token if it is due, and fetch it where there is none."""


class RequestedToken(OwnToken):
    """One that somebody gives for the asking. A kind says how it is asked for."""

    def token(self, moment: Moment) -> Token | Denial:
        """See `OwnToken.token`."""
        return self._exchange.obtain(self._key, self._lane, self._asked, self._ask, moment)

    def renew(self, now: float) -> None:
        """See `OwnToken.renew`."""
        self._exchange.renew(self._key, self._lane, self._asked, self._ask, now)

    def wanted(self, now: float) -> None:
        """See `OwnToken.wanted`."""
        self._exchange.renew(self._key, self._lane, self._asked, self._ask, now, cold=True)

    @abstractmethod
    def _ask(self, seconds: float) -> Answer:
        """Ask for it; no longer than *seconds*."""


def _bearer(token: Token) -> Injection:
    return Injection((("authorization", f"Bearer {token.value}"),), Kind.APP, token.expires_at)
