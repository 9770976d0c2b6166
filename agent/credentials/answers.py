"""What did an authorization server answer, and to what request?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.challenge import minified

VOUCHED = "managed identity's token"  # the word for that proof, in `Asked.proof`
_SAFE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is 0 where nothing did, and then `failure` says why.

    `body` is None unless it was one JSON object. `ours` says that nothing was sent, because our own
    secret, certificate or token file is unusable; `unfit`, that a token came which is not the one
    that was asked for, and why. `sent` is False where nothing reached the server for certain.
    """

    status: int
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    retry_after: int | None = None
    failure: str = ""
    ours: bool = False
    unfit: str = ""
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: enough to tell the operator where to look. No secret is in it.

    `target` is the audience or resource, `exchange` says that it was a token exchange (RFC 8693).
    """

    destination: str
    identity: str
    client: str
    tenant: str
    scopes: tuple[str, ...]
    for_user: bool
    server: str = "Entra"
    proof: str = "secret"
    target: str = ""
    exchange: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """An answer taken apart.

    `codes` are AADSTS numbers; `claims` is a challenge, minified, and empty where there is one that
    cannot be passed on.
    """

    answer: Answer
    asked: Asked
    error: str
    suberror: str
    codes: frozenset[int]
    claims: str | None

    @property
    def code(self) -> str:
        """What the operator searches for."""
        return ", ".join(map(str, sorted(self.codes))) or self.error or "no error code"


def assertion_expired(answer: Answer) -> bool:
    """Whether our own assertion was too old: then its file is worth another look (ENTRA.md §2)."""
    return 700024 in _codes(answer.body or {})


def case_of(answer: Answer, asked: Asked) -> Case:
    """Read of *answer* what decides; nothing else of it is believed or repeated."""
    body = answer.body or {}
    return Case(
        answer,
        asked,
        word(body.get("error")),
        word(body.get("suberror")),
        _codes(body),
        _claims(body.get("claims")),
    )


def _codes(body: Mapping[str, Any]) -> frozenset[int]:
    codes = body.get("error_codes")
    if not isinstance(codes, list):
        return frozenset()
    return frozenset(code for code in codes[:16] if type(code) is int)


def _claims(value: object) -> str | None:
    """The challenge, minified; empty where there is one that cannot be passed on."""
    if value in (None, ""):
        return None
    return minified(value) if isinstance(value, str) else ""


def word(value: object) -> str:
    """A code as the server wrote it, if it is one: what it says goes to the log."""
    return value if isinstance(value, str) and _SAFE.fullmatch(value) else ""
