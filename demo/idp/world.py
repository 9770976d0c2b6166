"""What is true now? The one place that holds the provider's changing state."""

import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from demo.idp.counters import Counters
from demo.idp.desk import Desk
from demo.idp.directory import Directory
from demo.idp.faults import FaultBoard
from demo.idp.keys import KeyRing, new_key
from demo.idp.sessions import Sessions
from demo.idp.settings import Names

Clock = Callable[[], float]


class World:
    """Directory, keys, sessions, faults and counters, and the clock. Safe for many threads."""

    def __init__(self, directory: Directory, ring: KeyRing, names: Names, clock: Clock) -> None:
        self.names = names
        self.clock = clock
        self.faults = FaultBoard()
        self.counters = Counters()
        self.sessions = Sessions(fresh)
        self._lock = threading.Lock()
        self._directory = directory
        self._ring = ring

    @property
    def directory(self) -> Directory:
        """The directory as it is now."""
        with self._lock:
            return self._directory

    @property
    def ring(self) -> KeyRing:
        """The keys as they are now."""
        with self._lock:
            return self._ring

    def desk(self) -> Desk:
        """Return this moment, for one request."""
        with self._lock:
            directory, ring = self._directory, self._ring
        return Desk(directory, ring, self.names, self.sessions, int(self.clock()), fresh)

    def change(self, edit: Callable[[Directory], Directory]) -> None:
        """Replace the directory by what *edit* makes of it."""
        with self._lock:
            self._directory = edit(self._directory)

    def publish_key(self) -> str:
        """Publish a new key that does not sign yet; return its kid."""
        key = new_key(self.clock())
        with self._lock:
            self._ring = self._ring.publish(key)
        return key.kid

    def activate_key(self, kid: str) -> None:
        """Sign with a published key from now on. Raises KeyError."""
        with self._lock:
            self._ring = self._ring.activate(kid)

    def retire_key(self, kid: str) -> None:
        """Publish a key no longer. Raises ValueError for the one that signs."""
        with self._lock:
            self._ring = self._ring.retire(kid)

    def rotate(self) -> str:
        """Publish a new key, then sign with it; return its kid. Old keys stay published."""
        kid = self.publish_key()
        self.activate_key(kid)
        return kid

    def mint(self, claims: Mapping[str, Any], kid: str | None = None, version: int = 2) -> str:
        """Sign any claims at all with a published key: for tokens that must be refused."""
        ring = self.ring
        return ring.find(kid or ring.active).sign(claims, version=version)


def fresh() -> str:
    """Return an unguessable id of 128 bits, safe in a URL."""
    return secrets.token_urlsafe(16)
