"""How is a token kept in Redis? One key, compared and set by one script."""

from __future__ import annotations

from typing import Any

import redis

from agent.config.stored_tokens import RedisStore as Place
from agent.credentials.stored.store import MAX_BYTES, NotUsable
from agent.identity.revocation.redis_link import SECONDS, Unreachable, client_of

# Redis runs a script as one command: nobody is between the comparison and the write.
_SWAP = """
local found = redis.call('GET', KEYS[1])
if (found or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RedisStore:
    """One key for one token, shared by whoever reaches that Redis."""

    def __init__(self, place: Place, token: str) -> None:
        self.name = f"Redis at {place.address}"
        self._key = place.key or f"attache:token:{token}"
        self._client: Any = client_of(place, lambda: None)

    def read(self) -> bytes | None:
        """What stands under the key."""
        try:
            found = self._client.get(self._key)
        except (redis.RedisError, Unreachable, OSError) as error:
            raise self._unusable(error) from None
        if found is not None and len(found) > MAX_BYTES:
            raise NotUsable(f"{self.name}: {self._key} is no token's record; name another key")
        return bytes(found) if found is not None else None

    def swap(self, expected: bytes | None, fresh: bytes, ahead: bool = False) -> bool:
        """Set the key, if it holds *expected*."""
        try:
            return bool(self._client.eval(_SWAP, 1, self._key, expected or b"", fresh))
        except (redis.RedisError, Unreachable, OSError) as error:
            raise self._unusable(error) from None

    def claim(self, nonce: str) -> None:
        """Nothing can be said."""

    def abandoned(self, nonce: str) -> bool:
        """Redis does not know who has died."""
        return False

    def release(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _unusable(self, error: Exception) -> NotUsable:
        if isinstance(error, Unreachable):
            return NotUsable(str(error))
        if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
            return NotUsable(f"{self.name} refused the login; check username and passwordFile")
        if isinstance(error, redis.exceptions.NoPermissionError):
            return NotUsable(f"{self.name} forbids it; allow GET, SET and EVAL on {self._key}")
        if isinstance(error, redis.TimeoutError):
            return NotUsable(
                f"{self.name} did not answer within {SECONDS:g} s; look whether it is overloaded"
            )
        if isinstance(error, redis.exceptions.ReadOnlyError):
            return NotUsable(f"{self.name} is a read-only replica; name the primary")
        why = " ".join(str(error).split())[:200]
        if isinstance(error, redis.exceptions.OutOfMemoryError):
            return NotUsable(f"{self.name} is full; raise maxmemory")
        if isinstance(error, redis.ConnectionError):
            return NotUsable(f"{self.name} cannot be reached ({why}); start it, or correct url")
        return NotUsable(f"{self.name} answered '{why}'; look at its log")
