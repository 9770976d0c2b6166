"""Who is calling, may they, and what does the application see of it? The inbound pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.context.caller import Caller
from agent.context.carriers import HANDLE_HEADER, with_handle
from agent.context.store import ContextStore
from agent.credentials.mint import Minted
from agent.credentials.transaction import HEADER as TXN_TOKEN
from agent.errors import Denial, Reason
from agent.flow.correlation import Correlation, Randomness, inbound_correlation
from agent.flow.decision import Allow, Decision, Facts, Outcome, Part
from agent.flow.door import Door
from agent.flow.headers import CORRELATION, REQUEST_ID, Badge, underscored
from agent.flow.request import Request
from agent.flow.transaction import Transactions
from agent.identity.bearer import one_bearer
from agent.identity.principal import IssuerKind, RawToken, Verified
from agent.moment import Moment
from agent.policy.path import CanonicalPath
from agent.policy.requirement import Permitted, permit
from agent.policy.routes import Routes, Rule

Verify = Callable[[RawToken, Moment], Verified | Denial]
Revoked = Callable[[Verified, float], Denial | None]
ChainCheck = Callable[[Verified], Denial | None]
Swap = Callable[[Caller, Moment], Minted | Denial]
"""Gives the token that the application sees instead of the caller's."""

_TXN_VARIANTS = underscored((TXN_TOKEN,))

_ALWAYS = (CORRELATION, REQUEST_ID, "traceparent", HANDLE_HEADER, "baggage", "tracestate")

# How long an anonymous request is remembered for its outbound calls, in seconds.
ANONYMOUS_LIFE = 300.0


