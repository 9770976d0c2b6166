"""Which requests Envoy answers by a gRPC status."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.flow.request import Request


@pytest.mark.parametrize(
    ("kind", "grpc"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc+json", True),
        # Envoy answers these as HTTP
        ("application/grpc-web", False),
        ("application/grpc-web+proto", False),
        ("application/grpcx", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_a_request_is_grpc_where_envoy_says_so(
    asks: Callable[..., Request], kind: str, grpc: bool
) -> None:
    assert asks({"content-type": kind}).is_grpc is grpc
