"""With whom a route's answers are shared: exact origins, and nothing by accident."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.cors import Cors
from agent.policy.cors import NOBODY, Sharing

UI = "https://ui.example"
VARY = ("vary", "origin")


def sharing(**different: Any) -> Sharing:
    return Sharing(Cors.model_validate({"allowOrigins": [UI, "http://[::1]:8080"]} | different))


def test_an_answer_names_the_origin_and_what_its_script_may_read() -> None:
    assert dict(sharing().answer(UI)) == {
        "access-control-allow-origin": UI,
        "access-control-expose-headers": "www-authenticate, x-correlation-id, retry-after",
        "vary": "origin",
    }
    more = dict(sharing(exposeHeaders=["ETag", "Retry-After"]).answer(UI))
    assert more["access-control-expose-headers"].endswith("retry-after, etag")


OTHERS = [
    "", "null", "*", "https://UI.example", "https://ui.example:443", "https://ui.example.evil.test",
    "http://ui.example", "https://ui.example/", "https://xui.example", "https://ui.example,https://x",
    "ui.example", "https://ui_example", "https://ui.exampl",
]  # fmt: skip


@pytest.mark.must(16, 23)
@pytest.mark.parametrize("origin", OTHERS)
def test_another_origin_learns_nothing_and_caches_are_told_to_tell_them_apart(origin: str) -> None:
    for one in (sharing(), sharing(allowCredentials=True)):
        assert one.answer(origin) == (VARY,)
        assert one.preflight(origin, "GET") is None


@pytest.mark.must(23)
def test_a_preflight_is_granted_for_listed_methods_and_lists_what_may_be_sent() -> None:
    one = sharing(allowMethods=["GET", "PUT"], allowHeaders=["authorization", "x-a"], maxAge="1h")
    assert dict(one.preflight(UI, "PUT") or ()) == {
        "access-control-allow-origin": UI,
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "authorization, x-a",
        "access-control-max-age": "3600",
        "vary": "origin",
    }
    for method in ("POST", "put", "", "PUT,GET", "*"):
        assert one.preflight(UI, method) is None


def test_credentials_are_allowed_only_where_it_is_said() -> None:
    name = "access-control-allow-credentials"
    assert name not in dict(sharing().answer(UI)) | dict(sharing().preflight(UI, "GET") or ())
    loud = sharing(allowCredentials=True)
    for headers in (loud.answer(UI), loud.preflight(UI, "GET") or ()):
        assert dict(headers)[name] == "true"


def test_where_nothing_is_written_nothing_is_said() -> None:
    assert NOBODY.answer(UI) == ()
    assert NOBODY.preflight(UI, "GET") is None


def test_a_route_may_share_with_nobody() -> None:
    one = Sharing(Cors.model_validate({"allowOrigins": []}))
    assert (one.answer(UI), one.preflight(UI, "GET")) == ((VARY,), None)
