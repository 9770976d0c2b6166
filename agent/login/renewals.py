"""Who renews a session, where many tabs find at once that its token has ended? One of them.

Rotating refresh tokens serve once (RFC 9700 §4.14.2): the second tab would lose the session. What
came of a renewal is remembered for the tabs that still send the cookie from before it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent.errors import Denial, Reason
from agent.identity.cache import Cache
from agent.login.session import Session, expired
from agent.moment import Moment, Waiting

Renew = Callable[[Session, float], Session | Denial]
"""Asks the provider; the argument is how many seconds that may take."""

LONGEST = 8.0  # seconds of one renewal
_BYTES = 64 * 1024 * 1024
_AGAIN = 2.0  # seconds for which a failure stands in for asking again
_LEFT = 0.3  # seconds of a deadline that are left for answering


class Shared(Protocol):
    """What the pods of one gateway agree on; `problem` says why they do not, or is empty."""

    problem: str

    def newest(self, session: Session) -> Session | None:
        """The newest generation of *session* that any pod has made; None if that is unknown."""

    def alone(self, session: Session, seconds: float) -> bool:
        """Whether this pod is the one that renews *session*; False if another does so now.

        Waits for the other's result, at most so many *seconds*.
        """

    def done(self, session: Session, renewed: Session | None) -> None:
        """Tell the others what came of it."""


@dataclass(slots=True, eq=False)
class _Flight:
    landed: threading.Event = field(default_factory=threading.Event)
    result: Session | Denial | None = None


class Renewals:
    """The newest generation of each session that was renewed here, and the renewals under way.

    Bounded in entries and bytes. *waiting* is entered by threads that wait.
    """

    def __init__(self, waiting: Waiting, shared: Shared | None, entries: int) -> None:
        self._waiting = waiting
        self.shared = shared
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}
        self._newest: Cache[Session] = Cache(entries, _BYTES)
        self._failed: Cache[tuple[Denial, float]] = Cache(entries, _BYTES)
        self._ended: Cache[bool] = Cache(8 * entries, _BYTES)

    def newest(self, session: Session) -> Session:
        """The newest generation of *session* that is known here."""
        known = self._newest.get(_key(session))
        return known if known and known.generation > session.generation else session

    def ended(self, session: Session) -> bool:
        """Whether somebody ended *session* here."""
        return self._ended.get(_key(session)) is not None

    def end(self, session: Session) -> None:
        """Let nobody use *session* here any more, whatever cookie they kept."""
        self._ended.put(_key(session), True, 256)
        self._newest.discard(_key(session))

    def renewed(self, session: Session, renew: Renew, moment: Moment) -> Session | Denial:
        """The next generation of *session*; *renew* is called once among all who want it now.

        While the token still serves, who comes second does not wait.
        """
        serves = not expired(session, moment.now)
        failed = self._failed.get(_key(session))
        if failed is not None and moment.now < failed[1]:
            return session if serves else failed[0]
        with self._waiting() as allowed:
            if not allowed:
                return session if serves else _busy()
            with self._lock:
                newest = self.newest(session)
                if newest.generation > session.generation:
                    return newest
                flight = self._flights.get(session.id)
                mine = flight is None
                if flight is None:
                    flight = self._flights[session.id] = _Flight()
            if not mine:
                if serves:
                    return session
                landed = flight.landed.wait(max(0.0, moment.deadline - _LEFT))
                return flight.result if landed and flight.result is not None else _busy()
            return self._fly(session, flight, renew, moment)

    def _fly(
        self, session: Session, flight: _Flight, renew: Renew, moment: Moment
    ) -> Session | Denial:
        result: Session | Denial = _busy()
        try:
            result = self._asked(session, renew, min(LONGEST, moment.deadline - _LEFT))
        finally:
            self._land(session, flight, result, moment.now)
        serves = isinstance(result, Denial) and not expired(session, moment.now)
        return session if serves and not _is_final(result) else result

    def _asked(self, session: Session, renew: Renew, seconds: float) -> Session | Denial:
        if self.shared is None:
            return renew(session, seconds)
        if not self.shared.alone(session, seconds / 2):
            return self.shared.newest(session) or _busy()
        renewed = None
        try:
            newest = self.shared.newest(session)
            if newest is not None and newest.generation > session.generation:
                return newest
            result = renew(session, seconds / 2)
            renewed = result if isinstance(result, Session) else None
            return result
        finally:
            self.shared.done(session, renewed)

    def _land(
        self, session: Session, flight: _Flight, result: Session | Denial, now: float
    ) -> None:
        with self._lock:
            if isinstance(result, Session):
                size = len(result.access) + len(result.refresh) + len(result.id_token)
                self._newest.put(_key(session), result, size + 2048)
            elif _is_final(result):
                self.end(session)
            else:
                self._failed.put(_key(session), (result, now + _AGAIN), 1024)
            self._flights.pop(session.id, None)
            flight.result = result
        flight.landed.set()


def _is_final(result: Session | Denial) -> bool:
    """Whether only a new sign-in helps."""
    return isinstance(result, Denial) and result.status == 401


def _key(session: Session) -> bytes:
    return session.id.encode()


def _busy() -> Denial:
    return Denial(
        Reason.ISSUER_UNAVAILABLE, "The session could not be renewed in time.", retry_after=1
    )
