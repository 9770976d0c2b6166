"""What do our own paths answer: the way back from the provider, signing in, signing out?"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.errors import Denial, Reason
from agent.flow.decision import Allow, Carried, Facts, Outcome, Redirect
from agent.flow.request import Request
from agent.identity.cache import Cache
from agent.identity.claims import text
from agent.identity.principal import IssuerKind, Kind, RawToken, Verified
from agent.identity.revocation.entry import Entry
from agent.identity.sign_in import ended, not_this_sign_in
from agent.login import browser, cookies, flow, session
from agent.login.flow import Flow
from agent.login.parameters import asked, pairs, query
from agent.login.parts import CALLBACK, LOGIN, LOGOUT, SIGNED_OUT, Parts, busy
from agent.login.provider import Provider, Tokens
from agent.login.session import Session
from agent.moment import Moment
from agent.policy.path import CanonicalPath, canonical

if TYPE_CHECKING:
    from agent.login.door import SessionDoor

_USED = 16_384  # flows and logout tokens that were answered, remembered against a second time


class Endpoints:
    """The answers of one configuration's door."""

    def __init__(self, parts: Parts, door: SessionDoor) -> None:
        self._parts = parts
        self._door = door
        self._by_name = {provider.name: provider for provider in parts.providers.values()}
        self._lock = threading.Lock()
        self._used: Cache[bool] = Cache(_USED, _USED * 256)

    def answer(
        self, request: Request, path: CanonicalPath, facts: Facts, moment: Moment
    ) -> Outcome:
        """The answer to a request below `/.attache/`."""
        ways = {
            ("GET", CALLBACK): self._back,
            ("GET", LOGIN): self._sign_in,
            ("GET", LOGOUT): self._sign_out,
            ("POST", LOGOUT): self._sign_out,
            ("POST", SIGNED_OUT): self._signed_out,
        }
        way = ways.get((request.method, path.text))
        if way is None:
            facts.page = False
            return Denial(Reason.NO_ROUTE, "no route allows this method and path")
        facts.rule = path.text
        return way(request, facts, moment)

    def _back(self, request: Request, facts: Facts, moment: Moment) -> Outcome:
        """The way back from the provider, with a code or with an error (RFC 6749 §4.1.2)."""
        said = query(request)
        if said is None:
            return _failed("The answer of the identity provider cannot be read.")
        begun = self._begun(request, said.get("state", ""), facts, moment.now)
        if isinstance(begun, Denial):
            return begun
        provider = self._by_name.get(begun.login)
        if provider is None:
            return _failed("This sign-in is not offered any more.")
        endpoints = self._parts.endpoints(provider, moment)
        if isinstance(endpoints, Denial):
            return endpoints
        if endpoints.issuer and said.get("iss", endpoints.issuer) != endpoints.issuer:
            return _failed("The answer is another identity provider's.")  # RFC 9207 §2.4
        if "error" in said or not said.get("code"):
            self._parts.notice("sign_in_refused")
            return Denial(Reason.LOGIN_FAILED, "The identity provider did not sign you in.")
        with self._parts.waiting() as allowed:
            if not allowed:
                return busy()
            if not self._first(f"flow {begun.id}"):
                return _failed("This sign-in was completed already.")
            made = self._made(provider, begun, said["code"], moment)
        if isinstance(made, Denial):
            self._parts.notice("sign_in_refused")
            return made
        jar = cookies.read(request.header("cookie"))
        written = self._door.written(provider, jar, made)
        if written is None:
            return Denial(
                Reason.LOGIN_FAILED, "The session is too large for a browser's cookies.", status=500
            )
        self._parts.notice("signed_in")
        facts.response += written
        facts.carried = Carried(made.id, made.asked, made.begun, "")
        return Redirect(begun.target)

    def _begun(self, request: Request, state: str, facts: Facts, now: float) -> Flow | Denial:
        """The flow that this browser began and *state* answers: nobody else's code gets in."""
        seals = self._parts.keys.seals()
        name = flow.flow_id(state)
        jar = cookies.read(request.header("cookie"))
        cookie = f"{cookies.PREFIX}flow-{name}"
        sealed = jar.ours.get(cookie) if name else None
        if sealed is None or seals is None:
            return _failed("This browser began no such sign-in, or it took too long.")
        facts.response += (cookies.removed(cookie),)
        content = seals.open(cookie, sealed)
        begun = flow.unpacked(content) if content is not None else None
        if begun is None or not begun.answers(state, now):
            return _failed("This browser began no such sign-in, or it took too long.")
        return begun

    def _made(self, provider: Provider, begun: Flow, code: str, moment: Moment) -> Session | Denial:
        """A session of what *code* brings, once both of its tokens are believed."""
        got = provider.redeem(code, begun, min(8.0, moment.deadline - 0.5))
        if isinstance(got, Denial):
            mine = got.reason is Reason.INTERACTION_REQUIRED
            return _failed("The identity provider does not accept its own code.") if mine else got
        now = Moment(self._parts.clock(), 1.0)
        stated = self._parts.statement(got.id_token, provider.client_id, now)
        if isinstance(stated, Denial):
            return _not_accepted(stated)
        if stated.issuer_name != provider.issuer_name:
            return _failed("Another issuer signed the ID token.")
        if wrong := not_this_sign_in(stated.signed, provider.client_id, begun.nonce, got.access):
            return _failed(wrong.detail)
        verified = self._parts.verify(RawToken(got.access), now)
        if isinstance(verified, Denial):
            return _not_accepted(verified)
        if wrong := _another(verified, stated.signed.claims, provider):
            return wrong
        made = self._session(provider, begun, got, verified, stated.signed.claims, now.now)
        revoked = self._parts.revoked(made.principal, now.now)
        return _not_accepted(revoked) if revoked else made

    def _session(
        self,
        provider: Provider,
        begun: Flow,
        got: Tokens,
        verified: Verified,
        claims: Mapping[str, object],
        now: float,
    ) -> Session:
        principal = verified.principal
        ends = min(got.expires_at, principal.expires_at)
        expires_at, refresh_at = session.times(now, ends - now)
        return Session(
            id=self._parts.random(16).hex(),
            login=provider.name,
            begun=now,
            seen=now,
            generation=0,
            access=got.access,
            refresh=got.refresh,
            id_token=got.id_token,
            expires_at=expires_at,
            refresh_at=refresh_at,
            issuer=principal.issuer,
            issuer_name=principal.issuer_name,
            issuer_kind=principal.issuer_kind.value,
            subject=principal.subject,
            sub=text(claims, "sub"),
            tenant=principal.tenant,
            provider_session=text(claims, "sid"),
            client=principal.client,
            claims=begun.claims,
            asked=begun.asked,
        )

    def _sign_in(self, request: Request, facts: Facts, moment: Moment) -> Outcome:
        """Sign in, or sign in more strongly, because a page of ours says so."""
        said = query(request)
        if said is None or not browser.wants_page(request):
            return _failed("Open this address as a page.")
        target = said.get("to", "/")
        path = canonical(target)
        # No open redirect (RFC 9700 §4.11): a path that one of our own routes knows.
        rule = path if isinstance(path, Denial) else self._parts.match("GET", request.host, path)
        if isinstance(rule, Denial) or rule.login is None:
            return _failed("Nobody signs in for that page.")
        wanted = asked(said)
        if wanted is None:
            return _failed("What the sign-in is to show cannot be read.")
        why = Denial(Reason.MISSING_TOKEN, "Sign in.")
        provider = self._parts.providers[rule.login]
        return self._door.begin(request, provider, target, wanted, why, facts, moment)

    def _sign_out(self, request: Request, facts: Facts, moment: Moment) -> Outcome:
        """End every session of this browser here, then at the provider."""
        rules = self._parts.rules
        wrong = browser.foreign(request, rules.origin)
        if wrong or browser.from_elsewhere(request, rules.origin):
            return wrong or Denial(Reason.CROSS_SITE, "Another site wants you to sign out.")
        origin = browser.origin_of(request, rules.origin)
        if isinstance(origin, Denial):
            return origin
        jar = cookies.read(request.header("cookie"))
        back, to = origin + rules.after_logout, ""
        with self._parts.waiting() as allowed:
            for provider in self._parts.providers.values() if allowed else ():
                known = self._door.known(provider, jar, moment.now)
                if isinstance(known, Denial):
                    continue
                self._end(known.newest)
                endpoints = self._parts.endpoints(provider, moment)
                if not to and not isinstance(endpoints, Denial):
                    to = provider.goodbye(endpoints, known.newest.id_token, back)
        facts.response += tuple(cookies.removed(name) for name in jar.ours)
        status = 303 if request.method == "POST" else 302
        return Redirect(to or rules.after_logout, status=status)

    def _end(self, known: Session) -> None:
        """A copy of the cookie must not outlive the sign-out, on any pod."""
        self._parts.renewals.end(known)
        self._parts.notice("signed_out")
        if self._parts.revoke:
            until = math.ceil(known.begun + self._parts.rules.absolute)
            self._parts.revoke(Entry(token_id=known.id, until=until, note="signed out"))

    def _signed_out(self, request: Request, facts: Facts, moment: Moment) -> Outcome:
        """A provider says that somebody signed out (OpenID Connect Back-Channel Logout 1.0)."""
        facts.page = False
        revoke = self._parts.revoke
        form = pairs(request.body)
        token = form.get("logout_token", "") if form else ""
        if revoke is None or not token:
            return Denial(Reason.LOGIN_FAILED, "There is no logout token here.", status=400)
        found: Outcome = Denial(Reason.LOGIN_FAILED, "Nobody signs in here.", status=400)
        for provider in self._parts.providers.values():
            found = self._believed(provider, token, moment)
            if not isinstance(found, Denial):
                return found
        return found

    def _believed(self, provider: Provider, token: str, moment: Moment) -> Outcome:
        stated = self._parts.statement(token, provider.client_id, moment)
        if isinstance(stated, Denial):
            return replace(stated, status=400 if stated.status == 401 else stated.status)
        told = ended(stated.signed, moment.now)
        if isinstance(told, Denial) or stated.issuer_name != provider.issuer_name:
            why = told.detail if isinstance(told, Denial) else "Another issuer signed it."
            return Denial(Reason.INVALID_TOKEN, why, status=400)
        until = math.ceil(moment.now + self._parts.rules.absolute)
        issuer = provider.issuer_name  # the two versions of an Entra token differ in iss
        # A session id where there is one: the person's other sessions go on (§2.7)
        entry = (
            Entry(session=told.session, issuer=issuer, until=until, note="signed out there")
            if told.session
            else Entry(
                subject=told.subject,
                issuer=issuer,
                issued_before=moment.now,
                until=until,
                note="signed out there",
            )
        )
        assert self._parts.revoke is not None
        with self._parts.waiting() as allowed:
            if not allowed:
                return busy()
            if not self._first(f"logout {issuer} {told.jti}"):
                return Denial(Reason.INVALID_TOKEN, "The logout token was used.", status=400)
            if problem := self._parts.revoke(entry):
                return Denial(Reason.INTERNAL_ERROR, problem)
        self._parts.notice("signed_out_there")
        return Allow.of((), ())

    def _first(self, what: str) -> bool:
        """Whether *what* is here for the first time."""
        key = what.encode("utf-8", "surrogatepass")
        with self._lock:
            if self._used.get(key) is not None:
                return False
            self._used.put(key, True, min(256, len(key) + 128))
            return True


def _another(verified: Verified, claims: Mapping[str, object], provider: Provider) -> Denial | None:
    """Why the access token is not that of the person whom the ID token names."""
    principal = verified.principal
    if principal.kind is not Kind.USER or principal.issuer_name != provider.issuer_name:
        return _failed("The access token is not a person's.")
    said = (claims.get("tid"), claims.get("oid"))
    entra = principal.issuer_kind is IssuerKind.ENTRA and "oid" in claims
    if entra and said != (principal.tenant, principal.subject):
        return _failed("The two tokens are about two people.")
    return None


def _not_accepted(denial: Denial) -> Denial:
    """A sign-in that succeeded there, but brought a token that is refused here."""
    status = 403 if denial.status == 401 else denial.status
    return replace(denial, status=status)


def _failed(detail: str) -> Denial:
    return Denial(Reason.LOGIN_FAILED, detail, status=400)
