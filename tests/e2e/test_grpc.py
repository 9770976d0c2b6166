"""Does gRPC pass through a real Envoy as gRPC: streams, identities, and denials?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from tests.e2e.contract_inbound_tools import Pod, until
from tests.e2e.doors import Provider

pytestmark = pytest.mark.e2e

ROUTES = [
    {"path": "/shop.Orders/{method}", "methods": ["POST"], "require": {"scopes": ["read"]}},
    {"path": "/shop.Admin/Purge", "require": {"scopes": ["purge"]}},
    {"path": "/shop.Health/Check", "anonymous": True},
]
SPOOFED = [
    ("x-auth-subject", "root"),
    ("x-auth-roles", "Admin"),
    ("x-correlation-id", "order-1"),
    ("x-attache-context", "forged"),
]


class Orders(grpc.GenericRpcHandler):
    """Answers every method of every service in the way its name says, and remembers metadata."""

    def __init__(self) -> None:
        self.seen: list[dict[str, list[str]]] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        found: dict[str, list[str]] = {}
        for name, value in handler_call_details.invocation_metadata:
            found.setdefault(name, []).append(str(value))
        self.seen.append(found)
        echo: Callable[..., Any] = lambda messages, _: (b"re:" + one for one in messages)  # noqa: E731
        first: Callable[..., Any] = lambda message, _: b"re:" + message  # noqa: E731
        return {
            "Stream": grpc.stream_stream_rpc_method_handler(echo),
            "List": grpc.unary_stream_rpc_method_handler(
                lambda message, _: iter([message, message])
            ),
            "Sum": grpc.stream_unary_rpc_method_handler(lambda messages, _: b"+".join(messages)),
        }.get(
            handler_call_details.method.rpartition("/")[2],
            grpc.unary_unary_rpc_method_handler(first),
        )


@pytest.fixture(scope="module")
def orders() -> Orders:
    return Orders()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.site.down()


@pytest.fixture(scope="module", params=["auto", "http2"])
def channel(
    request: pytest.FixtureRequest,
    orders: Orders,
    provider: Provider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[grpc.Channel]:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[orders])
    application = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    listener = {"application": application, "protocol": request.param}
    configuration = {"issuers": provider.issuers(), "routes": ROUTES, "listeners": listener}
    with (
        Pod(tmp_path_factory.mktemp("pod"), configuration) as pod,
        grpc.insecure_channel(f"127.0.0.1:{pod.port}") as made,
    ):
        until(lambda: status(made, provider.token())[0] is grpc.StatusCode.OK, "the keys")
        yield made
    server.stop(None).wait()


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def status(
    channel: grpc.Channel, token: str, path: str = "/shop.Orders/Get"
) -> tuple[grpc.StatusCode, Any]:
    """The code of a unary call, and the error where it is one."""
    try:
        channel.unary_unary(path)(b"1", metadata=bearer(token) if token else [], timeout=30)
    except grpc.RpcError as error:
        return error.code(), error
    return grpc.StatusCode.OK, None


@pytest.mark.must(19)
def test_identities_arrive_as_metadata_and_forged_ones_do_not(
    channel: grpc.Channel, provider: Provider, orders: Orders
) -> None:
    token = provider.token(roles=["Editor"])
    call = channel.unary_unary("/shop.Orders/Get")
    assert call(b"7", metadata=[*SPOOFED, *bearer(token)], timeout=30) == b"re:7"
    seen = orders.seen[-1]
    assert (seen["x-auth-subject"], seen["x-auth-roles"]) == (["ann"], ["Editor"])
    assert seen["x-correlation-id"] == ["order-1"]
    assert "forged" not in str(seen)
    channel.unary_unary("/shop.Health/Check")(b"", metadata=SPOOFED, timeout=30)
    assert "x-auth-subject" not in orders.seen[-1]


def test_streams_pass_in_every_direction_and_message_by_message(
    channel: grpc.Channel, provider: Provider
) -> None:
    who = bearer(provider.token())
    listed = channel.unary_stream("/shop.Orders/List")(b"a", metadata=who, timeout=30)
    assert list(listed) == [b"a", b"a"]
    summed = channel.stream_unary("/shop.Orders/Sum")
    assert summed(iter([b"a", b"b"]), metadata=who, timeout=30) == b"a+b"

    answered: list[bytes] = []

    def asking() -> Iterator[bytes]:
        for count in range(3):  # each waits for the answer to the one before: nothing is held back
            until(lambda wanted=count: len(answered) == wanted, "the answer before")
            yield str(count).encode()

    echo = channel.stream_stream("/shop.Orders/Stream")
    for message in echo(asking(), metadata=who, timeout=60):
        answered += [message]
    assert answered == [b"re:0", b"re:1", b"re:2"]


CODES = grpc.StatusCode
DENIALS = [
    ("/shop.Orders/Get", lambda p: "", CODES.UNAUTHENTICATED, "missing_token"),
    ("/shop.Orders/Get", lambda p: "x.y.z", CODES.UNAUTHENTICATED, "malformed_token"),
    ("/shop.Admin/Purge", lambda p: p.token(), CODES.PERMISSION_DENIED, "insufficient_scope"),
    ("/shop.Admin/Drop", lambda p: p.token(), CODES.PERMISSION_DENIED, "no_route"),
    ("/shop.orders/Get", lambda p: p.token(), CODES.INTERNAL, "bad_path"),
    ("/shop.Orders/Get", lambda p: p.stranded(), CODES.UNAVAILABLE, "issuer_unavailable"),
]  # fmt: skip


@pytest.mark.must(18)
@pytest.mark.parametrize(("path", "token", "code", "reason"), DENIALS)
def test_a_denial_is_a_grpc_status_with_its_reason_and_its_id(
    channel: grpc.Channel,
    provider: Provider,
    orders: Orders,
    path: str,
    token: Callable[[Provider], str],
    code: grpc.StatusCode,
    reason: str,
) -> None:
    before = len(orders.seen)
    found, error = status(channel, token(provider), path)
    assert (found, len(orders.seen)) == (code, before)
    metadata = dict([*error.initial_metadata(), *error.trailing_metadata()])
    assert metadata["x-attache-reason"] == reason
    assert error.details().startswith(f"{reason}: ")
    assert metadata["x-correlation-id"] in error.details()
    challenged = code is CODES.UNAUTHENTICATED or reason == "insufficient_scope"
    assert metadata.get("www-authenticate", "").startswith("Bearer") is challenged


def test_a_denied_stream_ends_before_a_message_reaches_the_application(
    channel: grpc.Channel, orders: Orders
) -> None:
    before = len(orders.seen)
    call = channel.stream_stream("/shop.Orders/Stream")(iter([b"a"]), timeout=30)
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert (caught.value.code(), len(orders.seen)) == (CODES.UNAUTHENTICATED, before)
