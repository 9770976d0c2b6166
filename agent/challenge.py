"""What is a claims challenge, and in which forms does it travel? (OIDC Core §5.5, ENTRA.md §2)"""

from __future__ import annotations

import base64
import json
from typing import Any

HEADER = "x-attache-claims"
"""In which header the application says what a destination demanded of it."""
MAX = 4096  # characters


def minified(value: object) -> str:
    """The challenge in *value*, a JSON object or its text, in one form; empty where it is none.

    >>> minified('{ "access_token": {"acrs": {"essential": true, "value": "c1"}} }')
    '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
    >>> minified("[1]"), minified("no")
    ('', '')
    """
    if isinstance(value, str):
        if len(value) > MAX:
            return ""
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return ""
    if not isinstance(value, dict) or not value:
        return ""
    text = json.dumps(value, separators=(",", ":"))
    return text if len(text) <= MAX else ""


def relayed(header: str) -> str:
    """The challenge that an application relays: as JSON, or in the base64 of `WWW-Authenticate`.

    >>> relayed("eyJhY2Nlc3NfdG9rZW4iOnt9fQ==")
    '{"access_token":{}}'
    """
    text = header.strip()
    if not text.startswith("{") and len(text) <= 2 * MAX:
        try:
            unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
            padded = unpadded + "=" * (-len(unpadded) % 4)
            text = base64.b64decode(padded, validate=True).decode()
        except ValueError:
            return ""
    return minified(text)


def merged(standing: str, further: str) -> str:
    """Both challenges in one; where they name the same claim of the same token, *further* counts.

    >>> merged('{"access_token":{"a":1,"b":1}}', '{"access_token":{"b":2},"id_token":{}}')
    '{"access_token":{"a":1,"b":2},"id_token":{}}'
    """
    if not standing or not further:
        return standing or further
    both: dict[str, Any] = json.loads(standing)
    for token, claims in json.loads(further).items():
        known = both.get(token)
        if isinstance(known, dict) and isinstance(claims, dict):
            claims = {**known, **claims}
        both[token] = claims
    return json.dumps(both, separators=(",", ":"))
