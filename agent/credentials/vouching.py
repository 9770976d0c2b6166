"""How does a managed identity vouch for an app registration? Its token is our client assertion.

A federated credential on the registration names the managed identity; Entra then takes a token of
it, made for this one audience, in place of a secret (RFC 7523 §2.2).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from agent.credentials.answers import VOUCHED, Answer
from agent.credentials.azure import SERVER, Platform
from agent.credentials.exchange import token_of
from agent.credentials.proof import Proof
from agent.credentials.token import Token, next_attempt

AUDIENCE = "api://AzureADTokenExchange"


class Vouching:
    """The assertion at hand; it lives for hours and is renewed long before its end.

    *clock* gives UTC seconds. One thread asks the platform, the others wait for it.
    """

    def __init__(self, platform: Platform, clock: Callable[[], float] = time.time) -> None:
        self._platform = platform
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the platform gives no assertion, where that is for the operator to mend."""
        return self._problem

    def prove(self, seconds: float, refused: bytes = b"") -> Proof | Answer:
        """The assertion, or the platform's answer without one, within *seconds*.

        *refused* is the `id` of a proof that Entra called expired: another one is fetched.
        """
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            return Answer(0, failure=f"was not asked: {SERVER} does not answer in time")
        try:
            now = self._clock()
            token = self._token
            if token and _proof(token).id == refused:
                token = None
            if token is None or now >= min(token.refresh_at, token.expires_at):
                return self._fetch(token, now, seconds)
            return _proof(token)
        finally:
            self._lock.release()

    def _fetch(self, held: Token | None, now: float, seconds: float) -> Proof | Answer:
        answer = self._platform.token(AUDIENCE, seconds)
        # No jitter: one request a pod and day
        if token := token_of(answer, now, 0.5):
            self._token, self._problem = token, ""
            return _proof(token)
        self._problem = answer.failure if answer.ours else ""
        if held and now < held.expires_at:  # SECURITY.md 38: what is in hand serves
            self._token = replace(
                held, refresh_at=next_attempt(now, held.expires_at, answer.retry_after, 0.5)
            )
            return _proof(held)
        return answer if answer.ours else _elsewhere(answer)


def _elsewhere(answer: Answer) -> Answer:
    """*answer* in the words of whoever asked Entra."""
    told = answer.failure or f"limits our requests (status {answer.status})"
    return Answer(0, failure=f"was not asked: {SERVER} {told}", retry_after=answer.retry_after)


def _proof(token: Token) -> Proof:
    value = token.value
    # msal asks the callable for each request
    return Proof(
        hashlib.sha256(value.encode()).digest(),
        {"client_assertion": lambda: value},
        VOUCHED,
    )
