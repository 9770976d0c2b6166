"""A small part of the suite over grpcio, always: the whole of it by ATTACHE_TRANSPORT=grpcio."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from demo import people
from demo.journeys.asking import ask
from demo.stage import Stage

pytestmark = pytest.mark.e2e


@pytest.mark.must(17)
def test_over_grpcio_the_same_is_decided(
    small: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACHE_TRANSPORT", "grpcio")
    stage = small("profile")
    pod, ed = stage.pods["profile"], stage.people["ed"]
    stage.start_idp()
    pod.start()
    pod.come_up()
    assert "(grpcio)" in pod.agent.log.read_text()
    bearer = stage.idp.person(ed, people.SUITE_SCOPE)
    assert ask(pod, "GET", "/me", bearer).get("id") == ed.id
    assert ask(pod, "GET", "/me").status == 401
    broken = people.Bearer(bearer.text[:-4] + "AAAA", {})
    assert ask(pod, "GET", "/me", broken).reason == "invalid_token"
    assert ask(pod, "GET", "/elsewhere", bearer).reason == "no_route"
