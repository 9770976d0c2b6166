"""Do a token's registered claims hold: its times, its audience, the forms of its values?"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

from agent.errors import Denial, Reason

Claims = Mapping[str, Any]

LATEST = 253_402_300_799  # 9999-12-31T23:59:59Z, in UTC seconds


class Window(NamedTuple):
    """When a token may be used, in UTC seconds: from `not_before` until before `expires_at`."""

    not_before: float
    expires_at: float


def window(claims: Claims) -> Window | Denial:
    """Return the times of *claims*: `exp` must be there, and each must be a sane number."""
    for name in ("exp", "nbf", "iat"):
        if name in claims and not is_time(claims[name]):
            return Denial(Reason.INVALID_TOKEN, f"The token's '{name}' is not a valid time.")
    if "exp" not in claims:
        return Denial(Reason.INVALID_TOKEN, "The token has no expiry.")
    return Window(max(claims.get("nbf", 0), claims.get("iat", 0)), claims["exp"])


def expired(times: Window, now: float, skew: float) -> Denial | None:
    """RFC 7519 §4.1.4: on or after `exp` is too late; *skew* seconds of tolerance."""
    if now >= times.expires_at + skew:
        return Denial(Reason.EXPIRED_TOKEN, "The token has expired.")
    return None


def premature(times: Window, now: float, skew: float) -> Denial | None:
    """RFC 7519 §4.1.5; a token issued in the future is as wrong as one not yet valid."""
    if now < times.not_before - skew:
        return Denial(Reason.INVALID_TOKEN, "The token is not valid yet.")
    return None


def other_audience(
    claims: Claims, audiences: Collection[str], stand_ins: Collection[str] = ()
) -> Denial | None:
    """RFC 7519 §4.1.3: one of the token's audiences is exactly one of *audiences*.

    A token without `aud` is asked for the first of *stand_ins* that it has.
    """
    if "aud" in claims:
        named = claims["aud"]
    else:
        found = (at(claims, name) for name in stand_ins)
        named = next((value for value in found if value is not None), None)
        if named is None:
            return Denial(Reason.WRONG_AUDIENCE, "The token names no audience.")
    if isinstance(named, str):
        if named in audiences:
            return None
        named = [named]
    if not named or not _is_texts(named):
        return Denial(Reason.INVALID_TOKEN, "The token's 'aud' is not a string or a list of them.")
    if not any(audience in audiences for audience in named):
        return Denial(Reason.WRONG_AUDIENCE, "The token is meant for another audience.")
    return None


def is_time(value: object) -> TypeGuard[float]:
    """Whether *value* is a sane number of UTC seconds."""
    # SECURITY.md 7: a boolean is an int in Python, and 10^30 is a number in JSON.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value <= LATEST  # false for NaN too


_STR = {str}


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and {*map(type, value)} <= _STR


@dataclass(frozen=True, slots=True)
class Form:
    """What the value of a claim must look like."""

    name: str
    holds: Callable[[object], bool]


TEXT = Form("a string", lambda value: isinstance(value, str))
TEXTS = Form("a list of strings", _is_texts)
WORDS = Form(
    "a string or a list of strings", lambda value: isinstance(value, str) or _is_texts(value)
)
OBJECT = Form("an object", lambda value: isinstance(value, Mapping))


def misshapen(claims: Claims, shape: Mapping[str, Form]) -> Denial | None:
    """Refuse the token if a claim that is present does not have the form that *shape* says."""
    for name, form in shape.items():
        if name in claims and not form.holds(claims[name]):
            return Denial(Reason.INVALID_TOKEN, f"The token's '{name}' is not {form.name}.")
    return None


def text(claims: Claims, *names: str) -> str:
    """The first of these claims that is a non-empty string, or an empty one."""
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def words(claims: Claims, name: str) -> frozenset[str]:
    """A claim of several values: a list of strings, or a string with spaces between them."""
    value = claims.get(name)
    if isinstance(value, str):
        return _split(value)
    return _together(tuple(value)) if value and _is_texts(value) else _NONE


# Few combinations are given to many: they are made once, and held once.
_NONE: frozenset[str] = frozenset()
_together: Callable[[tuple[str, ...]], frozenset[str]] = lru_cache(maxsize=256)(frozenset)


@lru_cache(maxsize=256)
def _split(value: str) -> frozenset[str]:
    return frozenset(value.split(" ")) - {""}  # RFC 6749 §3.3: a space and nothing else


def at(claims: Claims, path: str) -> Any:
    """The value at *path*, None where there is none: that very name, else the way its dots show.

    >>> at({"https://x.y/roles": 1, "a.b": {"c": 2}}, "https://x.y/roles")
    1
    >>> at({"a": {"c": 1}, "a.b": {"c": 2}}, "a.b.c"), at({"a": [1]}, "a.0")
    (2, None)
    """
    if path in claims:
        return claims[path]  # names of claims may be URLs, which have dots (RFC 7519 §4.2)
    head, dot, rest = path.rpartition(".")
    tail = ""
    while dot:  # the longest name first, for names may hold dots themselves
        tail = f"{rest}.{tail}" if tail else rest
        if isinstance(inner := claims.get(head), Mapping):
            return at(inner, tail)
        head, dot, rest = head.rpartition(".")
    return None


_TRANSACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)


def transaction(said: str) -> str:
    """*said* where it is usable as a transaction id in headers and logs, else an empty string."""
    return said if _TRANSACTION.fullmatch(said) else ""
