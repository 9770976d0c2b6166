"""When the caller's own token travels on, and that nothing else is sent as nothing."""

from __future__ import annotations

import pytest

from agent.context.caller import Caller
from agent.credentials.credential import Injection
from agent.credentials.forward import Forward
from agent.credentials.none import NoCredential
from agent.credentials.subject import Rule
from agent.errors import Denial, Reason
from agent.identity.principal import Kind
from agent.moment import Moment
from tests.credentials.conftest import NOW, anonymous, app, caller

MOMENT = Moment(NOW, 5.0)


@pytest.mark.parametrize(
    ("subject", "who", "wanted"),
    [
        ("user", caller("theirs"), Kind.USER),
        ("either", caller("theirs"), Kind.USER),
        ("either", app(token="theirs"), Kind.APP),
        ("user", app(), Reason.USER_REQUIRED),
        ("user", None, Reason.NO_SUBJECT),
        ("either", None, Reason.NO_SUBJECT),
        ("either", anonymous(), Reason.NO_SUBJECT),
        ("user", caller(expires_at=NOW), Reason.EXPIRED_TOKEN),
        ("either", app(expires_at=NOW - 1), Reason.EXPIRED_TOKEN),
    ],
)
def test_only_a_valid_token_of_the_right_kind_is_forwarded(
    subject: Rule, who: Caller | None, wanted: Kind | Reason
) -> None:
    got = Forward(subject).obtain(who, MOMENT)
    if isinstance(got, Denial):
        assert got.reason is wanted
    else:
        assert got.headers == (("authorization", "Bearer theirs"),)
        assert (got.acts_as, got.expires_at) == (wanted, NOW + 3600)


@pytest.mark.parametrize("who", [caller(), app(), anonymous(), None])
def test_none_sends_nothing_whoever_calls(who: Caller | None) -> None:
    assert NoCredential().obtain(who, MOMENT) == Injection((), None)
