"""What do the parameters of a request for one of our own paths say, if they say one thing only?"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl

from agent.flow.request import Request
from agent.login import flow
from agent.login.flow import Asked

_MAX = 48 * 1024  # characters; a token may have 16 KiB (SECURITY.md 13)


def query(request: Request) -> dict[str, str] | None:
    """The parameters of a request; None where one stands twice (RFC 6749 §3.1)."""
    return pairs(request.target.partition("?")[2])


def pairs(encoded: str) -> dict[str, str] | None:
    """What a form or a query says; None where that has no single meaning."""
    if len(encoded) > _MAX:
        return None
    try:
        found = parse_qsl(encoded, keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError:
        return None
    return dict(found) if len(dict(found)) == len(found) else None


def asked(said: Mapping[str, str]) -> Asked | None:
    """What a page read in our challenge and passes on; `claims` is base64 there."""
    claims = said.get("claims", "")
    try:
        read = base64.b64decode(claims, validate=True).decode("utf-8") if claims else ""
        merged = flow.merged(read)
    except (binascii.Error, ValueError, RecursionError):
        return None
    acr, age = said.get("acr_values", ""), said.get("max_age", "")
    plain = all(len(each) <= 1024 and each.isascii() and each.isprintable() for each in (acr, age))
    if not plain or len(merged) > 4096 or (age and not age.isdigit()):
        return None
    return Asked(merged, acr, age)
