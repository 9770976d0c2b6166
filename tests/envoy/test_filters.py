"""What each request passes through: the ext_authz settings of ENVOY.md."""

from __future__ import annotations

import pytest
from envoy.config.core.v3 import config_source_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2

from agent.envoy.filters import (
    EXT_AUTHZ,
    READ_HEADERS,
    asked_with,
    ext_authz,
    router,
)


@pytest.fixture
def settings():
    message = ext_authz_pb2.ExtAuthz()
    assert ext_authz().typed_config.Unpack(message)
    return message


@pytest.mark.must(17)
def test_whatever_goes_wrong_denies_with_503(settings):
    assert settings.failure_mode_allow is False
    assert settings.status_on_error.code == 503
    assert not settings.HasField("filter_enabled")  # it is always on


def test_mutations_are_validated_in_api_version_3(settings):
    assert settings.validate_mutations is True
    assert settings.transport_api_version == config_source_pb2.ApiVersion.V3


def test_no_body_is_buffered_so_that_streams_do_not_hang(settings):
    assert not settings.HasField("with_request_body")


def test_the_route_that_was_decided_on_stays_the_route(settings):
    assert settings.clear_route_cache is False


def test_only_headers_that_the_agent_reads_are_sent_by_exact_name(settings):
    patterns = settings.allowed_headers.patterns
    assert [pattern.exact for pattern in patterns] == list(READ_HEADERS)
    assert "cookie" not in READ_HEADERS
    assert not [name for name in READ_HEADERS if name.startswith(("x-forwarded", "x-auth-"))]


def test_a_route_tells_the_agent_what_envoy_chose():
    message = ext_authz_pb2.ExtAuthzPerRoute()
    assert asked_with(direction="outbound", destination="billing")[EXT_AUTHZ].Unpack(message)
    assert message.check_settings.context_extensions == {
        "direction": "outbound",
        "destination": "billing",
        "headers": "listed",
    }
    assert message.disabled is False


def test_the_router_adds_no_envoy_headers():
    message = router_pb2.Router()
    assert router().typed_config.Unpack(message)
    assert message.suppress_envoy_headers is True
