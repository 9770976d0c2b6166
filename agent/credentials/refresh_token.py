"""Which token does a stored login give? An access token for the destination, whoever calls."""

from __future__ import annotations

import logging
from math import ceil

from agent.credentials.answers import Asked
from agent.credentials.exchange import Exchange
from agent.credentials.own_token import OwnToken
from agent.credentials.stored.rotator import Rotator, sentence
from agent.credentials.stored.steps import Have, NotYet, Outcome, Rested, Stopped
from agent.credentials.token import CacheKey, Token, refresh_at
from agent.credentials.verdict import Verdict, judge
from agent.errors import Denial, Reason
from agent.moment import Moment

_LOOKS = 5  # seconds until a login that somebody made may show


class RefreshToken(OwnToken):
    """Obtains access tokens by a stored refresh token. Destinations share what they name."""

    kind = "refreshToken"

    def __init__(self, destination: str, rotator: Rotator, exchange: Exchange) -> None:
        self.rotator = rotator
        rules = rotator.rules
        key = CacheKey.of("refreshToken", rules.authority, "", rules.client, (), rotator.name)
        asked = Asked(
            destination,
            rotator.identity,
            rules.client,
            "",
            (),
            for_user=False,
            server=f"'{rules.authority}'",
            target=rotator.name,
        )
        super().__init__(key, (rotator.identity, f"stored {rotator.name}"), asked, exchange)
        self._used = False

    def token(self, moment: Moment) -> Token | Denial:
        """The token itself; whoever else wants it now waits for the same rotation."""
        self._used = True
        return self._exchange.cache.get_or_fetch(self._key, moment, self._fetch, self._lane)

    def renew(self, now: float) -> None:
        """Renew the token ahead of its end, if it was used at all: a rotation is no small thing."""
        if self._used:
            self._exchange.cache.renew(self._key, now, self._fetch, self._lane)

    def wanted(self, now: float) -> None:
        """Renew the token if it is due, and fetch it where there is none."""
        self._exchange.cache.renew(self._key, now, self._fetch, self._lane, cold=True)

    def _fetch(self) -> Token | Denial:
        self._used = False
        outcome = self.rotator.token()
        if isinstance(outcome, Have):
            access = outcome.access
            self._exchange.count(self._asked.identity, "ok")
            self._exchange.ledger.succeeded(self._asked.destination, access.expires_at)
            renewal = refresh_at(
                access.obtained_at, access.expires_at, None, self._exchange.random()
            )
            return Token(access.value, access.expires_at, renewal)
        verdict = _verdict(outcome, self._asked, self.rotator)
        self._exchange.count(self._asked.identity, verdict.denial.reason)
        self._exchange.ledger.failed(self._asked.destination, verdict)
        return verdict.denial


def _verdict(outcome: Outcome, asked: Asked, rotator: Rotator) -> Verdict:
    """What the caller is told, and the log."""
    later = max(1, ceil(rotator.wait_for()))
    where = f"destination '{asked.destination}': "
    if isinstance(outcome, Stopped):
        told = "the login that this destination needs has ended; its operator was told"
        denial = Denial(Reason.CREDENTIAL_ERROR, told, retry_after=_LOOKS)
        return Verdict(denial, where + sentence(rotator.name, outcome), logging.ERROR)
    if isinstance(outcome, NotYet):
        verdict = judge(outcome.reply.answer, asked)
        denial = Denial(verdict.denial.reason, verdict.denial.detail, retry_after=later)
        return Verdict(denial, verdict.sentence, verdict.level)
    if isinstance(outcome, Have | Rested):
        raise TypeError("a rotation that went well is no refusal")
    told = "the store of this destination's login does not answer; its operator was told"
    denial = Denial(Reason.CREDENTIAL_ERROR, told, retry_after=later)
    said = sentence(rotator.name, outcome) or (
        f"stored token '{rotator.name}': another process is at it, and does not come to an end"
    )
    return Verdict(denial, where + said, logging.ERROR)
