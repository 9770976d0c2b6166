"""A provider that revokes a grant when a token is used twice, and a store, both in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from agent.credentials.answers import Answer
from agent.credentials.stored.course import Run
from agent.credentials.stored.record import Record, fingerprint
from agent.credentials.stored.reply import Granted, reply_of
from agent.credentials.stored.rules import Rules
from agent.credentials.stored.steps import (
    Heard,
    Moved,
    Outcome,
    Pause,
    Read,
    Seen,
    Send,
    Step,
    Swap,
    Swapped,
    Trouble,
)

NOW = 1_800_000_000.0
RULES = Rules("crm", "https://crm.example", "us", grace=60.0)


def record(token: str = "r0", **changes: object) -> Record:
    values = {"authority": RULES.authority, "client": RULES.client, "token": token}
    values |= {"obtained_at": NOW, "used_at": NOW, **changes}
    return Record(**values)  # type: ignore[arg-type]


@dataclass
class FakeProvider:
    """Rotates; a used token is taken again for `grace` seconds, later it ends the grant."""

    grace: float = 0.0
    alive: bool = True
    serial: int = 0
    used: dict[str, float] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    issued: set[str] = field(default_factory=lambda: {"r0"})

    def refresh(self, token: str, now: float) -> Answer:
        self.sent[token] += 1
        if token in self.used and now - self.used[token] > self.grace:
            self.alive = False
        if not self.alive or token not in self.issued:
            return Answer(400, {"error": "invalid_grant"})
        self.used.setdefault(token, now)
        self.serial += 1
        self.issued.add(f"r{self.serial}")
        body = {"access_token": f"a{self.serial}", "expires_in": 1000}
        return Answer(200, {**body, "refresh_token": f"r{self.serial}"})

    @property
    def reused(self) -> list[str]:
        """Tokens that were sent again after they had been used up."""
        return [token for token, times in self.sent.items() if times > 1 and token in self.used]


@dataclass
class World:
    """One store, one provider, one clock; every run takes its steps here."""

    record: Record | None = field(default_factory=record)
    provider: FakeProvider = field(default_factory=FakeProvider)
    now: float = NOW
    version: int = 0
    orphaned: bool = True
    broken: str = ""  # "full": no Swap succeeds; "gone": no Read either
    silent: bool = False  # the provider's answers do not arrive
    in_flight: int = 0  # answers that never reached the run that asked
    kept: set[str] = field(default_factory=lambda: {"r0"})
    living: set[str] | None = None  # whose attempts are not orphaned; None: see `orphaned`

    def do(self, step: Step, watched: float = 99.0) -> Heard:
        match step:
            case Read():
                if self.broken == "gone":
                    return Trouble("gone; bring it back")
                attempt = self.record.attempt if self.record else None
                orphaned = self.orphaned
                if self.living is not None:
                    orphaned = attempt is not None and attempt.nonce not in self.living
                return Seen(self.record, str(self.version), self.now, watched, orphaned)
            case Swap(version, fresh):
                if self.broken:
                    return Trouble("full; make room")
                if version != str(self.version):
                    return Moved()
                self.version += 1
                self.record = fresh
                self.kept.add(fresh.token)
                return Swapped(str(self.version))
            case Send(sent):
                # SECURITY.md 31: what is sent was journalled before
                assert self.record is not None
                assert self.record.attempt is not None
                assert self.record.attempt.token == fingerprint(sent.token)
                answer = self.provider.refresh(sent.token, self.now)
                if self.silent:
                    self.in_flight += 1
                    answer = Answer(0, failure="does not answer in time")
                return reply_of(answer, self.now)
            case Pause(seconds):
                self.now += seconds
        return None


def finish(run: Run, world: World, watched: float = 99.0, heard: Heard = None) -> Outcome:
    """Take every step of *run*; *heard* is what came of its last one."""
    while True:
        try:
            step = run.send(heard)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        heard = world.do(step, watched)


def killed(run: Run, world: World, after: int, done: bool) -> bool:
    """End *run* at its step number *after*, *done* or not yet; False if it came to its end before.

    An answer that the step got is lost with the process.
    """
    heard: Heard = None
    for number in range(after + 1):
        try:
            step = run.send(heard)
        except StopIteration:
            return False
        if number == after:
            if done:
                heard = world.do(step)
                if isinstance(heard, Granted):
                    world.in_flight += 1
            run.close()
            return True
        heard = world.do(step)
        if isinstance(heard, Granted) and number == after - 1 and not done:
            # the answer is here, its Swap is the step that does not happen
            world.in_flight += 1
    return True
