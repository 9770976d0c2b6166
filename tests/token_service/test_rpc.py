"""How is the TokenService asked by gRPC? Over a real Unix socket, with a real client."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.envoy.pool import CheckPool
from agent.envoy.unix import SocketInUse
from agent.token_service.peers import Peers
from agent.token_service.rpc import GET_TOKEN, LONGEST, VALIDATE, RpcServer, patience
from agent.token_service.token_service_pb2 import (
    GetTokenRequest,
    GetTokenResponse,
    ValidateRequest,
)


@pytest.fixture
def path(tmp_path: Path, judge: Any) -> Iterator[Path]:
    place = tmp_path / "t.sock"
    pool = CheckPool(2, 2)
    server = RpcServer(place, Peers(place, ()), judge, pool)
    yield place
    server.stop(5)
    pool.shutdown()


@pytest.fixture
def ask(path: Path) -> Iterator[Any]:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        call = channel.unary_unary(
            GET_TOKEN,
            request_serializer=GetTokenRequest.SerializeToString,
            response_deserializer=GetTokenResponse.FromString,
        )

        def asked(name: str, metadata: tuple[Any, ...] = (), **request: Any) -> GetTokenResponse:
            message = GetTokenRequest(destination=name, **request)
            answer: GetTokenResponse = call(message, timeout=5, metadata=metadata)
            return answer

        yield asked


def test_an_answer_names_the_header_and_the_bare_credential(ask: Any, judge: Any) -> None:
    got = ask("graph")
    assert (got.header, got.value, got.token) == ("authorization", "Bearer t.o.ken", "t.o.ken")
    assert (got.expires_at, got.acts_as, got.correlation_id) == (3000, "app", "txn-1")
    got = ask("key", as_application=True)
    assert (got.header, got.value, got.token) == ("x-api-key", "k y", "k y")
    ((first, seconds), (second, _)) = judge.asked
    assert (first.as_application, second.as_application) == (False, True)
    assert not first.needs_caller
    assert 4 < seconds < 5


def test_headers_and_metadata_are_read_where_they_link_a_call(ask: Any, judge: Any) -> None:
    ask(
        "graph",
        (("traceparent", "from-metadata"), ("baggage", "b"), ("x-other", "x")),
        headers={"TraceParent": "from-headers", "Authorization": "Bearer a", "Cookie": "c"},
    )
    ask("graph", (), headers={"Authorization": "Bearer a", "authorization": "Bearer b"})
    assert judge.asked[0][0].headers == {
        "traceparent": "from-headers",
        "baggage": "b",
        "authorization": "Bearer a",
    }
    assert sorted(judge.asked[1][0].headers["authorization"].split(",")) == ["Bearer a", "Bearer b"]


@pytest.mark.parametrize("name", ["denied", "slow"])
def test_what_would_wait_is_answered_by_another_thread(ask: Any, judge: Any, name: str) -> None:
    with suppress(grpc.RpcError):
        ask(name)
    assert judge.threads == (["checks", "check"] if name == "slow" else ["checks"])


@pytest.mark.must(18)
def test_a_refusal_is_a_status_with_its_metadata(ask: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask("denied")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.details() == "consent_required: Zoë must consent (correlation id txn-1)"
    metadata = dict(caught.value.trailing_metadata())
    assert metadata["x-attache-reason"] == "consent_required"
    assert (metadata["x-correlation-id"], metadata["retry-after"]) == ("txn-1", "7")


@pytest.mark.must(17)
def test_what_breaks_says_nothing_of_why(ask: Any, path: Path) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask("broken")
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert "secret" not in (caught.value.details() or "")
    with grpc.insecure_channel(f"unix:{path}") as channel:
        for method, message, code in (
            (GET_TOKEN, b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
            (VALIDATE, ValidateRequest().SerializeToString(), grpc.StatusCode.UNAUTHENTICATED),
            ("/attache.tokens.v1.TokenService/Other", b"", grpc.StatusCode.UNIMPLEMENTED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(method)(message, timeout=5)
            assert caught.value.code() is code


@pytest.mark.must(24)
def test_who_is_not_let_in_is_cut_off_before_a_byte(tmp_path: Path, judge: Any) -> None:
    place = tmp_path / "u.sock"
    pool = CheckPool(2, 2)
    server = RpcServer(place, Peers(place, (1,), lambda _: 2), judge, pool)
    assert stat.S_IMODE(place.stat().st_mode) == 0o660
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(5)
            peer.connect(str(place))
            with suppress(ConnectionError):
                assert peer.recv(1) == b""
    server.stop(5)
    pool.shutdown()
    assert judge.asked == []


def test_the_socket_is_our_own_users_and_one_agents(path: Path, judge: Any) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(SocketInUse, match=r"tokenService\.socket"):
        RpcServer(path, Peers(path, ()), judge, CheckPool(1, 1))


@pytest.mark.must(39)
def test_an_answer_comes_before_its_asker_leaves() -> None:
    assert patience(None) == LONGEST
    assert patience(100.0) == LONGEST
    assert 0 < patience(2.0) < 2.0
    assert patience(0.01) == 0.0
