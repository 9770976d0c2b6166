"""Which token of our own do we show an authorization server? (RFC 8693 §2.1)"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.config.token_exchange import token_type
from agent.credentials.answers import Answer, Asked
from agent.credentials.client_credentials import ClientCredentials
from agent.credentials.ledger import Ledger
from agent.credentials.mint import Grant, Minter
from agent.credentials.proof import Unproven, text_of
from agent.credentials.verdict import judge
from agent.errors import Denial
from agent.identity.principal import Kind
from agent.moment import Moment


@dataclass(frozen=True, slots=True)
class Shown:
    """A token and the identifier of its type."""

    value: str = field(repr=False)
    type: str


class Source(Protocol):
    """Where a token of our own comes from; `name` tells it from every other source."""

    @property
    def name(self) -> str: ...

    def obtain(self, moment: Moment) -> Shown | Denial:
        """The token, or why there is none; may wait for at most `moment.deadline` seconds."""
        ...

    def renew(self, now: float) -> None:
        """Renew what is kept, if that is due."""
        ...


class ByClientCredentials:
    """Obtained as a client, and kept while it serves."""

    def __init__(self, name: str, credential: ClientCredentials) -> None:
        self.name = name
        self._credential = credential

    def obtain(self, moment: Moment) -> Shown | Denial:
        """The token of the moment."""
        token = self._credential.token(moment)
        if isinstance(token, Denial):
            return token
        return Shown(token.value, token_type("access_token"))

    def renew(self, now: float) -> None:
        """Renew it ahead of its end."""
        self._credential.renew(now)


class ByMinting:
    """Minted about ourselves, anew each time."""

    def __init__(self, name: str, grant: Grant, minter: Minter) -> None:
        self.name = name
        self._grant = grant
        self._minter = minter

    def obtain(self, moment: Moment) -> Shown | Denial:
        """A token that says who we are, and nothing of any caller."""
        minted = self._minter.mint(self._grant, None, Kind.APP, moment.now)
        if isinstance(minted, Denial):
            return minted
        return Shown(minted.token, token_type("jwt"))

    def renew(self, now: float) -> None:
        """Nothing is kept."""


class ByFile:
    """Read from a file each time: something else keeps it fresh."""

    def __init__(self, name: str, path: Path, kind: str, asked: Asked, ledger: Ledger) -> None:
        self.name = name
        self._path = path
        self._type = token_type(kind)
        self._asked = asked
        self._ledger = ledger

    def obtain(self, moment: Moment) -> Shown | Denial:
        """What the file holds."""
        found = text_of(self._path, "token")
        if isinstance(found, Unproven):
            verdict = judge(Answer(0, failure=found.sentence, ours=True), self._asked)
            self._ledger.failed(self._asked.destination, verdict)
            return verdict.denial
        return Shown(found, self._type)

    def renew(self, now: float) -> None:
        """Nothing is kept."""
