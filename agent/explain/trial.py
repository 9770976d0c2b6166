"""What would the agent decide on this request, and what would it look at on the way?

A trial runs the agent's own pipelines, built where the agent builds them; only where keys come
from differs. It reports what each stage found, and says nothing of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.config.attache import Attache
from agent.config.issuers import Introspection
from agent.config.revocation import Revocation
from agent.context.store import ContextStore
from agent.credentials.assembly import Credentials
from agent.credentials.keyring import new_key
from agent.errors import Denial
from agent.explain.standin import Claimed, documents
from agent.flow.decision import Decision
from agent.flow.inbound import Inbound
from agent.flow.request import Request
from agent.flow.transaction import Transactions
from agent.identity.fetch import Fetcher
from agent.identity.introspection.answer import Active, Inactive, Outcome, Trouble
from agent.identity.introspection.endpoint import Endpoint
from agent.identity.principal import RawToken, Verified
from agent.identity.revocation.guard import RevocationGuard, Revoked, nothing_revoked
from agent.identity.trust import Trust
from agent.judge import Pipelines
from agent.moment import Moment
from agent.pipelines import pipelines

FETCH = 10.0  # seconds that an online trial waits for the issuers' keys
DEADLINE = 4.0  # seconds, as Envoy gives


@dataclass(slots=True)
class Findings:
    """What each stage found, by its name; the last word of a stage counts."""

    found: dict[str, object] = field(default_factory=dict)

    def note(self, stage: str, what: object) -> None:
        """Hear of one stage; a denial is never overwritten by what came after it."""
        if not isinstance(self.found.get(stage), Denial):
            self.found[stage] = what

    def denied(self, stage: str) -> Denial | None:
        """The denial of *stage*, if that is where it came from."""
        what = self.found.get(stage)
        return what if isinstance(what, Denial) else None


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The finding of a stage that had nobody to ask."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where keys come from: *given* documents by issuer ("" for all others), files, *online*.

    *revocations*: whether the list of revoked tokens is asked, where it can be. *answer*: what an
    introspection endpoint says of the token.
    """

    given: Mapping[str, bytes] = field(default_factory=dict)
    online: bool = False
    revocations: bool = True
    answer: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Overheard(Transactions):
    """What is said of a Txn-Token, passed on unchanged."""

    findings: Findings

    def came_with(
        self, request: Request, verified: Verified, moment: Moment
    ) -> Verified | Denial | None:
        found = Transactions.came_with(self, request, verified, moment)
        self.findings.note("transaction", found)
        return found


class Unanswered(Exception):
    """Nobody but its server knows what the token stands for, and that one was not asked."""


class _Asked:
    """An introspection endpoint, overheard: the real one online, else what the test says."""

    def __init__(self, rules: Introspection, sources: Sources, findings: Findings) -> None:
        self._answer = sources.answer
        self._endpoint = Endpoint(rules) if sources.online else None
        self._findings = findings
        self._url = rules.url

    def __call__(self, token: RawToken) -> Outcome:
        """Ask, or give the answer at hand."""
        outcome = self._outcome(token)
        self._findings.note("asked", outcome)
        return outcome

    def _outcome(self, token: RawToken) -> Outcome:
        if self._endpoint is not None:
            return self._endpoint(token)
        if self._answer is None:
            return Trouble(f"{self._url} was not asked (offline)")
        active = self._answer.get("active", True) is True
        return Active(dict(self._answer), 0) if active else Inactive()

    def missing(self) -> str:
        """Nothing is missing here."""
        return ""

    def close(self) -> None:
        """Close idle connections."""
        if self._endpoint is not None:
            self._endpoint.close()


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration, ready to be asked at one moment."""

    config: Attache
    pipelines: Pipelines
    findings: Findings
    missing: tuple[str, ...]  # whose keys could not be fetched, online
    now: float
    online: bool

    def inbound(self, request: Request) -> Decision:
        """The agent's decision on *request*; `findings` tells what led to it.

        Raises `Unanswered` where a token would have to be introspected, offline.
        """
        assert self.pipelines.inbound is not None
        decision = _watched(self.pipelines.inbound, self.findings).decide(request, self._moment)
        if not self.online and isinstance(self.findings.found.get("asked"), Trouble):
            raise Unanswered
        return decision

    def outbound(self, request: Request) -> Decision:
        """The agent's decision on a call of the application."""
        assert self.pipelines.outbound is not None
        return self.pipelines.outbound.decide(request, self._moment)

    @property
    def _moment(self) -> Moment:
        return Moment(self.now, DEADLINE)


