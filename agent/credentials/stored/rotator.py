"""Who takes the steps of a rotation? One driver for each stored token, and what it tells people."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.credentials.answers import Answer
from agent.credentials.proof import Unproven, text_of
from agent.credentials.stored.course import rotation
from agent.credentials.stored.life import Life, State, exercise_at
from agent.credentials.stored.record import Record
from agent.credentials.stored.reply import Granted, reply_of
from agent.credentials.stored.rules import Rules, idle_of
from agent.credentials.stored.steps import (
    Have,
    Heard,
    Held,
    NoStore,
    NotYet,
    Outcome,
    Pause,
    Read,
    Rested,
    Seen,
    Send,
    Step,
    Stopped,
    Swap,
    Unsaved,
)
from agent.credentials.stored.vault import Vault

log = logging.getLogger("attache.credentials")

SECONDS = 10.0  # that a refresh may take; whoever waits has a deadline of their own
LAST = 15.0  # that an agent which is told to stop gives a rotation under way
LOUD = 3600.0  # seconds after which a trouble that lasts is told again
_MOST = 60.0  # seconds between two tries, at most


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rotation needs of the world. `step` is told each step before and after it is taken."""

    clock: Callable[[], float]
    sleep: Callable[[float], object]
    random: Callable[[], float]
    new_id: Callable[[], str]
    count: Callable[[str, str], None] = lambda token, result: None
    step: Callable[[str], None] = lambda name: None


