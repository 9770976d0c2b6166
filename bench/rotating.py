"""How is a stored token rotated again and again, by a process that dies where it is told to?

The agent's own parts, in a process that can be ended between any two of their steps. A server that
forks (`SPAWN`) starts them, so that two hundred of them take seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agent.config.loading import load
from agent.credentials.oauth import OAuthClient
from agent.credentials.stored.assembly import identity_of, rotator_of, vault_of
from agent.credentials.stored.rotator import Rotator, Surroundings, sentence
from agent.credentials.stored.steps import Have, NotYet, Outcome

# Before and after each: the answer of "send done" is in memory only.
STEPS = ("read", "journal", "journal done", "send", "send done", "keep", "keep done")
IN_FLIGHT = frozenset({"send done", "keep"})  # the server has answered, and nothing was kept

SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["bench.rotating"])


def rotator(config: Path, step: Callable[[str], None] = lambda name: None) -> Rotator:
    """What rotates the first stored token of *config*; *step* is told each step."""
    parsed = load(config)
    token = parsed.stored_tokens[0]
    identity = next(found for found in parsed.identities if found.name == token.identity)
    client = OAuthClient(identity.name, identity_of(identity))
    around = Surroundings(
        time.time, time.sleep, random.random, lambda: secrets.token_urlsafe(16), step=step
    )
    vault = vault_of(token, time.time, time.monotonic)
    return rotator_of(token, identity, client, vault, around)


class Rotating:
    """One such process: rotates *times*, is killed at the step *die*, stands still at *stop*."""

    def __init__(self, config: Path, times: int = 1, die: str = "", stop: str = "") -> None:
        self._ours, theirs = SPAWN.Pipe(duplex=False)
        self.process = SPAWN.Process(target=_work, args=(config, times, die, stop, theirs))
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def wait_for_one(self, seconds: float = 60.0) -> None:
        """Wait until it has rotated once."""
        self._ours.poll(seconds)

    def end(self, seconds: float = 90.0) -> tuple[int, list[str]]:
        """How it ended (below 0: by that signal; 1: a person is needed), and what it said."""
        said = []
        try:
            while self._ours.poll(seconds):
                said.append(self._ours.recv())
        except EOFError:
            pass
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"it does not end: {said}")
        return self.process.exitcode, said


def _work(config: Path, times: int, die: str, stop: str, pipe: object) -> None:
    stops = [stop]

    def step(name: str) -> None:
        if name == die:
            os.kill(os.getpid(), signal.SIGKILL)
        if name in stops:
            stops.remove(name)
            os.kill(os.getpid(), signal.SIGSTOP)

    rotating = rotator(config, step)
    for _ in range(times):
        outcome = rotating.token()
        pipe.send(word(rotating.name, outcome))  # type: ignore[attr-defined]
        if not isinstance(outcome, Have | NotYet):
            sys.exit(1)


def word(name: str, outcome: Outcome) -> str:
    """One line on *outcome*, without a token."""
    if isinstance(outcome, Have):
        return f"have {outcome.record.generation}"
    return f"{type(outcome).__name__}: {sentence(name, outcome)}"
