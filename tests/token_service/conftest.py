from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.credentials.credential import Injection
from agent.errors import Denial, Reason
from agent.flow.decision import Facts
from agent.flow.problem import Challenger
from agent.flow.tokens import Ask, Handed, Shown
from agent.identity.principal import Kind
from agent.moment import WouldBlock


@dataclass
class FakePipelines:
    challenger: Challenger = field(default_factory=Challenger)


class FakeJudge:
    """Hands out what the destination's name says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.pipelines = FakePipelines()
        self.asked: list[tuple[Ask, float]] = []
        self.threads: list[str] = []

    def hand_out(self, ask: Ask, seconds: float) -> Handed:
        self.threads.append(threading.current_thread().name)
        if ask.destination == "slow" and threading.current_thread().name != "check":
            raise WouldBlock
        self.asked.append((ask, seconds))
        facts = Facts(txn="txn-1")
        if ask.refused:
            return Handed(ask.refused, facts)
        if ask.destination == "broken":
            raise RuntimeError("the token was secret")
        if ask.destination.endswith("denied"):
            denial = Denial(Reason.CONSENT_REQUIRED, "Zoë must consent", retry_after=7)
            return Handed(denial, facts)
        header = "x-api-key" if ask.destination == "key" else "authorization"
        value = "k y" if ask.destination == "key" else "Bearer t.o.ken"
        return Handed(Injection(((header, value),), Kind.APP, 3000.9), facts)

    def validate(self, ask: Ask, seconds: float) -> Shown:
        self.asked.append((ask, seconds))
        denial = Denial(Reason.MISSING_TOKEN, "The request carries no Authorization header.")
        return Shown(denial, Facts(txn="txn-2"))


@pytest.fixture
def judge() -> Any:
    return FakeJudge()
