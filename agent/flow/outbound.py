"""For whom is this call, and which credential goes with it? The outbound pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent import challenge
from agent.context import carriers
from agent.context.caller import Caller
from agent.context.resolution import Lookup, resolve
from agent.credentials.credential import Credential, Injection
from agent.errors import Denial, Reason
from agent.flow.correlation import Randomness, outbound_correlation
from agent.flow.decision import Allow, Decision, Facts, Part
from agent.flow.headers import CORRELATION, IDENTITY, underscored
from agent.flow.request import Request
from agent.identity.principal import Kind, Verified
from agent.moment import Moment

Recognise = Callable[[str], bool]
"""Whether a bearer token names an issuer of ours; nothing of it is verified."""
Revoked = Callable[[Verified, float], Denial | None]
"""Why a token that was verified is refused by now."""


def kept_inside(extra: Iterable[str] = ()) -> Part:
    """What must not leave the pod: who the caller is, the handle (DESIGN.md §5), a challenge.

    *extra* are the operator's own identity headers.
    """
    names = tuple(dict.fromkeys((*IDENTITY, *extra, *carriers.INSIDE, challenge.HEADER)))
    return Part(remove=names + underscored(names))


@dataclass(frozen=True, slots=True)
class Target:
    """One destination, compiled.

    `for_caller`: the credential may speak for the caller, so a doubt about who that is denies the
    call. Where it never does, a doubt only leaves the call without a caller in the audit record.
    """

    name: str
    credential: Credential
    for_caller: bool


@dataclass(frozen=True, slots=True)
class Outbound:
    """The outbound pipeline of one configuration, ready to decide."""

    targets: Mapping[str, Target]
    store: Lookup
    random: Randomness
    passthrough: bool
    workload: str
    stripped: Part
    recognise: Recognise
    revoked: Revoked
    kept: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Know as a set what is stripped."""
        object.__setattr__(self, "kept", frozenset(self.stripped.remove))

    def decide(self, request: Request, moment: Moment) -> Decision:
        """Decide on one call of the application. Every path but the last denies."""
        relayed = bearer_hash(request.header("authorization"))
        caller = self.caller(request, relayed, moment.now)
        facts, headers = self.begin(request, caller)
        if request.passthrough and self.passthrough:
            return self._pass(request, relayed, headers, facts, moment)
        injection = self.inject(request, caller, facts, moment)
        if isinstance(injection, Denial):
            return Decision(injection, facts)
        headers |= dict(injection.headers)
        return Decision(self._send(request, headers, ("authorization",)), facts)

    def begin(
        self, request: Request, caller: Caller | Denial | None
    ) -> tuple[Facts, dict[str, str]]:
        """What is known of a call at once, and the ids that it carries on."""
        known = caller if isinstance(caller, Caller) else None
        facts = Facts(destination=request.destination or None)
        facts.verified = known.verified if known else None
        facts.link = _link(caller)
        facts.txn, facts.trace_id, traceparent = outbound_correlation(
            request, self.random, known.txn if known else "", known.trace_id if known else ""
        )
        return facts, {CORRELATION: facts.txn, "traceparent": traceparent}

    def inject(
        self, request: Request, caller: Caller | Denial | None, facts: Facts, moment: Moment
    ) -> Injection | Denial:
        """The credential of the call's destination, for *caller*; *facts* learn of it."""
        target = self.targets.get(request.destination)
        if target is None:
            return _not_allowed()
        facts.rule, facts.credential = target.name, target.credential.kind
        if isinstance(caller, Denial) and target.for_caller:
            return caller
        known = caller if isinstance(caller, Caller) else None
        if target.for_caller and (revoked := self._revoked(known, moment.now)):
            return revoked
        behind = _answering(request, known or _nobody(facts, moment))
        if isinstance(behind, Denial):
            return behind
        injection = target.credential.obtain(behind, moment)
        if isinstance(injection, Denial):
            return injection
        if injection.acts_as is Kind.APP and facts.verified is None:
            facts.itself = self.workload
        if injection.acts_as is not None:
            facts.credential = f"{target.credential.kind}:{injection.acts_as}"
        return injection

    def caller(self, request: Request, relayed: bytes | None, now: float) -> Caller | Denial | None:
        """Who stands behind a call, by all that it carries; *relayed*: of its bearer token."""
        header = request.header
        carried = carriers.read(
            baggage=header("baggage"),
            tracestate=request.tracestate,
            header=header(carriers.HANDLE_HEADER),
            request_id=header("x-request-id"),
            traceparent=header("traceparent"),
        )
        return resolve(carried, relayed, self.store, now)

    def _revoked(self, caller: Caller | None, now: float) -> Denial | None:
        """The request was let in before: since then its token may have been revoked."""
        verified = caller.verified if caller else None
        return self.revoked(verified, now) if verified else None

    def _pass(
        self,
        request: Request,
        relayed: bytes | None,
        headers: dict[str, str],
        facts: Facts,
        moment: Moment,
    ) -> Decision:
        """A host that no destination names: nothing of the caller's goes there."""
        facts.credential = "passthrough"
        ours = relayed is not None and (
            self.store.by_token(relayed, moment.now) is not None
            or self.recognise(request.header("authorization").split()[1])
        )
        return Decision(self._send(request, headers, ("authorization",) if ours else ()), facts)

    def _send(self, request: Request, headers: dict[str, str], scrub: tuple[str, ...]) -> Allow:
        removed = []
        lists = (("baggage", request.header("baggage")), ("tracestate", request.tracestate))
        for name, value in lists:
            rest = carriers.without_handle(value) if value else ""
            if rest and rest != request.header(name):
                headers[name] = rest
            elif value and not rest:
                removed.append(name)
        removed += [name for name in scrub if name not in headers]
        stripped = self.stripped
        if not self.kept.isdisjoint(headers):  # a credential in such a header wins
            stripped = Part(remove=tuple(n for n in stripped.remove if n not in headers))
        return Allow(tuple(headers), tuple(headers.values()), tuple(removed), "", (stripped,))


def bearer_hash(authorization: str) -> bytes | None:
    """SHA-256 of a relayed bearer token, None where there is none."""
    if not authorization:
        return None
    parts = authorization.split()
    if len(parts) != 2 or parts[0].lower() != "bearer":
        return None
    return hashlib.sha256(parts[1].encode()).digest()


def _nobody(facts: Facts, moment: Moment) -> Caller:
    """No caller, but a transaction: a token minted for this call must name the same one."""
    return Caller(None, "", facts.txn, "", facts.trace_id, moment.now)


def _answering(request: Request, caller: Caller) -> Caller | Denial:
    """*caller*, with the challenge of the destination that this call answers, if it does."""
    header = request.header(challenge.HEADER)
    if not header:
        return caller
    claims = challenge.relayed(header)
    if not claims:
        return Denial(
            Reason.CREDENTIAL_ERROR,
            f"{challenge.HEADER} holds no claims challenge; relay the claims of WWW-Authenticate",
            status=400,
        )
    return caller._replace(claims=claims)


def _link(caller: Caller | Denial | None) -> str:
    if caller is None:
        return "none"
    return caller.reason.value if isinstance(caller, Denial) else "resolved"


def _not_allowed() -> Denial:
    return Denial(
        Reason.DESTINATION_NOT_ALLOWED,
        "no destination is configured for this host; name it under destinations[].hosts",
    )
