"""What do many tokens say alike? Held once, however many of them are remembered.

Tokens of one issuer have the same names of claims, issuer, audience and clients, and a user's next
token says what the last one said. Each parsed by itself holds its own copy of all that.
"""

from __future__ import annotations

from sys import intern
from types import MappingProxyType

from agent.identity.claims import Claims

_HELD = 4096  # values; then all are forgotten, which is cheap and bounded
_LONG = 128  # characters of a value that may be another token's too
_SETS = 512  # sets, of scopes or of roles; then all are forgotten
_MANY = 16  # values in such a set

_texts: dict[str, str] = {}
_sets: dict[frozenset[str], frozenset[str]] = {}


def alike(claims: Claims) -> Claims:
    """The same claims, proven before: names and short texts that others have too are theirs."""
    if len(_texts) >= _HELD:
        _texts.clear()
    one = _texts.setdefault
    return MappingProxyType(
        {
            intern(name): one(value, value) if type(value) is str and len(value) <= _LONG else value
            for name, value in claims.items()
        }
    )


def one_set(values: frozenset[str]) -> frozenset[str]:
    """The same set; another's, where that has the same values."""
    found = _sets.get(values)
    if found is None:
        found = values
        if _small(values):
            if len(_sets) >= _SETS:
                _sets.clear()
            _sets[values] = values
    return found


def _small(values: frozenset[str]) -> bool:
    return len(values) <= _MANY and all(len(value) <= _LONG for value in values)
