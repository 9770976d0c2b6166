"""Who is signed in, since when, with which tokens, and is that over? Pure: time comes in."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from agent.config.login import Sessions
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Principal

MAX_CONTENT = 256 * 1024  # bytes, unpacked
_VERSION = 1
_NOTED = 12  # a session's use is noted again after that part of the idle time


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. Times are UTC seconds; `generation` counts its renewals.

    `subject`, `tenant`, `issuer` and `provider_session` (`sid`) are the ID token's. `asked` is
    what the sign-in was asked to show, and `claims` what each renewal asks for again.
    """

    id: str
    login: str
    begun: float
    seen: float
    generation: int
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    id_token: str = field(repr=False)
    expires_at: float
    refresh_at: float
    issuer: str
    issuer_name: str
    issuer_kind: str
    subject: str
    sub: str
    tenant: str
    provider_session: str
    client: str
    claims: str = ""
    asked: str = ""

    def packed(self) -> bytes:
        """The session as bytes; `unpacked` reads them back."""
        return zlib.compress(json.dumps([_VERSION, *asdict(self).values()]).encode(), 6)

    @property
    def principal(self) -> Principal:
        """Whom a revocation must name to end this session, in the words of its list.

        A renewed token is young; the session is as old as its sign-in.
        """
        said = {"jti": self.id, "sid": self.provider_session, "sub": self.sub}
        claims: dict[str, Any] = {name: value for name, value in said.items() if value}
        return Principal(
            kind=Kind.USER,
            subject=self.subject,
            tenant=self.tenant,
            issuer=self.issuer,
            issuer_name=self.issuer_name,
            issuer_kind=IssuerKind(self.issuer_kind),
            client=self.client,
            scopes=frozenset(),
            roles=frozenset(),
            expires_at=self.expires_at,
            claims=claims | {"iat": self.begun},
        )


def unpacked(content: bytes) -> Session | None:
    """What `Session.packed` gave; None for another version's."""
    reader = zlib.decompressobj()
    raw = reader.decompress(content, MAX_CONTENT)
    version, *values = json.loads(raw)
    if version != _VERSION or len(values) != len(fields(Session)):
        return None
    return Session(*values)


def over(session: Session, rules: Sessions, now: float) -> Denial | None:
    """Why *session* has ended by itself at *now*."""
    if now >= session.begun + rules.absolute:
        return Denial(Reason.EXPIRED_TOKEN, "The session has lasted for as long as it may.")
    if now >= session.seen + rules.idle:
        return Denial(Reason.EXPIRED_TOKEN, "The session was not used for too long.")
    return None


def worth_noting(session: Session, rules: Sessions, now: float) -> bool:
    """Whether the cookie is written anew only to say that the session is in use."""
    return now - session.seen >= rules.idle / _NOTED


def due(session: Session, now: float) -> bool:
    """Whether the token should be renewed before it is used."""
    return bool(session.refresh) and now >= session.refresh_at


def expired(session: Session, now: float) -> bool:
    """Whether the token must not be used any more."""
    return now >= session.expires_at


def times(now: float, expires_in: float) -> tuple[float, float]:
    """(when a token that was asked for at *now* ends, when it is renewed), UTC seconds.

    >>> times(1000, 3600), times(1000, 20)
    ((4600.0, 4540.0), (1020.0, 1018.0))
    """
    return float(now + expires_in), float(now + expires_in - min(60.0, expires_in / 10))
