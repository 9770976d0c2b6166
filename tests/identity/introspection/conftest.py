"""An introspection endpoint that a test holds in its hands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.identity.introspection.answer import Active, Inactive, Outcome

NOW = 1_800_000_000.0
GOOD: dict[str, Any] = {
    "active": True,
    "sub": "alice",
    "aud": "orders",
    "client_id": "spa",
    "scope": "read write",
    "iat": NOW - 10,
    "exp": NOW + 300,
}


@dataclass
class FakeEndpoint:
    """Answers by token; what it does not know is inactive. Counts what it is asked."""

    answers: dict[str, Outcome | Callable[[], Outcome]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    why_not: str = ""
    closed: bool = False

    def __call__(self, token: str) -> Outcome:
        self.asked.append(token)
        found = self.answers.get(token, Inactive())
        return found() if callable(found) else found

    def says(self, token: str, **claims: Any) -> None:
        said = {name: value for name, value in (GOOD | claims).items() if value is not None}
        self.answers[token] = Active(said, 300)

    def hangs(self, token: str, gate: threading.Event) -> None:
        def wait() -> Outcome:
            gate.wait(30)
            return Active(GOOD, 300)

        self.answers[token] = wait

    def missing(self) -> str:
        return self.why_not

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def endpoint() -> FakeEndpoint:
    return FakeEndpoint()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    found = threading.Event()
    yield found
    found.set()