@dataclass(frozen=True, slots=True)
class Inbound:
    """The inbound pipeline of one configuration, ready to decide."""

    routes: Routes
    verify: Verify
    revoked: Revoked
    chain: ChainCheck
    badge: Badge
    store: ContextStore
    random: Randomness
    edge: bool
    forward: str
    swap: Swap | None
    transactions: Transactions | None = None
    door: Door | None = None
    bearer: Callable[[str], RawToken | Denial] = one_bearer

    def decide(self, request: Request, moment: Moment) -> Decision:
        """Decide on one request. Every path that does not reach the last line denies."""
        ids = inbound_correlation(request, self.random, self.edge)
        origin = request.header("origin")
        facts = Facts(ids.txn, ids.trace_id, response=self.routes.cors.answer(origin))
        found = self.routes.find(request.method, request.host, request.target)
        if isinstance(found, Denial):
            return Decision(found, facts)
        path, rule = found
        facts.path = path.text
        strip = self.badge.strip(request.underscores_refused)
        if self.door and (answer := self.door.answer(request, path, facts, moment)):
            return Decision(answer, facts)
        if request.preflight and (granted := self._preflight(request, path, facts, strip)):
            return granted
        if isinstance(rule, Denial):
            return Decision(rule, facts)
        facts.rule = rule.pattern
        if rule.cors is not self.routes.cors:
            facts.response = rule.cors.answer(origin)
        if request.preflight and (rule.anonymous or request.header("authorization")):
            return Decision(_not_shared(), facts)  # Envoy, and not the application, would say 200
        if rule.anonymous:
            return self._let_in(None, None, request, ids, facts, strip, moment)
        caller = self._caller(request, rule, facts, moment)
        if isinstance(caller, Denial):
            return Decision(self._turned_away(caller, request, rule, facts, moment), facts)
        transaction = None
        if self.transactions is not None:
            came = self.transactions.came_with(request, caller, moment)
            if isinstance(came, Denial):
                return Decision(came, facts)
            transaction = came
        return self._let_in(caller, transaction, request, ids, facts, strip, moment)

    def _caller(
        self, request: Request, rule: Rule, facts: Facts, moment: Moment
    ) -> Verified | Denial:
        """Who is calling, if *rule* lets them: token, verification, revocation, requirement."""
        token: RawToken | Denial
        authorization = request.header("authorization")
        if rule.login and self.door and not (authorization or request.preflight):
            token = self.door.bring(request, rule.login, facts, moment)
        else:
            token = self.bearer(authorization)
        if isinstance(token, Denial):
            return token
        verified = self.verify(token, moment)
        if isinstance(verified, Denial):
            return verified
        facts.verified = verified
        if revoked := self.revoked(verified, moment.now):
            return revoked
        permitted = self._permit(verified, rule, moment.now)
        return permitted if isinstance(permitted, Denial) else verified

    def _turned_away(
        self, denial: Denial, request: Request, rule: Rule, facts: Facts, moment: Moment
    ) -> Outcome:
        if rule.login is None or self.door is None or request.header("authorization"):
            return denial
        return self.door.turned_away(request, rule.login, denial, facts, moment)

    def _preflight(
        self, request: Request, path: CanonicalPath, facts: Facts, strip: Part
    ) -> Decision | None:
        """SECURITY.md 23: granted where the route of the request to come lets that origin call."""
        wanted = request.header("access-control-request-method")
        rule = self.routes.match(wanted, request.host, path)
        if request.method != "OPTIONS" or isinstance(rule, Denial):
            return None
        granted = rule.cors.preflight(request.header("origin"), wanted)
        if granted is None:
            return None
        facts.rule, facts.response = rule.pattern, granted
        nobody = self.badge.stamp(None).part
        return Decision(Allow(txn=facts.txn, shared=(nobody, strip)), facts)

    def _permit(self, verified: Verified, rule: Rule, now: float) -> Permitted | Denial:
        if loop := self.chain(verified):
            return loop
        if self.edge and verified.principal.issuer_kind is IssuerKind.INTERNAL:
            # SECURITY.md 11: verified only so that a loop can be called by its name
            return Denial(Reason.UNTRUSTED_ISSUER, "internal tokens are not accepted here")
        return permit(verified.principal, rule.requirement, now, rule.checks)

    def _let_in(
        self,
        verified: Verified | None,
        transaction: Verified | None,
        request: Request,
        ids: Correlation,
        facts: Facts,
        strip: Part,
        moment: Moment,
    ) -> Decision:
        shown, given = "", b""  # an unverified token must not look like a verified one
        if verified is not None and self.forward == "original":
            shown, given = verified.token, verified.token_hash
        caller = _caller(verified, transaction, ids, moment.now, given)
        swapped = verified is not None and self.forward not in ("original", "none")
        if swapped:
            minted = self._swapped(caller, moment)
            if isinstance(minted, Denial):
                return Decision(minted, facts)
            shown = minted.token
            caller = _caller(verified, transaction, ids, moment.now, minted.digest)
        self.store.remember(caller)
        stamp = self.badge.stamp(verified)
        facts.txn, facts.dropped_headers = caller.txn, stamp.dropped
        baggage, tracestate = with_handle(ids.handle, ids.baggage, ids.tracestate)
        names: tuple[str, ...] = _ALWAYS
        values: tuple[str, ...] = (
            *(caller.txn, ids.request_id, ids.traceparent, ids.handle, baggage, tracestate),
        )
        if shown and (swapped or facts.carried):
            names, values = (*names, "authorization"), (*values, f"Bearer {shown}")
        # With a given one it stands there already: the one credential that was verified.
        removed = () if shown else ("authorization",)
        if self.transactions is not None:  # what nobody verified must not look verified
            unverified = () if transaction else (TXN_TOKEN,)
            removed = (*removed, *unverified, *_TXN_VARIANTS)
        if self.door is not None or facts.carried is not None:
            others = self._other_cookies(request, facts)
            if others:
                names, values = (*names, "cookie"), (*values, others)
            elif others is not None:  # nothing but the session, which goes no further
                removed = (*removed, "cookie")
        return Decision(Allow(names, values, removed, caller.txn, (stamp.part, strip)), facts)

    def _other_cookies(self, request: Request, facts: Facts) -> str | None:
        """The Cookie header without the session; None where there is none in it."""
        if facts.carried is not None:
            return facts.carried.others
        return self.door.others(request) if self.door is not None else None

    def _swapped(self, caller: Caller, moment: Moment) -> Minted | Denial:
        """The token that the application sees instead of the caller's."""
        if self.swap is None:
            raise ValueError(f"inbound.forward is {self.forward}, but nothing mints that token")
        return self.swap(caller, moment)


def _not_shared() -> Denial:
    return Denial(Reason.NO_ROUTE, "no route lets a script of that origin ask so")


def _caller(
    verified: Verified | None,
    transaction: Verified | None,
    ids: Correlation,
    now: float,
    given: bytes,
) -> Caller:
    if verified is None:
        txn, ends = ids.txn, now + ANONYMOUS_LIFE
    else:
        principal = verified.principal
        txn, ends = principal.txn or ids.txn, principal.expires_at
    # in its order: by name it takes twice as long
    return Caller(
        verified, ids.handle, txn, ids.request_id, ids.trace_id, ends, given, "", transaction
    )
