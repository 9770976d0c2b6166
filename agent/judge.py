"""How does a question become an answer, whatever happens? `decide(bytes) -> bytes` for any server.

This is the seam to the transport, and the one place where exceptions are caught: whatever breaks
becomes a denial with `internal_error` and a stack trace in the log (SECURITY.md 17).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from agent.envoy import check, mistakes
from agent.errors import Denial, Reason
from agent.flow.decision import Allow, Decision, Facts, Redirect
from agent.flow.inbound import Inbound
from agent.flow.outbound import Outbound
from agent.flow.problem import Challenger, answer, grpc_answer, page_answer
from agent.flow.request import Direction, Request
from agent.flow.tokens import Ask, Handed, Shown, Tokens, not_offered
from agent.identity.principal import Kind, Verified
from agent.moment import Moment, WouldBlock
from agent.telemetry.audit import NOBODY, AuditLog, AuditRecord, Who, who
from agent.telemetry.metrics import Metrics
from agent.telemetry.seldom import Seldom

log = logging.getLogger("attache.decision")

Clock = Callable[[], float]
_Told = TypeVar("_Told", Handed, Shown)

_NAMED = 1024  # callers whose part of the audit record is kept ready


@dataclass(frozen=True, slots=True)
class Pipelines:
    """What one configuration decides with; replaced as a whole by a reload."""

    inbound: Inbound | None
    outbound: Outbound | None
    challenger: Challenger
    tokens: Tokens | None = None


class Judge:
    """Answers Envoy's questions by the pipelines of the moment."""

    def __init__(
        self, pipelines: Pipelines, audit: AuditLog, metrics: Metrics, clock: Clock, timer: Clock
    ) -> None:
        self.pipelines = pipelines
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._timer = timer
        self._seldom = Seldom(timer)
        self._named: dict[bytes, tuple[Verified, Who]] = {}
        self._tokens_seen = False
        self._tokens_missing = 0

    def decide(self, message: bytes, seconds: float) -> bytes:
        """Answer a CheckRequest within *seconds*. Never raises; in doubt the answer is a denial."""
        started = self._timer()
        now = self._clock()
        request: Request | None = None
        pipelines = self.pipelines
        try:
            request = check.read(message)
            decision = _decide(pipelines, request, Moment(now, seconds))
            encoded = _encode(decision, request, pipelines.challenger)
        except WouldBlock:
            raise  # nothing has happened yet: the transport asks again where waiting is allowed
        except check.NotARequest as mistake:
            self._say("refused a request that cannot be decided on: %s", str(mistake))
            decision, encoded = _internal_error(request, pipelines.challenger)
        except Exception:
            log.exception("a decision failed; the request was denied. This is a bug: report it")
            decision, encoded = _internal_error(request, pipelines.challenger)
        self._report(request, decision, now, self._timer() - started)
        if request is not None and isinstance(decision.outcome, Denial):
            self._doubt(pipelines, request, decision.outcome)
        elif not self._tokens_seen:
            self._tokens_seen = decision.facts.verified is not None
        return encoded

    def _doubt(self, pipelines: Pipelines, request: Request, denial: Denial) -> None:
        """Tell the operator where a denial looks like a mistake in Envoy's configuration."""
        known = pipelines.outbound.targets if pipelines.outbound else ()
        if sentence := mistakes.mistake(request, denial, known):
            self._say("Envoy's configuration looks wrong: %s", sentence)
        if denial.reason is not Reason.MISSING_TOKEN:
            self._tokens_seen = self._tokens_seen or bool(request.header("authorization"))
        elif not self._tokens_seen:
            self._tokens_missing += 1
            if self._tokens_missing == mistakes.NEVER_A_TOKEN:
                self._say("%s", mistakes.never_a_token(self._tokens_missing))

    def _say(self, form: str, sentence: str) -> None:
        """Log *sentence*, but not with every request."""
        held = self._seldom.due(sentence)
        if held is not None:
            log.error(f"{form}%s", sentence, f" ({held} more since)" if held else "")

    def hand_out(self, ask: Ask, seconds: float) -> Handed:
        """Decide on one question of the TokenService, as `decide` does on one of Envoy's."""
        return self._decided(ask, seconds, Direction.OUTBOUND, Tokens.hand_out, Handed)

    def validate(self, ask: Ask, seconds: float) -> Shown:
        """Verify the token in *ask*, which a program shows us."""
        return self._decided(ask, seconds, Direction.INBOUND, Tokens.validate, Shown)

    def _decided(
        self,
        ask: Ask,
        seconds: float,
        direction: Direction,
        decide: Callable[[Tokens, Ask, Moment], _Told],
        denied: Callable[[Denial, Facts], _Told],
    ) -> _Told:
        started, now = self._timer(), self._clock()
        tokens = self.pipelines.tokens
        try:
            if seconds <= 0:
                told = denied(_late(), _facts())
            elif tokens is None:  # a reload has taken the section away
                told = denied(not_offered(), _facts())
            else:
                told = decide(tokens, ask, Moment(now, seconds))
        except WouldBlock:
            raise
        except Exception:
            log.exception("a decision failed; the request was denied. This is a bug: report it")
            told = denied(_undecided(), _facts())
        self._report_on(ask, direction, told.outcome, told.facts, now, started)
        return told

    def _report_on(
        self,
        ask: Ask,
        direction: Direction,
        outcome: object,
        facts: Facts,
        now: float,
        started: float,
    ) -> None:
        request = Request(direction, ask.method, ask.path, "", {})
        said = outcome if isinstance(outcome, Denial) else _NOTHING
        self._report(request, Decision(said, facts), now, self._timer() - started)

    def _report(
        self, request: Request | None, decision: Decision, now: float, elapsed: float
    ) -> None:
        outcome, facts = decision
        denial = outcome.denial if isinstance(outcome, Redirect) else outcome
        reason = denial.reason if isinstance(denial, Denial) else None
        word: Literal["allow", "deny"] = "allow" if reason is None else "deny"
        direction = method = path = None
        if request is not None:
            direction, method = request.direction, request.method
            path = facts.path if facts.path is not None else _bare_path(request)
            self._metrics.decision(direction, word, reason, facts.rule, elapsed)
        if facts.dropped_headers:
            self._metrics.header_values_dropped(facts.dropped_headers)
        if facts.link:
            self._metrics.link(facts.link)
        self._audit.emit(
            AuditRecord(  # in its order: by name it takes twice as long
                now,
                word,
                direction,
                elapsed * 1000,
                reason,
                facts.rule,
                method,
                path,
                facts.destination,
                self._who(facts),
                facts.txn,
                facts.trace_id,
                facts.credential,
            )
        )

    def _who(self, facts: Facts) -> Who:
        """The caller as audit records name it, put together once for each token."""
        verified = facts.verified
        if verified is None:
            itself = facts.itself
            return who(Kind.APP, itself, client=itself) if itself else NOBODY
        known = self._named.get(verified.token_hash)
        if known is None or known[0] is not verified:
            known = verified, _named(verified)
            if len(self._named) >= _NAMED:
                self._named.clear()  # cheaper than an order of use, and as bounded
            self._named[verified.token_hash] = known
        return known[1]


