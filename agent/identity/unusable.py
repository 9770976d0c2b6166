"""Why did a document about an issuer give nothing to trust?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unusable:
    """A document that replaces nothing (SECURITY.md 35).

    `sentence` is for the operator, without a full stop. `retry_after` is what the server asked
    for, in seconds (RFC 9110 §10.2.3); 0 where it asked for nothing. `absent`: the server is there
    and says that the document is not.
    """

    sentence: str
    retry_after: float = 0.0
    absent: bool = False
