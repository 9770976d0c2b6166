"""Browser: Ada signs in at the gateway and uses the board (make demo, journey 6)."""

from __future__ import annotations

import pytest

from demo.journeys import browser
from demo.stage import Stage
from tests.e2e.browser_world import chromium

pytestmark = pytest.mark.e2e


def test_every_check_of_the_journey_holds(stage: Stage) -> None:
    found = browser.run(stage)
    assert len(found.checks) >= 11
    assert [check for check in found.checks if not check.ok] == []


def test_a_real_browser_sees_the_badges_of_a_task(stage: Stage) -> None:
    ada, home = stage.people["ada"], f"{stage.pods['tasks'].page}/"
    with chromium() as profile:
        page = profile().new_page()
        page.goto(home)
        page.click("#enter")
        page.fill("input[name=username]", ada.username)
        page.fill("input[name=password]", ada.password)
        page.click("button")
        page.wait_for_url(f"{home}board")
        assert ada.name in page.inner_text("#who")
        page.fill("#title", "a pot of tea")
        page.click("button")
        page.wait_for_selector("text=a pot of tea")
        shown = page.inner_text("#tasks li:first-child")
        assert shown.split("\n") == ["a pot of tea", "Notify: sent", "Audit: logged"]
        page.click("#leave")
        page.wait_for_url(home)
        assert page.context.cookies(home) == []
