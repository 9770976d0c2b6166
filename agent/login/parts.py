"""What does the door work with? Put together once for each configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.config.login import Login, Sessions
from agent.errors import Denial, Reason
from agent.flow.door import OWN
from agent.identity.principal import Principal, RawToken, Verified
from agent.identity.revocation.entry import Entry
from agent.identity.verifier import Stated
from agent.login.key_file import Keys
from agent.login.provider import Endpoints, Provider
from agent.login.renewals import Renewals
from agent.moment import Moment, Waiting
from agent.policy.path import CanonicalPath
from agent.policy.routes import Rule

CALLBACK = f"{OWN}callback"
LOGIN = f"{OWN}login"
LOGOUT = f"{OWN}logout"
SIGNED_OUT = f"{OWN}backchannel-logout"

Revoke = Callable[[Entry], str]
"""Writes an entry into the list of revocations; returns why it could not, or an empty text."""


@dataclass(frozen=True, slots=True)
class Parts:
    """*clock* gives UTC seconds, *random* bytes fit for secrets.

    `revoke` is None where there is no list; `notice` counts what happens to sessions.
    """

    providers: Mapping[Login, Provider]
    rules: Sessions
    keys: Keys
    renewals: Renewals
    match: Callable[[str, str, CanonicalPath], Rule | Denial]
    verify: Callable[[RawToken, Moment], Verified | Denial]
    statement: Callable[[str, str, Moment], Stated | Denial]
    revoked: Callable[[Principal, float], Denial | None]
    revoke: Revoke | None
    clock: Callable[[], float]
    random: Callable[[int], bytes]
    waiting: Waiting
    notice: Callable[[str], None]

    def endpoints(self, provider: Provider, moment: Moment) -> Endpoints | Denial:
        """Where *provider* has its pages; waits for its metadata where that is not known."""
        if (known := provider.known) is not None:
            return known
        with self.waiting() as allowed:
            if not allowed:
                return busy()
            return provider.endpoints(min(5.0, moment.deadline - 0.3))


def busy() -> Denial:
    """The denial where too many wait already."""
    return Denial(Reason.ISSUER_UNAVAILABLE, "Too many people sign in at once.", retry_after=1)
