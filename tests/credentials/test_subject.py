"""The subject rule, as a table."""

from __future__ import annotations

import pytest

from agent.context.caller import Caller
from agent.credentials.subject import Rule, acting_as, expired
from agent.errors import Denial, Reason
from agent.identity.principal import Kind
from tests.credentials.conftest import NOW, anonymous, app, caller

TABLE: list[tuple[Rule, Caller | None, Kind | Reason]] = [
    ("user", caller(), Kind.USER),
    ("user", app(), Reason.USER_REQUIRED),
    ("user", anonymous(), Reason.NO_SUBJECT),
    ("user", None, Reason.NO_SUBJECT),
    ("app", caller(), Kind.APP),
    ("app", app(), Kind.APP),
    ("app", anonymous(), Kind.APP),
    ("app", None, Kind.APP),
    ("either", caller(), Kind.USER),
    ("either", app(), Kind.APP),
    ("either", anonymous(), Kind.APP),
    ("either", None, Kind.APP),
]


@pytest.mark.must(28)
@pytest.mark.parametrize(("rule", "who", "wanted"), TABLE)
def test_the_rule_and_the_caller_decide_as_whom_we_act(
    rule: Rule, who: Caller | None, wanted: Kind | Reason
) -> None:
    got = acting_as(rule, who)
    assert (got.reason if isinstance(got, Denial) else got) == wanted


def test_both_refusals_are_403_for_a_new_token_would_not_help() -> None:
    for who in (None, app()):
        got = acting_as("user", who)
        assert isinstance(got, Denial)
        assert got.status == 403


@pytest.mark.parametrize(("left", "alive"), [(1.0, True), (0.0, False), (-1.0, False)])
def test_a_token_is_expired_at_its_very_second(left: float, alive: bool) -> None:
    verified = caller(expires_at=NOW + left).verified
    assert verified
    assert (expired(verified, NOW) is None) == alive
