"""Which denials point at a mistake in Envoy's configuration, and which are just denials."""

from __future__ import annotations

from typing import Any

import pytest

from agent.envoy.mistakes import mistake
from agent.errors import Denial, Reason
from agent.flow.request import Direction, Request

SHOWN = {":path": "/"}
IN, OUT = Direction.INBOUND, Direction.OUTBOUND
MISSING, NOBODY, NOT_ALLOWED = (
    Reason.MISSING_TOKEN,
    Reason.NO_SUBJECT,
    Reason.DESTINATION_NOT_ALLOWED,
)

ROWS: list[tuple[Direction, Reason, dict[str, Any], str]] = [
    (IN, MISSING, {}, "allowed_headers"),
    (IN, MISSING, {"headers": SHOWN}, ""),
    (IN, MISSING, {"headers_listed": True}, ""),
    (IN, Reason.NO_ROUTE, {}, ""),
    (OUT, NOBODY, {}, "allowed_headers"),
    (OUT, NOBODY, {"headers_listed": True}, ""),
    (OUT, NOT_ALLOWED, {"destination": "audi"}, "the destination 'audi'"),
    (OUT, NOT_ALLOWED, {}, "destination: NAME"),
    (OUT, NOT_ALLOWED, {"unmatched": True}, ""),
    (OUT, NOT_ALLOWED, {"destination": "audit"}, ""),
]


@pytest.mark.parametrize(("direction", "reason", "said", "told"), ROWS)
def test_a_denial_is_explained_by_a_mistake_where_one_shows(
    direction: Direction, reason: Reason, said: dict[str, Any], told: str
) -> None:
    request = Request(direction, "GET", "/", "shop", **({"headers": {}} | said))
    sentence = mistake(request, Denial(reason, "…"), {"audit"})
    assert told in sentence
    assert bool(told) == bool(sentence)
