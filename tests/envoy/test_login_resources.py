"""What Envoy is told of browsers, and nothing where nobody signs in; how a redirect is written."""

from __future__ import annotations

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from agent.config.attache import Attache
from agent.envoy import check
from agent.envoy.filters import BROWSER_HEADERS, READ_HEADERS, ext_authz
from agent.envoy.routes import SIGNED_OUT_PATH, route_configurations
from agent.flow.decision import Allow, Redirect
from tests.config.test_login import configuration


def test_envoy_shows_cookies_only_where_people_sign_in():
    plain, browsers = (str(ext_authz(each)) for each in (False, True))
    assert "cookie" in BROWSER_HEADERS
    assert not set(BROWSER_HEADERS) & set(READ_HEADERS)
    assert "sec-fetch-mode" not in plain
    assert "sec-fetch-mode" in browsers


@pytest.mark.parametrize("listed", [True, False])
def test_logout_tokens_have_a_place_only_where_there_is_a_list(listed):
    more = {"revocation": {"file": "/r"}} if listed else {}
    (made,) = route_configurations(Attache.model_validate(configuration(**more)))
    paths = [route.match.path for route in made.virtual_hosts[0].routes]
    assert (SIGNED_OUT_PATH in paths) is listed


def test_a_redirect_is_a_denial_with_every_cookie():
    cookies = (("set-cookie", "a=1"), ("set-cookie", "b=2"))
    made = CheckResponse.FromString(check.redirect(Redirect("/there"), "c-1", cookies))
    assert made.status.code != 0
    assert made.denied_response.status.code == 302
    written = [(o.header.key, o.header.value) for o in made.denied_response.headers]
    assert written[0] == ("location", "/there")
    assert ("cache-control", "no-store") in written
    assert [value for name, value in written if name == "set-cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize("status", [200, 201, 301, 307, 308, 401])
def test_a_redirect_sends_no_form_on_and_is_no_success(status):
    with pytest.raises(ValueError, match="send a form on"):
        check.redirect(Redirect("/there", status=status), "c-1")


def test_a_location_with_a_control_character_is_refused():
    with pytest.raises(ValueError, match="control character"):
        check.redirect(Redirect("/a\r\nset-cookie: x"), "c-1")


def test_an_allow_appends_cookies_to_those_of_the_application():
    made = CheckResponse.FromString(check.allow(Allow.of((), ()), "c-1", (("set-cookie", "a=1"),)))
    (option,) = (
        o for o in made.ok_response.response_headers_to_add if o.header.key == "set-cookie"
    )
    assert (option.append.value, option.append_action) == (True, 0)
