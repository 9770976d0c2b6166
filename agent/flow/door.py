"""What does the inbound pipeline ask of the room where people sign in (`agent.login`)?"""

from __future__ import annotations

from typing import Protocol

from agent.config.login import Login
from agent.errors import Denial
from agent.flow.decision import Facts, Outcome
from agent.flow.request import Request
from agent.identity.principal import RawToken
from agent.moment import Moment
from agent.policy.path import CanonicalPath

OWN = "/.attache/"
"""What the agent answers itself begins with this: no application is asked."""


class Door(Protocol):
    """Sessions of people with browsers. Each method may add cookies to `facts.response`."""

    def answer(
        self, request: Request, path: CanonicalPath, facts: Facts, moment: Moment
    ) -> Outcome | None:
        """The answer to a request for one of our own paths; None for every other path."""

    def bring(
        self, request: Request, login: Login, facts: Facts, moment: Moment
    ) -> RawToken | Denial:
        """The token of the request's session, renewed where that is due; or why there is none."""

    def turned_away(
        self, request: Request, login: Login, denial: Denial, facts: Facts, moment: Moment
    ) -> Outcome:
        """What a caller without a bearer token reads instead of *denial*: perhaps a redirect."""

    def others(self, request: Request) -> str | None:
        """The Cookie header as the application may see it; None where none of ours is in it."""