class Rotator:
    """Rotates one token of *identity*. *ask* sends a refresh token and says what came back."""

    def __init__(
        self,
        identity: str,
        rules: Rules,
        vault: Vault,
        ask: Callable[[str, float], Answer],
        around: Surroundings,
        absolute: float | None = None,
        mounted: Path | None = None,
    ) -> None:
        self.identity = identity
        self.rules = rules
        self.name = rules.name
        self._vault = vault
        self._ask = ask
        self._around = around
        self._absolute = absolute
        self._mounted = mounted
        self._lock = threading.Lock()
        self._unsaved: Unsaved | None = None
        self._record: Record | None = None
        self._seen = False
        self._problem = ""
        self._told: tuple[str, float] = ("", 0.0)
        self._failures = 0
        self._closed = False
        self.retry_at = 0.0

    @property
    def problem(self) -> str:
        """What a person has to do, as a sentence; empty where all is well."""
        return self._problem

    @property
    def generation(self) -> int:
        """How often the token was rotated since the login, as it was last seen."""
        return self._record.generation if self._record else 0

    @property
    def store(self) -> str:
        """Where the token is kept, in words."""
        return self._vault.name

    def token(self) -> Outcome:
        """An access token, rotated where that is needed. Blocks; one thread at a time gets in."""
        with self._lock:
            return Held() if self._closed else self._run(wanted=True)

    def look(self) -> Outcome | None:
        """Finish what was left open, exercise what is idle; None while another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._closed or self._around.clock() < self.retry_at:
                return None
            return self._run(wanted=False)
        finally:
            self._lock.release()

    def wait_for(self) -> float:
        """For how many seconds it is of no use to try again."""
        return max(0.0, self.retry_at - self._around.clock())

    def life(self) -> Life:
        """How the token stands, as it was last seen."""
        record = self._record
        if record is None:
            unread = State.UNREADABLE if self._problem and not self._seen else State.MISSING
            return Life(self.name, unread, absolute_lifetime=self._absolute)
        foreign = (record.authority, record.client) != (self.rules.authority, self.rules.client)
        state = State(record.ended) if record.ended else State.LIVE
        if foreign:
            state = State.FOREIGN
        elif state is State.LIVE and record.attempt is not None:
            state = State.IN_DOUBT
        idle = idle_of(record, self.rules)
        return Life(
            self.name,
            state,
            record.obtained_at,
            record.used_at,
            idle,
            self._absolute,
            exercise_at(self.name, record.used_at, idle),
        )

    def close(self, seconds: float = 0.0) -> None:
        """Let go of the store, once what is under way has ended; wait *seconds* for that.

        An answer that is on its way would be lost with the process that asked for it.
        """
        if self._lock.acquire(timeout=seconds):
            self._closed = True
            self._vault.close()
            self._lock.release()

    def _run(self, wanted: bool) -> Outcome:
        nonce = self._around.new_id()
        run = rotation(self.rules, nonce, wanted, self._unsaved, self._seed())
        heard: Heard = None
        try:
            while True:
                step = run.send(heard)
                heard = self._take(step, nonce)
        except StopIteration as end:
            outcome: Outcome = end.value
        finally:
            self._vault.release()
        self._unsaved = outcome.unsaved if isinstance(outcome, NoStore) else None
        self._note(outcome)
        return outcome

    def _take(self, step: Step, nonce: str) -> Heard:
        around = self._around
        match step:
            case Read():
                around.step("read")
                seen = self._vault.look(nonce)
                if isinstance(seen, Seen):
                    self._seen, self._record = True, seen.record
                return seen
            case Swap(version, record):
                name = "journal" if record.attempt else "keep"
                around.step(name)
                swapped = self._vault.swap(version, record)
                around.step(f"{name} done")
                return swapped
            case Send(record):
                around.step("send")
                at = around.clock()
                reply = reply_of(self._ask(record.token, SECONDS), at)
                around.step("send done")
                around.count(self.name, _word(reply))
                return reply
            case Pause(seconds):
                around.sleep(seconds)
        return None

    def _seed(self) -> str | None:
        if self._mounted is None or (self._record and not self._record.ended):
            return None
        found = text_of(self._mounted, "refresh token")
        return None if isinstance(found, Unproven) else found

    def _note(self, outcome: Outcome) -> None:
        now = self._around.clock()
        if isinstance(outcome, Have | Rested | Stopped | NotYet):
            self._record = outcome.record
        if isinstance(outcome, Have | Rested):
            if self._problem:
                log.info("stored token '%s' is well again", self.name)
            self._problem, self._failures, self.retry_at = "", 0, 0.0
            return
        if not isinstance(outcome, Stopped):
            # Full jitter, so that pods do not come back together (SECURITY.md 38).
            self._failures += 1
            bound = min(_MOST, 2.0**self._failures)
            said = outcome.reply.answer.retry_after if isinstance(outcome, NotYet) else None
            self.retry_at = now + max(float(said or 0), bound * (0.5 + self._around.random() / 2))
        else:
            self._failures, self.retry_at = 0, 0.0
        self._problem = sentence(self.name, outcome)
        if not self._problem:
            return
        said_before, at = self._told
        if self._problem != said_before or now - at >= LOUD:
            self._told = (self._problem, now)
            log.error("%s", self._problem)


def sentence(name: str, outcome: Outcome) -> str:
    """What the log, /status and /readyz say of *outcome*; empty where nobody has to act."""
    token, login = f"stored token '{name}'", f"run 'attache login {name}'"
    match outcome:
        case Stopped(State.MISSING):
            return f"{token}: nobody has logged in yet; {login}"
        case Stopped(State.REFUSED, record):
            word = f" ({record.reason})" if record and record.reason else ""
            return f"{token}: the provider does not accept it any more{word}; {login}"
        case Stopped(State.LOST):
            return (
                f"{token}: it was sent, no answer was kept, and the provider's grace is over, so "
                f"nobody knows whether it still serves; {login} (--again tries the stored one once "
                "more)"
            )
        case Stopped(State.FOREIGN):
            return f"{token}: what is stored belongs to another server or client; {login}"
        case NoStore(trouble, None):
            return f"{token}: {trouble.sentence}. What is in hand serves until it expires"
        case NoStore(trouble, unsaved) if unsaved and unsaved.exactly is None:
            return (
                f"{token}: THE NEW TOKEN IS IN MEMORY ONLY, do not stop this agent: "
                f"{trouble.sentence}"
            )
        case NoStore(trouble):
            return f"{token}: {trouble.sentence}. What is in hand serves until it expires"
    return ""


def _word(reply: object) -> str:
    """The metric's word for what came back."""
    return "rotated" if isinstance(reply, Granted) else type(reply).__name__.lower()
