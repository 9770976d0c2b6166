"""When a session is over, when its token is due, and that a cookie gives back what it took."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.config.login import Sessions
from agent.identity.revocation.compiled import Revocations
from agent.identity.revocation.entry import Entry
from agent.login.session import Session, due, expired, over, unpacked, worth_noting

RULES = Sessions.model_validate({"idle": "10m", "absolute": "1h"})
ANN = Session(
    id="s1",
    login="gateway",
    begun=1000.0,
    seen=1000.0,
    generation=0,
    access="a.b.c",
    refresh="r",
    id_token="d.e.f",
    expires_at=1300.0,
    refresh_at=1270.0,
    issuer="https://login.example",
    issuer_name="people",
    issuer_kind="oidc",
    subject="ann",
    sub="pairwise-ann",
    tenant="t1",
    provider_session="p1",
    client="gateway",
)


def test_a_cookie_gives_back_what_it_took():
    assert unpacked(ANN.packed()) == ANN
    assert "a.b.c" not in repr(ANN)


@pytest.mark.parametrize(
    ("seen", "now", "ended"),
    [
        (1000, 1000, False),
        (1000, 1599, False),
        (1000, 1600, True),
        (4500, 4599, False),
        (4500, 4600, True),
    ],
)
def test_a_session_ends_when_it_is_idle_and_when_it_is_old(seen, now, ended):
    assert (over(replace(ANN, seen=seen), RULES, now) is not None) is ended


def test_its_use_is_noted_now_and_then():
    assert [worth_noting(ANN, RULES, now) for now in (1000, 1049, 1050)] == [False, False, True]


def test_a_token_is_due_before_it_expires_if_it_can_be_renewed():
    assert [due(ANN, now) for now in (1269, 1270, 1300)] == [False, True, True]
    assert not due(replace(ANN, refresh=""), 1300)
    assert [expired(ANN, now) for now in (1299, 1300)] == [False, True]


ENTRIES = [
    ({"token_id": "s1"}, True),
    ({"session": "p1"}, True),
    ({"session": "p1", "issuer": "people"}, True),
    ({"session": "p1", "issuer": "others"}, False),
    ({"subject": "ann"}, True),
    ({"subject": "pairwise-ann"}, True),
    ({"subject": "ann", "issued_before": 1000.5}, True),
    ({"subject": "ann", "issued_before": 1000.0}, False),
    ({"tenant": "t1"}, True),
    ({"session": "p2"}, False),
]


@pytest.mark.parametrize(("entry", "ends"), ENTRIES)
def test_a_revocation_ends_a_session_and_not_only_its_token(entry, ends):
    found = Revocations([Entry(**entry)]).find(ANN.principal, 1100.0)
    assert (found is not None) is ends
