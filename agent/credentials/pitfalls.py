"""Which token is given, and will be refused all the same? What only its receiver would tell us."""

from __future__ import annotations

import base64
import json
from binascii import Error

from agent.credentials.answers import Asked


def without_role(token: str, asked: Asked) -> str:
    """What the operator does about an application's token of Entra that holds no app role.

    Entra gives such a token to every application (ENTRA.md §2), and the API answers it by 403,
    which nobody tells us. Empty where there is nothing to say. The token is read, never trusted.
    """
    if asked.for_user or asked.server != "Entra":
        return ""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, Error, RecursionError):
        return ""
    if not isinstance(claims, dict) or "iss" not in claims or claims.get("roles"):
        return ""
    return (
        f"destination '{asked.destination}': Entra's token for '{' '.join(asked.scopes)}' holds no "
        f"app role, and most APIs answer such a token by 403. Assign an application permission of "
        f"that API to client '{asked.client}', and have an administrator consent to it; delegated "
        "permissions do not count here."
    )
