"""With which keys are cookies sealed now? Read from a mounted file, and again when it changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from agent.login.seal import Seals

log = logging.getLogger("attache.login")

LOOK = 2.0  # seconds between two looks at the file
_SHORTEST = 32  # characters of a key
_MOST = 8
_MAX_FILE = 64 * 1024


class Keys:
    """The keys in *path*, or one of this process's own where that is None.

    *ticks* are seconds of a monotonic clock, *random* gives bytes fit for secrets. A file that
    cannot be used any more changes nothing; without a usable one nobody can sign in.
    """

    def __init__(
        self, path: Path | None, ticks: Callable[[], float], random: Callable[[int], bytes]
    ) -> None:
        self.path = path
        self.problem = ""
        self._ticks = ticks
        self._random = random
        self._lock = threading.Lock()
        self._content = b""
        self._looked = ticks()
        self._seals: Seals | None = None
        if path is None:
            self._seals = Seals([random(32)], random)
        else:
            self._look(path)

    def seals(self) -> Seals | None:
        """The keys of the moment; None while there are none."""
        now = self._ticks()
        if self.path is not None and now - self._looked >= LOOK and self._lock.acquire(False):
            try:
                self._looked = now
                self._look(self.path)
            finally:
                self._lock.release()
        return self._seals

    def _look(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_FILE + 1)
        except OSError as why:
            self._refuse(f"sessions.keyFile {path} cannot be read ({why.strerror}); mount it")
            return
        if content == self._content:
            self.problem = ""
            return
        secrets = read_secrets(content)
        if isinstance(secrets, str):
            self._refuse(f"sessions.keyFile {path} {secrets}")
            return
        renewed = bool(self._content)
        self._content, self._seals, self.problem = content, Seals(secrets, self._random), ""
        if renewed:
            log.info("sessions.keyFile has changed: %d keys open cookies now", len(secrets))

    def _refuse(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s%s", problem, ". The keys before stay" if self._seals else "")
        self.problem = problem


def read_secrets(content: bytes) -> list[bytes] | str:
    """The keys in a file's *content*, or what is wrong with it."""
    secrets = [line.strip() for line in content.splitlines() if line.strip()]
    if len(content) > _MAX_FILE or len(secrets) > _MOST:
        return f"has more than {_MOST} keys; remove those that nothing is sealed with any more"
    if not secrets:
        return "is empty; write a key into it, as `openssl rand -base64 32` makes one"
    if any(len(secret) < _SHORTEST for secret in secrets):
        return (
            f"has a key of less than {_SHORTEST} characters; write one as "
            "`openssl rand -base64 32` makes it"
        )
    if len(set(secrets)) < len(secrets):
        return "has the same key twice; remove one"
    return secrets
