"""Which key stands in the file now? An API key in a header, reread while the agent runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.config.own_credentials import SecretFile
from agent.context.caller import Caller
from agent.credentials.answers import Asked
from agent.credentials.credential import Injection
from agent.credentials.keyring import LOOK
from agent.credentials.ledger import Ledger
from agent.credentials.proof import Unproven, text_of
from agent.credentials.verdict import Verdict
from agent.errors import Denial, Reason
from agent.identity.principal import Kind
from agent.moment import Moment

MAX_KEY = 8 * 1024  # bytes; Envoy takes 64 KiB of headers in all
KEPT = 300.0  # seconds that the last good key serves after its file went bad
_KEY = re.compile(r"[!-~]([ -~]*[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Held:
    """The key as it was last read well; `bad_since` while the file holds none."""

    value: str
    bad_since: float | None = None

    def __repr__(self) -> str:
        return f"Held(bad_since={self.bad_since})"

    def serves(self, now: float) -> bool:
        """Whether the key may still be sent."""
        return self.bad_since is None or now < self.bad_since + KEPT


def look(held: Held | None, found: str | Unproven, now: float) -> Held | None:
    """What is held after the file was read at *now*. Pure (SECURITY.md 35: bounded, never empty).

    >>> look(Held("old"), Unproven("gone"), 5.0)
    Held(bad_since=5.0)
    >>> look(Held("old", 5.0), Unproven("gone"), 5.0 + KEPT) is None
    True
    """
    if isinstance(found, str):
        return Held(found)
    if held is None:
        return None
    since = now if held.bad_since is None else held.bad_since
    bad = Held(held.value, since)
    return bad if bad.serves(now) else None


def key_in(path: Path) -> str | Unproven:
    """The key in the file without the white space around it, or a sentence that says what is wrong.

    A Kubernetes mount is replaced by moving a link, so each look opens the path anew.
    """
    text = text_of(path, "key")
    if isinstance(text, Unproven):
        return text
    if len(text) > MAX_KEY:
        return Unproven(f"the key in {path} is longer than 8 KiB. Name the right file.")
    if not _KEY.fullmatch(text):
        return Unproven(
            f"the key in {path} has characters that a header cannot carry. Write one line of "
            "plain ASCII; the file is reread within 5 s."
        )
    return text


class FileKey:
    """The key of one destination. Reading happens in `renew`, off the way of requests."""

    kind = "secretFile"

    def __init__(
        self, destination: str, asked: SecretFile, ledger: Ledger, clock: Callable[[], float]
    ) -> None:
        self._path = asked.file
        self._header, self._before = asked.header, asked.before
        self._ledger = ledger
        self._asked = Asked(destination, "", "", "", (), for_user=False)
        self._checked = float("-inf")
        self._held: Held | None = None
        self._problem = ""
        self.renew(clock())

    @property
    def problem(self) -> str:
        """Why there is no key to send; empty while there is one."""
        return "" if self._held else self._problem

    def take_over(self, previous: FileKey) -> None:
        """Go on with what a predecessor for the same file held, where the file went bad."""
        if self._held is None and previous._path == self._path:
            self._held = previous._held

    def obtain(self, caller: Caller | None, moment: Moment) -> Injection | Denial:
        """The header with the key, or why there is none."""
        if moment.now - self._checked >= 2 * LOOK or self._held is None:
            self.renew(moment.now)
        return self.at_hand(moment.now) or _unusable()

    def wanted(self, now: float) -> None:
        """Look at the file."""
        self.renew(now)

    def at_hand(self, now: float) -> Injection | None:
        """The header with the key, if there is one to send at *now*."""
        held = self._held
        if held is None or not held.serves(now):
            return None
        return Injection(((self._header, self._before + held.value),), Kind.APP)

    def renew(self, now: float) -> None:
        """Read the file, at most once a second."""
        if now - self._checked < 1.0:
            return
        self._checked = now
        found = key_in(self._path)
        self._held = look(self._held, found, now)
        if isinstance(found, str):
            self._problem = ""
            self._ledger.succeeded(self._asked.destination, None)
            return
        self._problem = f"destination '{self._asked.destination}': {found.sentence}"
        told = (
            f"{self._problem} The last key serves for {KEPT:g} s." if self._held else self._problem
        )
        self._ledger.failed(self._asked.destination, Verdict(_unusable(), told, logging.ERROR))


def _unusable() -> Denial:
    return Denial(
        Reason.CREDENTIAL_ERROR,
        "this service has no usable key for this destination; its operator was told",
    )