@contextlib.contextmanager
def trial(config: Attache, token: str, sources: Sources, now: float) -> Iterator[Trial]:
    """Set the agent up for one question at *now* (UTC seconds), and take it down again.

    Raises `NoKeys`. The log is silent meanwhile: what matters is in the findings.
    """
    findings = Findings()
    with contextlib.ExitStack() as held:
        held.enter_context(_quiet())
        config = held.enter_context(_with_signing_keys(config))
        fetch = Fetcher()
        trust = Trust.build(
            config,
            lambda: now,
            fetch,
            notice=findings.note,
            endpoint=lambda rules: _Asked(rules, sources, findings),
        )
        if sources.online:
            held.callback(trust.stop)
            trust.start()
            trust.wait_ready(FETCH)
        else:
            trust.settle(documents(Claimed.by(token), sources.given, fetch))
        credentials = Credentials.build(config, lambda: now)
        held.callback(credentials.stop)
        revoked = held.enter_context(_list_of(config.revocation, sources, now))
        built = pipelines(config, trust, credentials, ContextStore(100), os.urandom, revoked)
        missing = tuple(trust.missing()) if sources.online else ()
        yield Trial(config, built, findings, missing, now, sources.online)


def _watched(inbound: Inbound, findings: Findings) -> Inbound:
    """*inbound* with its stages overheard; what they say is passed on unchanged."""

    def verify(token: RawToken, moment: Moment) -> Verified | Denial:
        found = inbound.verify(token, moment)
        findings.note("verified", found)
        return found

    def revoked(verified: Verified, now: float) -> Denial | None:
        found = inbound.revoked(verified, now)
        findings.note("revocation", NotAsked() if inbound.revoked is nothing_revoked else found)
        return found

    def chain(verified: Verified) -> Denial | None:
        found = inbound.chain(verified)
        findings.note("chain", found)
        return found

    brought = inbound.transactions
    return replace(
        inbound,
        verify=verify,
        revoked=revoked,
        chain=chain,
        transactions=brought and _Overheard(brought.verify, brought.rules, findings),
    )


@contextlib.contextmanager
def _list_of(rules: Revocation | None, sources: Sources, now: float) -> Iterator[Revoked]:
    """The list of revoked tokens, read once; offline only one that is a file."""
    reachable = rules is not None and (
        sources.online or (rules.file is not None and os.access(rules.file, os.R_OK))
    )
    if rules is None or not reachable or not sources.revocations:
        yield nothing_revoked
        return
    # The snapshot is the running agent's to write.
    once = rules.model_copy(update={"snapshot": None})
    guard = RevocationGuard(once, lambda: now, time.monotonic, lambda _: None)
    guard.start()
    try:
        yield guard.denial
    finally:
        guard.stop()


@contextlib.contextmanager
def _with_signing_keys(config: Attache) -> Iterator[Attache]:
    """Where internal tokens are minted: by a throw-away key, for the real one stays where it is."""
    tokens = config.internal_tokens
    if tokens is None:
        yield config
        return
    with tempfile.TemporaryDirectory(prefix="attache-") as folder:
        new_key(Path(folder))
        ours = tokens.model_copy(update={"keys": Path(folder)})
        yield config.model_copy(update={"internal_tokens": ours})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
