"""What happens to a browser at the door: its session is brought, or it is sent to sign in."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple

from agent.config.login import Login
from agent.errors import Denial, Reason
from agent.flow.decision import Carried, Facts, Headers, Outcome, Redirect
from agent.flow.request import Request
from agent.identity.cache import Cache
from agent.identity.principal import Principal, RawToken
from agent.login import browser, cookies, flow, session
from agent.login.cookies import Jar
from agent.login.endpoints import Endpoints
from agent.login.flow import Asked
from agent.login.parts import CALLBACK, Parts
from agent.login.provider import Provider
from agent.login.session import Session
from agent.moment import Moment
from agent.policy.path import CanonicalPath

_OPENED = 4096  # sessions whose cookie need not be opened again
_OPENED_BYTES = 48 * 1024 * 1024
# Denials that a sign-in mends; the others are no matter of who or when.
_MENDED = frozenset(
    {
        Reason.MISSING_TOKEN,
        Reason.INVALID_TOKEN,
        Reason.EXPIRED_TOKEN,
        Reason.REVOKED,
        Reason.STEP_UP_REQUIRED,
        Reason.INTERACTION_REQUIRED,
    }
)
_JUST = 30.0  # seconds after a sign-in in which the same one again would be in vain


class _Opened(NamedTuple):
    """What a cookie holds, and whom a revocation must name to end it."""

    session: Session
    principal: Principal


class Known(NamedTuple):
    """The session as a browser showed it, and its newest generation."""

    shown: Session
    newest: Session


class SessionDoor:
    """`agent.flow.door.Door`, made of *parts*."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._endpoints = Endpoints(parts, self)
        self._opened: Cache[_Opened] = Cache(_OPENED, _OPENED_BYTES)
        self._opened_by: object = None

    def others(self, request: Request) -> str | None:
        """See `Door.others`."""
        header = request.header("cookie")
        return cookies.read(header).others if cookies.PREFIX in header else None

    def answer(
        self, request: Request, path: CanonicalPath, facts: Facts, moment: Moment
    ) -> Outcome | None:
        """See `Door.answer`."""
        if path.segments[:1] != (".attache",):
            return None
        facts.page = browser.wants_page(request)
        return self._endpoints.answer(request, path, facts, moment)

    def bring(
        self, request: Request, login: Login, facts: Facts, moment: Moment
    ) -> RawToken | Denial:
        """See `Door.bring`."""
        provider = self._parts.providers[login]
        jar = cookies.read(request.header("cookie"))
        known = self.known(provider, jar, moment.now)
        if isinstance(known, Known):
            if denial := browser.foreign(request, self._parts.rules.origin):
                return denial
            held = self._renewed(provider, known.newest, moment)
            if isinstance(held, Session):
                facts.carried = Carried(held.id, held.asked, held.begun, jar.others)
                facts.response += self._noted(provider, jar, known, held, moment.now)
                return RawToken(held.access)
            known = held
        if known.status == 401:
            facts.response += tuple(cookies.leftovers(jar, provider.cookie))
        return known

    def turned_away(
        self, request: Request, login: Login, denial: Denial, facts: Facts, moment: Moment
    ) -> Outcome:
        """See `Door.turned_away`."""
        carried = facts.carried
        # Whatever is wrong with a session's token, a new one may be right.
        mended = denial.reason in _MENDED or carried is not None
        if denial.status != 401 or not mended or not browser.wants_page(request):
            return denial
        asked = flow.asked_of(denial)
        if carried and asked.text == carried.asked and moment.now - carried.begun < _JUST:
            # RFC 9470 §6: the provider just did what it could; asking again would go round
            return replace(denial, status=403)
        provider = self._parts.providers[login]
        return self.begin(request, provider, request.target, asked, denial, facts, moment)

    def begin(
        self,
        request: Request,
        provider: Provider,
        target: str,
        asked: Asked,
        denial: Denial,
        facts: Facts,
        moment: Moment,
    ) -> Outcome:
        """Send a browser to sign in, and afterwards back to *target*, a path of ours."""
        seals = self._parts.keys.seals()
        origin = browser.origin_of(request, self._parts.rules.origin)
        if isinstance(origin, Denial):
            return origin
        if seals is None:
            return no_keys()
        endpoints = self._parts.endpoints(provider, moment)
        if isinstance(endpoints, Denial):
            return endpoints
        claims = flow.merged(provider.claims, asked.claims)
        begun = flow.begin(
            provider.name, target, origin + CALLBACK, asked, claims, moment.now, self._parts.random
        )
        name = flow_cookie(begun.id)
        value = seals.seal(name, begun.packed())
        jar = cookies.read(request.header("cookie"))
        under_way = [each for each in jar.ours if each.startswith(flow_cookie(""))]
        if len(under_way) >= flow.MOST:
            facts.response += tuple(cookies.removed(each) for each in under_way)
        facts.response += (cookies.written(name, value, int(flow.LIFE)),)
        scopes = provider.scopes_at(endpoints)
        url = flow.authorization_url(
            endpoints.authorization, provider.client_id, scopes, begun, asked, provider.further
        )
        return Redirect(url, denial)

    def known(self, provider: Provider, jar: Jar, now: float) -> Known | Denial:
        """The session that the cookies show, if it is not over."""
        text = cookies.gathered(jar, provider.cookie)
        if text is None:
            if provider.cookie in jar.ours:
                return Denial(Reason.INVALID_TOKEN, "The session's cookie is incomplete.")
            return Denial(Reason.MISSING_TOKEN, "Nobody is signed in.")
        opened = self._open(provider, text)
        if opened is None:
            return Denial(Reason.INVALID_TOKEN, "The session is not one of ours; sign in again.")
        found = opened.session
        if self._parts.renewals.ended(found):
            return Denial(Reason.EXPIRED_TOKEN, "The session has ended; sign in again.")
        # Whoever has an old cookie used it last when that was written: others may have gone on.
        ended = session.over(found, self._parts.rules, now)
        return (
            ended
            or self._parts.revoked(opened.principal, now)
            or Known(found, self._parts.renewals.newest(found))
        )

    def _open(self, provider: Provider, text: str) -> _Opened | None:
        seals = self._parts.keys.seals()
        if seals is None:
            return None
        if seals is not self._opened_by:  # a key that was taken away opens nothing any more
            self._opened = Cache(_OPENED, _OPENED_BYTES)
            self._opened_by = seals
        digest = hashlib.sha256(f"{provider.cookie}={text}".encode()).digest()
        known = self._opened.get(digest)
        if known is None:
            content = seals.open(provider.cookie, text)
            found = session.unpacked(content) if content is not None else None
            if found is None or found.login != provider.name:
                return None
            known = _Opened(found, found.principal)
            self._opened.put(digest, known, 3 * len(text) + 3072)
        return known

    def _renewed(self, provider: Provider, held: Session, moment: Moment) -> Session | Denial:
        if session.due(held, moment.now):
            return self._parts.renewals.renewed(
                held, lambda old, seconds: self._renew(provider, old, seconds), moment
            )
        if session.expired(held, moment.now):
            return Denial(Reason.EXPIRED_TOKEN, "The session's token has expired; sign in again.")
        return held

    def _renew(self, provider: Provider, held: Session, seconds: float) -> Session | Denial:
        now = self._parts.clock()
        got = provider.renew(held.refresh, held.claims, seconds)
        if isinstance(got, Denial):
            self._parts.notice("refresh_refused" if got.status == 401 else "refresh_failed")
            return got
        verified = self._parts.verify(RawToken(got.access), Moment(now, seconds))
        if isinstance(verified, Denial):
            self._parts.notice("refresh_failed")
            return verified
        principal = verified.principal
        if (principal.tenant, principal.subject) != (held.tenant, held.subject):
            self._parts.notice("refresh_refused")
            return Denial(Reason.INVALID_TOKEN, "The renewed token is another person's.")
        self._parts.notice("refreshed")
        ends = min(got.expires_at, principal.expires_at)
        expires_at, refresh_at = session.times(now, ends - now)
        return replace(
            held,
            generation=held.generation + 1,
            access=got.access,
            refresh=got.refresh or held.refresh,  # RFC 6749 §6: it need not be a new one
            seen=now,
            expires_at=expires_at,
            refresh_at=refresh_at,
        )

    def _noted(
        self, provider: Provider, jar: Jar, known: Known, held: Session, now: float
    ) -> Headers:
        """The cookies, where what the browser has is not what it should have."""
        renewed = known.shown.generation != held.generation
        if not renewed and not session.worth_noting(known.shown, self._parts.rules, now):
            return ()
        return self.written(provider, jar, replace(held, seen=now)) or ()

    def written(self, provider: Provider, jar: Jar, held: Session) -> Headers | None:
        """The cookies of *held*; None where it is too large for any browser."""
        seals = self._parts.keys.seals()
        if seals is None:
            return None
        made = cookies.parts(provider.cookie, seals.seal(provider.cookie, held.packed()))
        if made is None:
            return None
        return (*made, *cookies.leftovers(jar, provider.cookie, len(made)))


def flow_cookie(name: str) -> str:
    """The cookie of the flow *name*, which is also what it is sealed for."""
    return f"{cookies.PREFIX}flow-{name}"


def no_keys() -> Denial:
    """The denial while no key seals anything: our fault, and /readyz says it."""
    return Denial(Reason.INTERNAL_ERROR, "Nobody can sign in at the moment.", status=503)
