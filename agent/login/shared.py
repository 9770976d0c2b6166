"""What do the pods of one gateway agree on about a session? Who renews it, and what came of it.

Redis holds the newest generation under `PREFIXid`, sealed as a cookie is, and `PREFIXid:lock` while
a pod renews. Without Redis, or while it is away, each pod renews by itself.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

import redis

from agent.config.login import RedisSessions
from agent.identity.revocation.redis_link import Unreachable, client_of
from agent.login.key_file import Keys
from agent.login.session import Session, unpacked

log = logging.getLogger("attache.login")

_CONNECTIONS = 32
_LOCK = 15  # seconds; longer than any renewal takes
_STEP = 0.05  # seconds between two looks at another pod's renewal
# Only whoever took the lock gives it back: a slow pod must not release another's.
_RELEASE = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end"


class SharedSessions:
    """`agent.login.renewals.Shared` in Redis; *life* is in seconds."""

    def __init__(self, config: RedisSessions, keys: Keys, life: float) -> None:
        self._config = config
        self._keys = keys
        self._life = int(life)
        self._client = client_of(config, lambda: None, _CONNECTIONS)
        self._me = secrets.token_hex(8)
        self.problem = ""

    def newest(self, session: Session) -> Session | None:
        """See `Shared.newest`."""
        text = self._ask("GET", self._name(session))
        seals = self._keys.seals()
        if not isinstance(text, bytes) or seals is None:
            return None
        content = seals.open(_purpose(session), text.decode("ascii", "replace"))
        return unpacked(content) if content is not None else None

    def alone(self, session: Session, seconds: float) -> bool:
        """See `Shared.alone`; true as well where nobody can tell."""
        ends = time.monotonic() + seconds
        while True:
            lock = f"{self._name(session)}:lock"
            if self._ask("SET", lock, self._me, "NX", "EX", str(_LOCK)) is not None:
                return True
            if self.problem:
                return True
            newest = self.newest(session)
            if newest is not None and newest.generation > session.generation:
                return False
            if time.monotonic() > ends:
                return False
            time.sleep(_STEP)

    def done(self, session: Session, renewed: Session | None) -> None:
        """See `Shared.done`."""
        seals = self._keys.seals()
        if renewed is not None and seals is not None:
            text = seals.seal(_purpose(session), renewed.packed())
            self._ask("SET", self._name(session), text, "EX", str(self._life))
        self._ask("EVAL", _RELEASE, "1", f"{self._name(session)}:lock", self._me)

    def _name(self, session: Session) -> str:
        return f"{self._config.prefix}{session.id}"

    def _ask(self, *command: str) -> Any:
        """Redis's answer; None where it gives none."""
        ask: Any = self._client.execute_command
        try:
            answer = ask(*command)
        except (redis.RedisError, Unreachable, OSError) as error:
            problem = (
                f"sessions.redis: {self._config.address} gave no answer "
                f"({type(error).__name__}); pods renew sessions by themselves meanwhile"
            )
            if not self.problem:
                log.error("%s", problem)  # noqa: TRY400
            self.problem = problem
            return None
        if self.problem:
            log.warning("sessions.redis: %s answers again", self._config.address)
        self.problem = ""
        return answer


def _purpose(session: Session) -> str:
    return f"shared {session.id}"
