"""Which credential does a program get that makes the call itself? The TokenService's pipeline.

The rules are those of an outbound call through Envoy (`agent/flow/outbound.py`), and two more:
only what the configuration hands out is handed out, and a token that a program shows as its
caller's must be one that we let in, or verify as the inbound listener would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from agent.context.caller import Caller
from agent.context.store import same_principal
from agent.credentials.credential import Injection
from agent.errors import Denial, Reason
from agent.flow.correlation import outbound_correlation
from agent.flow.decision import Facts
from agent.flow.headers import CORRELATION
from agent.flow.outbound import Outbound
from agent.flow.request import Direction, Request
from agent.flow.transaction import Transactions
from agent.identity.bearer import one_bearer
from agent.identity.jose import parse
from agent.identity.principal import IssuerKind, RawToken, Verified
from agent.moment import Moment

Verify = Callable[[RawToken, Moment], Verified | Denial]
ChainCheck = Callable[[Verified], Denial | None]

# What is read when no caller is looked for: the ids of the call, which prove nothing.
_IDS = (CORRELATION, "traceparent")


class Ask(NamedTuple):
    """One question for a destination's credential. Names in *headers* are lower-case.

    *as_application*: no header is read to find a caller; *needs_caller*: without one there is no
    answer. *refused* is why the form of the question already rules the answer out. *method* and
    *path* are for the audit record.
    """

    destination: str
    headers: Mapping[str, str]
    method: str
    path: str
    as_application: bool = False
    needs_caller: bool = False
    refused: Denial | None = None


class Handed(NamedTuple):
    """The credential, or why there is none; and the facts behind."""

    outcome: Injection | Denial
    facts: Facts


class Shown(NamedTuple):
    """Who stands behind a token that was shown to us, or why nobody does; and the facts behind.

    The caller's own token need not be the one that was shown, for the application may have been
    given another in its place: *claims* are those of the *token* that was shown.
    """

    outcome: Verified | Denial
    facts: Facts
    token: str = ""
    claims: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tokens:
    """The pipeline of one configuration, ready to decide. *offered* are destinations' names."""

    outbound: Outbound
    offered: frozenset[str]
    verify: Verify
    chain: ChainCheck
    edge: bool
    transactions: Transactions | None = None

    def hand_out(self, ask: Ask, moment: Moment) -> Handed:
        """Decide on one question. Every path but the last denies."""
        request = _request(ask)
        known = self._caller(request, ask, moment)
        facts, _ = self.outbound.begin(request, known.found)
        if ask.refused:
            return Handed(ask.refused, facts)
        if ask.destination not in self.offered:
            facts.destination = None  # what was asked for is the asker's text, and nothing of ours
            return Handed(not_offered(), facts)
        if known.refused:
            return Handed(known.refused, facts)
        if known.found is None and ask.needs_caller:
            return Handed(_nobody(), facts)
        return Handed(self.outbound.inject(request, known.found, facts, moment), facts)

    def validate(self, ask: Ask, moment: Moment) -> Shown:
        """Verify the bearer token in *ask* as the inbound listener would, routes aside."""
        request = _request(ask)
        txn, trace, _ = outbound_correlation(request, self.outbound.random, "", "")
        facts = Facts(txn=txn, trace_id=trace, rule="tokenService", path=ask.path)
        token = one_bearer(ask.headers.get("authorization"))
        if isinstance(token, Denial):
            return Shown(token, facts)
        digest = _digest(token)
        known = self.outbound.store.by_token(digest, moment.now)
        verified = known.verified if known else None
        if verified is None:
            found = self._verify(token, moment)
            if isinstance(found, Denial):
                return Shown(found, facts)
            verified = found
        facts.verified = verified
        facts.txn = (known.txn if known else "") or verified.principal.txn or txn
        if revoked := self.outbound.revoked(verified, moment.now):
            return Shown(revoked, facts)
        claims = verified.principal.claims if digest == verified.token_hash else _claims(token)
        return Shown(verified, facts, token, claims)

    def _caller(self, request: Request, ask: Ask, moment: Moment) -> _Known:
        """Whom the carriers name; a bearer token is one of them, and must be good."""
        if ask.as_application:
            return _Known(None)
        authorization = ask.headers.get("authorization")
        if not authorization:
            return _Known(self.outbound.caller(request, None, moment.now))
        token = one_bearer(authorization)
        if isinstance(token, Denial):
            return _Known(None, token)
        digest = _digest(token)
        found = self.outbound.caller(request, digest, moment.now)
        if isinstance(found, Denial) or self.outbound.store.by_token(digest, moment.now):
            return _Known(found)
        verified = self._verify(token, moment)
        if isinstance(verified, Denial):
            return _Known(None, verified)
        came = None
        if self.transactions is not None:
            came = self.transactions.came_with(request, verified, moment)
        if isinstance(came, Denial):
            return _Known(None, came)
        shown = self._shown(verified, came, request, moment)
        if found is not None and not same_principal(found, shown):
            return _Known(_ambiguous())
        return _Known(found or shown)

    def _verify(self, token: RawToken, moment: Moment) -> Verified | Denial:
        verified = self.verify(token, moment)
        if isinstance(verified, Denial):
            return verified
        if loop := self.chain(verified):
            return loop
        if self.edge and verified.principal.issuer_kind is IssuerKind.INTERNAL:
            # SECURITY.md 11: at the edge nobody is accepted by an internal token
            return Denial(Reason.UNTRUSTED_ISSUER, "internal tokens are not accepted here")
        if revoked := self.outbound.revoked(verified, moment.now):
            return revoked
        return verified

    def _shown(
        self, verified: Verified, came: Verified | None, request: Request, moment: Moment
    ) -> Caller:
        """A caller whose request we did not see, known by the token alone."""
        principal = verified.principal
        txn, trace, _ = outbound_correlation(request, self.outbound.random, principal.txn, "")
        ends, given = principal.expires_at, verified.token_hash
        return Caller(verified, "", txn, "", trace, ends, given, transaction=came)


class _Known(NamedTuple):
    """What the carriers say; `refused`: a token was shown that is not good."""

    found: Caller | Denial | None
    refused: Denial | None = None


def _request(ask: Ask) -> Request:
    headers = ask.headers
    if ask.as_application:
        headers = {name: headers[name] for name in _IDS if name in headers}
    return Request(
        Direction.OUTBOUND, ask.method, ask.path, "", headers, destination=ask.destination
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _claims(token: RawToken) -> Mapping[str, Any]:
    """What stands in a token of ours, which the application was given."""
    parsed = parse(token)
    return {} if isinstance(parsed, Denial) else parsed.claims


def not_offered() -> Denial:
    return Denial(
        Reason.DESTINATION_NOT_ALLOWED,
        "no token of this name is handed out here; name the destination under "
        "tokenService.destinations",
        status=404,
    )


def _nobody() -> Denial:
    return Denial(
        Reason.MISSING_TOKEN,
        "no caller is known: send the caller's Authorization, or what the request carried",
    )


def _ambiguous() -> Denial:
    return Denial(
        Reason.AMBIGUOUS_SUBJECT, "the token and the request's carriers point to different callers"
    )
