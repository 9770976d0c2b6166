"""How does an answer become a token in the cache, or a denial and a sentence in the log?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from agent.credentials.answers import Answer, Asked
from agent.credentials.bulkhead import Lane
from agent.credentials.cache import Fetch, TokenCache
from agent.credentials.ledger import Ledger
from agent.credentials.pitfalls import without_role
from agent.credentials.token import CacheKey, Token, refresh_at
from agent.credentials.verdict import judge
from agent.errors import Denial
from agent.moment import Moment

# How long one request to a server may take, in seconds. Whoever waits has a deadline of their own.
PATIENCE = 10.0

Ask = Callable[[float], Answer]
"""Asks a server; the argument is how many seconds that may take."""

Count = Callable[[str, str], None]
"""Told of each request to a server: the identity's name, and `ok` or a denial's reason."""


def nobody_counts(_identity: str, _result: str) -> None:
    """`Count` where nobody wants to know."""


_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # RFC 6750 §2.1: b64token
_MAX_TOKEN = 32 * 1024
_UNSAID = 300.0  # seconds that a token lives whose expires_in is missing
_MAX_LIFE = 7 * 86400.0


def token_of(answer: Answer, now: float, random: float, ends: float = inf) -> Token | None:
    """The bearer token in *answer*, None where there is none that could stand in a header. Pure.

    *ends*, in UTC seconds, is when it ends for us at the latest, whatever its own life.
    """
    body = answer.body
    if answer.status != 200 or body is None:
        return None
    value = body.get("access_token")
    if not isinstance(value, str) or len(value) > _MAX_TOKEN or not _BEARER.fullmatch(value):
        return None
    if str(body.get("token_type", "bearer")).lower() != "bearer":
        return None
    life = _seconds(body.get("expires_in"))
    if life is None:
        life = _UNSAID
    hint = _seconds(body.get("refresh_in"))
    expires = now + life
    if expires >= ends:
        return Token(value, ends, ends)  # another one would not serve longer
    return Token(value, expires, refresh_at(now, expires, now + hint if hint else None, random))


def _seconds(value: object) -> float | None:
    """A lifetime, which some servers write as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return None
    return min(float(value), _MAX_LIFE)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The one way from a credential to a token endpoint.

    `count` is told of each request: the identity's name, and `ok` or the reason of the denial.
    """

    cache: TokenCache
    ledger: Ledger
    clock: Callable[[], float]
    random: Callable[[], float]
    count: Count = nobody_counts

    def obtain(
        self,
        key: CacheKey,
        lane: Lane,
        asked: Asked,
        ask: Ask,
        moment: Moment,
        ends: float = inf,
    ) -> Token | Denial:
        """The token under *key*; *ask* is called at most once among all who want it now.

        It is kept until *ends* (UTC seconds) at the latest.
        """
        return self.cache.get_or_fetch(key, moment, self._fetch(asked, ask, ends), lane)

    def renew(
        self, key: CacheKey, lane: Lane, asked: Asked, ask: Ask, now: float, cold: bool = False
    ) -> None:
        """Renew the token under *key* in the background, if it is due; *cold*: or missing."""
        self.cache.renew(key, now, self._fetch(asked, ask), lane, cold)

    def _fetch(self, asked: Asked, ask: Ask, ends: float = inf) -> Fetch:
        def fetch() -> Token | Denial:
            # Its life counts from before the request: never longer than the server's own count.
            now = self.clock()
            answer = ask(PATIENCE)
            if token := token_of(answer, now, self.random(), ends):
                self.ledger.succeeded(asked.destination, token.expires_at)
                if remark := without_role(token.value, asked):
                    self.ledger.remarked(remark)
                self.count(asked.identity, "ok")
                return token
            verdict = judge(answer, asked)
            self.count(asked.identity, verdict.denial.reason)
            self.ledger.failed(asked.destination, verdict)
            return verdict.denial

        return fetch