def _decide(pipelines: Pipelines, request: Request, moment: Moment) -> Decision:
    if moment.deadline <= 0:
        return Decision(_late(), Facts())
    pipeline = pipelines.inbound if request.direction is Direction.INBOUND else pipelines.outbound
    if pipeline is None:
        raise check.NotARequest(
            f"the route says direction {request.direction}, but listeners.{request.direction} is "
            "not configured"
        )
    return pipeline.decide(request, moment)


def _encode(decision: Decision, request: Request | None, challenger: Challenger) -> bytes:
    outcome, facts = decision.outcome, decision.facts
    correlation_id = facts.txn or str(uuid.uuid4())
    if isinstance(outcome, Allow):
        return check.allow(outcome, correlation_id, facts.response)
    if isinstance(outcome, Redirect):
        return check.redirect(outcome, correlation_id, facts.response)
    if facts.page:
        return check.deny(page_answer(outcome, correlation_id), facts.response)
    write = grpc_answer if request is not None and request.is_grpc else answer
    return check.deny(write(outcome, correlation_id, challenger), facts.response)


_NOTHING = Allow()


def _late() -> Denial:
    return Denial(Reason.DEADLINE, "the request arrived too late to be decided on")


def _undecided() -> Denial:
    return Denial(Reason.INTERNAL_ERROR, "the request could not be decided on and was refused")


def _facts() -> Facts:
    return Facts(txn=str(uuid.uuid4()))


def _internal_error(request: Request | None, challenger: Challenger) -> tuple[Decision, bytes]:
    decision = Decision(_undecided(), _facts())
    return decision, _encode(decision, request, challenger)


def _bare_path(request: Request) -> str:
    """A path that was never read as canonical, without its query, which may hold secrets."""
    return request.target.partition("?")[0]


def _named(verified: Verified) -> Who:
    p = verified.principal
    return who(
        *(p.kind, p.subject, p.tenant, p.client, p.actors),
        *(p.issuer, verified.key_id, verified.token_hash),
    )
