"""Which door does a configuration ask for? Put together here, and kept through reloads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.config.attache import Attache
from agent.config.login import Sessions
from agent.config.login_rules import written
from agent.config.revocation import Revocation
from agent.credentials.assembly import Credentials
from agent.errors import Denial
from agent.identity.principal import Principal
from agent.identity.revocation.entry import Entry
from agent.identity.revocation.store import NotWritten, store_of
from agent.identity.trust import Trust
from agent.login.door import SessionDoor
from agent.login.key_file import Keys
from agent.login.parts import Parts, Revoke
from agent.login.provider import providers
from agent.login.renewals import Renewals, Shared
from agent.moment import Waiting
from agent.policy.routes import Routes

log = logging.getLogger("attache.login")

_SESSIONS = 20_000  # renewed ones that are remembered; each until newer ones push it out


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a door needs of the running agent."""

    revoked: Callable[[Principal, float], Denial | None]
    random: Callable[[int], bytes]
    waiting: Waiting
    notice: Callable[[str], None]


class Entrance:
    """The door of one configuration; None where nobody signs in. `previous` hands over its own."""

    def __init__(
        self, config: Attache, around: Surroundings, previous: Entrance | None = None
    ) -> None:
        self._config = config
        self._around = around
        self._wanted = any(written(config))
        self._rules = config.sessions or Sessions()
        kept = previous if previous and previous._wanted else None
        self._keys: Keys | None = None
        self._renewals: Renewals | None = None
        if not self._wanted:
            return
        if kept and kept._keys and kept._rules.key_file == self._rules.key_file:
            self._keys = kept._keys
        else:
            self._keys = Keys(self._rules.key_file, time.monotonic, around.random)
            if self._rules.key_file is None:
                log.warning(
                    "sessions.keyFile is not written: a restart ends every session, and a second "
                    "pod knows none of this one's"
                )
        if kept and kept._renewals and kept._rules.redis == self._rules.redis:
            self._renewals = kept._renewals
        else:
            shared = _shared(self._rules, self._keys)
            self._renewals = Renewals(around.waiting, shared, _SESSIONS)

    def door(self, routes: Routes, trust: Trust, credentials: Credentials) -> SessionDoor | None:
        """The door, for the pipelines over *routes*."""
        if self._keys is None or self._renewals is None:
            return None
        config, around = self._config, self._around
        names = [identity.name for identity in config.identities]
        clients = {name: credentials.client(name) for name in names}
        return SessionDoor(
            Parts(
                providers=providers(config, clients),
                rules=self._rules,
                keys=self._keys,
                renewals=self._renewals,
                match=routes.match,
                verify=trust.verify,
                statement=trust.statement,
                revoked=around.revoked,
                revoke=_revoke(config.revocation) if config.revocation else None,
                clock=time.time,
                random=around.random,
                waiting=around.waiting,
                notice=around.notice,
            )
        )

    def missing(self) -> list[str]:
        """Why nobody can sign in, a sentence each."""
        keys = self._keys
        if keys is None or keys.seals() is not None:
            return []
        return [keys.problem]

    def degraded(self) -> list[str]:
        """What has to be mended although people can sign in."""
        found = [self._keys.problem] if self._keys and self._keys.seals() else []
        if self._renewals and self._renewals.shared:
            found.append(self._renewals.shared.problem)
        return [sentence for sentence in found if sentence]

    def status(self) -> dict[str, Any] | None:
        """What /status says; nothing in it is secret."""
        if self._keys is None or self._renewals is None:
            return None
        seals = self._keys.seals()
        return {
            "keyFile": str(self._rules.key_file) if self._rules.key_file else None,
            "keys": len(seals) if seals else 0,
            "idleSeconds": self._rules.idle,
            "absoluteSeconds": self._rules.absolute,
            "shared": str(self._rules.redis.address) if self._rules.redis else None,
            "problems": [*self.missing(), *self.degraded()],
        }


def _shared(rules: Sessions, keys: Keys) -> Shared | None:
    if rules.redis is None:
        return None
    # redis takes 8 MB, which only those pay who use it
    from agent.login.shared import SharedSessions

    return SharedSessions(rules.redis, keys, rules.absolute)


def _revoke(rules: Revocation) -> Revoke:
    store = store_of(rules)

    def revoke(entry: Entry) -> str:
        try:
            store.add(entry)
        except NotWritten as why:
            log.error("a session that was ended is not in the list of revocations: %s", why)  # noqa: TRY400
            return "the list of revocations cannot be written"
        return ""

    return revoke
