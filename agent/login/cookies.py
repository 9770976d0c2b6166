"""Which of a request's cookies are ours, and how do we write them (RFC 6265bis §4.1)?

`__Host-`: a browser takes such a cookie from this very host alone, over a connection it trusts,
and for all of its paths; nobody else's subdomain can put one beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PREFIX = "__Host-attache-"
MOST_PARTS = 6
_PART = 3800  # bytes: browsers keep 4096 for name, value and what stands between them
_ATTRIBUTES = "; Path=/; Secure; HttpOnly; SameSite=Lax"

SetCookie = tuple[str, str]
"""A `set-cookie` header."""


@dataclass(frozen=True, slots=True)
class Jar:
    """The cookies of one request: ours by name, and the header without them."""

    ours: Mapping[str, str] = field(repr=False)
    others: str = field(repr=False)


NOTHING = Jar({}, "")


def read(header: str) -> Jar:
    """Take a Cookie header apart (RFC 6265bis §4.2); ours that stand twice are nobody's.

    Envoy shows several Cookie headers as one with commas; no value of ours has one.

    >>> read("a=1; __Host-attache-x=2; b=3").others
    'a=1; b=3'
    """
    if PREFIX not in header:
        return Jar({}, header)
    ours: dict[str, str] = {}
    others = []
    for pair in header.split(";"):
        # A cookie of somebody else's may hold commas, and stays whole.
        several = pair.split(",") if PREFIX in pair else [pair]
        theirs = [each for each in several if not each.lstrip(" \t").startswith(PREFIX)]
        if len(theirs) < len(several):
            for each in several:
                name, _, value = each.strip(" \t").partition("=")
                if name.startswith(PREFIX):
                    ours[name.rstrip()] = "" if name.rstrip() in ours else value.strip(" \t")
        if rest := ",".join(theirs).strip(" \t"):
            others.append(rest)
    return Jar(ours, "; ".join(others))


def gathered(jar: Jar, name: str) -> str | None:
    """The value that `parts` wrote under *name*; None where a part of it is missing."""
    count, _, first = jar.ours.get(name, "").partition(".")
    if not first or not (count.isascii() and count.isdigit() and len(count) == 1):
        return None
    parts = [first, *(jar.ours.get(f"{name}.{index}", "") for index in range(1, int(count)))]
    return "".join(parts) if all(parts) else None


def parts(name: str, value: str) -> list[SetCookie] | None:
    """The cookies that hold *value*, several where one is too small; None where it is too long."""
    cut = [value[start : start + _PART] for start in range(0, len(value), _PART)]
    if not 0 < len(cut) <= MOST_PARTS:
        return None
    rest = [written(f"{name}.{index}", part) for index, part in enumerate(cut[1:], 1)]
    return [written(name, f"{len(cut)}.{cut[0]}"), *rest]


def written(name: str, value: str, max_age: int | None = None) -> SetCookie:
    """A cookie; without *max_age* (seconds) it ends with the browser."""
    lasting = f"; Max-Age={max_age}" if max_age is not None else ""
    return "set-cookie", f"{name}={value}{_ATTRIBUTES}{lasting}"


def removed(name: str) -> SetCookie:
    """What takes a cookie away."""
    return written(name, "", 0)


def leftovers(jar: Jar, name: str, kept: int = 0) -> Iterator[SetCookie]:
    """What takes the parts of *name* away, from the one numbered *kept* on."""
    names = (name, *(f"{name}.{index}" for index in range(1, MOST_PARTS)))
    return (removed(one) for one in names[kept:] if one in jar.ours)
