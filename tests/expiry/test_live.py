"""What does a running agent know that expires or ages?"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.credentials.stored.life import Life, State
from agent.expiry.live import issuer_keys, oldest, refresh_tokens, signing_keys

DAY = 86_400.0
NOW = 100 * DAY


@pytest.mark.parametrize(
    ("life", "ends", "problem"),
    [
        (Life("crm", State.LIVE, 0.0, NOW, 90 * DAY, 180 * DAY, NOW + 45 * DAY), 180 * DAY, ""),
        (Life("crm", State.LIVE, 0.0, NOW, 90 * DAY, None, NOW + 45 * DAY), None, ""),
        # It should have been exercised ten days ago: now its idle end is what counts.
        (
            Life("crm", State.LIVE, 0.0, 20 * DAY, 90 * DAY, None, NOW - 10 * DAY),
            110 * DAY,
            "",
        ),
        (Life("crm", State.IN_DOUBT, 0.0, NOW, None, 180 * DAY), 180 * DAY, ""),
        (Life("crm", State.MISSING), None, "attache login crm"),
        (Life("crm", State.REFUSED), None, "invalid_grant"),
        (Life("crm", State.UNREADABLE), None, "store"),
    ],
)
def test_a_refresh_token_ends_when_only_a_login_helps(
    life: Life, ends: float | None, problem: str
) -> None:
    (fact,) = refresh_tokens([life], NOW)
    assert fact.ends_at == ends
    assert problem in fact.problem
    assert bool(problem) == bool(fact.problem)


def test_keys_have_an_age_and_no_end() -> None:
    rows = [
        {"file": "a.pem", "ageSeconds": 50, "state": "signs"},
        {"file": "b.pem", "ageSeconds": 5, "state": "removed"},
    ]
    (ours,) = signing_keys(Path("/keys"), rows, NOW)
    assert (ours.name, ours.since, ours.ends_at) == ("internalTokens.keys.a.pem", NOW - 50, None)
    names = [fact.name for fact in issuer_keys([("e", "tenant t", 5.0), ("o", "", 6.0)])]
    assert names == ["issuers.e.tenant t", "issuers.o"]


def test_an_issuer_is_as_old_as_its_oldest_document() -> None:
    assert oldest([("e", "x", 90.0), ("e", "y", 40.0), ("o", "", 99.0)], 100.0) == {
        "e": 60.0,
        "o": 1.0,
    }
