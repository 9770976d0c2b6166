"""What stands at an issuer's URL, or in a mounted file, fetched so that it cannot hurt us?"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from agent.identity.connection import MAX_BODY, Connection, Limits
from agent.identity.unusable import Unusable

# RFC 7517 §8.5.1: the API server of Kubernetes serves keys as this type, and 406 to any other wish.
_WANTED = {"Accept": "application/json, application/jwk-set+json"}
# What a 4xx says that passes by itself (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4).
_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches by SECURITY.md 32. Time-outs are in seconds; `total` cuts a body that drips."""

    connect: float = 3.0
    read: float = 5.0
    total: float = 10.0
    max_body: int = MAX_BODY

    def __call__(self, location: str | Path, ca_file: Path | None = None) -> bytes | Unusable:
        """Return the bytes at *location*; every failure is a value with a sentence."""
        return self._read(location) if isinstance(location, Path) else self._get(location, ca_file)

    def _read(self, path: Path) -> bytes | Unusable:
        try:
            # Without O_NONBLOCK a FIFO in the file's place would hold us for ever.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return Unusable(f"{path} is not a file")
                body = file.read(self.max_body + 1)
        except OSError as why:
            return Unusable(f"{path} cannot be read: {why.strerror}")
        if len(body) > self.max_body:
            return Unusable(f"{path} is longer than {self.max_body} bytes")
        return body

    def _get(self, url: str, ca_file: Path | None) -> bytes | Unusable:
        limits = Limits(self.connect, self.read, self.total, self.max_body)
        connection = Connection(ca_file, limits)
        try:
            reply = connection.send("GET", url, headers=_WANTED)
        finally:
            connection.close()
        if isinstance(reply, Unusable):
            return reply
        if reply.status == 200:
            return reply.body
        absent = 400 <= reply.status < 500 and reply.status not in _PASSING
        return Unusable(f"{url} answered {reply.status}", reply.retry_after, absent)
