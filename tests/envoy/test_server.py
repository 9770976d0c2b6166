"""How do Envoy's questions reach us? Over a real Unix socket, with a real client."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from agent.envoy.pool import CheckPool
from agent.envoy.server import (
    LONGEST,
    MARGIN,
    Decide,
    Server,
    patience,
    serve_checks,
)
from agent.envoy.unix import SocketInUse

CHECK = "/envoy.service.auth.v3.Authorization/Check"
Serving = Callable[[Path, Decide], Server]


@pytest.fixture
def pool() -> Iterator[CheckPool]:
    pool = CheckPool(4, 4)
    yield pool
    pool.shutdown()


@pytest.fixture(params=["lean", "grpcio"])
def serving(request: pytest.FixtureRequest, pool: CheckPool) -> Iterator[Serving]:
    """Starts servers that end with the test, of both transports."""
    with ExitStack() as running:

        def start(path: Path, decide: Decide) -> Server:
            server = serve_checks(request.param, path, decide, pool)
            running.callback(server.stop, 5)
            return server

        yield start


@contextmanager
def client(path: Path) -> Iterator[Callable[..., bytes]]:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        yield channel.unary_unary(CHECK)


def echo(message: bytes, _seconds: float) -> bytes:
    return message[::-1]


@pytest.mark.parametrize("message", [b"", b"abc", b"\x00\xff" * 10_000], ids=len)
def test_bytes_go_in_and_bytes_come_out(tmp_path: Path, serving: Serving, message: bytes) -> None:
    serving(tmp_path / "s", echo)
    with client(tmp_path / "s") as check:
        assert check(message) == message[::-1]


@pytest.mark.must(42)
def test_a_message_over_a_mebibyte_is_not_even_read(tmp_path: Path, serving: Serving) -> None:
    serving(tmp_path / "s", echo)
    with client(tmp_path / "s") as check, pytest.raises(grpc.RpcError) as refused:
        check(b"x" * ((1 << 20) + 1))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "method", ["/envoy.service.auth.v3.Authorization/Other", "/envoy.service.auth.v2.Auth/Check"]
)
def test_no_other_method_is_served(tmp_path: Path, serving: Serving, method: str) -> None:
    serving(tmp_path / "s", echo)
    with (
        grpc.insecure_channel(f"unix:{tmp_path / 's'}") as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(method)(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.must(17)
def test_a_function_that_breaks_its_word_and_raises_is_no_answer(
    tmp_path: Path, serving: Serving
) -> None:
    def broken(_message: bytes, _seconds: float) -> bytes:
        raise RuntimeError("the token was secret")

    serving(tmp_path / "s", broken)
    with client(tmp_path / "s") as check, pytest.raises(grpc.RpcError) as failed:
        check(b"")
    assert failed.value.code() is grpc.StatusCode.UNKNOWN


@pytest.mark.must(24)
@pytest.mark.parametrize("folder", [".", "run/attache"])
def test_the_socket_is_for_its_owner_and_group(
    tmp_path: Path, serving: Serving, folder: str
) -> None:
    path = tmp_path / folder / "s"
    serving(path, echo)
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_files_made_afterwards_are_not_touched_by_the_sockets_mode(
    tmp_path: Path, serving: Serving
) -> None:
    (tmp_path / "before").mkdir()
    serving(tmp_path / "s", echo)
    (tmp_path / "after").mkdir()
    assert (tmp_path / "after").stat().st_mode == (tmp_path / "before").stat().st_mode


def dead(path: Path) -> None:
    """Leave behind what a killed process does: a socket file that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.must(37)
def test_the_socket_of_a_dead_agent_is_replaced(tmp_path: Path, serving: Serving) -> None:
    dead(tmp_path / "s")
    serving(tmp_path / "s", echo)
    with client(tmp_path / "s") as check:
        assert check(b"ab") == b"ba"


def test_a_second_agent_is_refused_and_the_first_goes_on(tmp_path: Path, serving: Serving) -> None:
    path = tmp_path / "s"
    serving(path, echo)
    inode = path.stat().st_ino
    with pytest.raises(SocketInUse, match=r"choose another agent\.socket"):
        serving(path, lambda *_: b"usurped")
    assert path.stat().st_ino == inode
    with client(path) as check:
        assert check(b"ab") == b"ba"


def test_an_agent_too_busy_to_accept_is_not_taken_for_a_dead_one(
    tmp_path: Path, serving: Serving
) -> None:
    path = tmp_path / "s"
    with ExitStack() as open_:
        listener = open_.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        for _ in range(16):  # fill the backlog, whatever the kernel makes of 0
            waiting = open_.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect(str(path))
            except BlockingIOError:
                break
        else:
            pytest.fail("the backlog does not fill")
        with pytest.raises(SocketInUse):
            serving(path, echo)
        assert path.is_socket()


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path, serving: Serving) -> None:
    path = tmp_path / "client-secret"
    path.write_text("precious")
    with pytest.raises(OSError, match=r"agent\.socket .* is a file"):
        serving(path, echo)
    assert path.read_text() == "precious"


def test_a_folder_in_the_sockets_place_is_left_alone(tmp_path: Path, serving: Serving) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(OSError, match="s"):
        serving(tmp_path / "s", echo)
    assert (tmp_path / "s").is_dir()


def test_a_path_too_long_for_a_socket_is_an_error_and_not_a_crash(
    tmp_path: Path, serving: Serving
) -> None:
    with pytest.raises(OSError, match="too long"):
        serving(tmp_path / ("x" * 120), echo)


class Asked:
    """Remembers how long it was given."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, message: bytes, seconds: float) -> bytes:
        self.seconds.append(seconds)
        return message


#  the client's deadline, the most that we may take, the least that proves it was passed on
DEADLINES = [
    (4.0, 4.0 - MARGIN / 2, 0.0),  # on the wire gRPC rounds it up, by 10 ms at most
    (60.0, LONGEST, LONGEST),
    (None, LONGEST, LONGEST),
]


@pytest.mark.must(39)
@pytest.mark.parametrize(("timeout", "most", "least"), DEADLINES)
def test_the_deadline_of_envoy_is_ours_less_a_margin(
    tmp_path: Path, serving: Serving, timeout: float | None, most: float, least: float
) -> None:
    asked = Asked()
    serving(tmp_path / "s", asked)
    with client(tmp_path / "s") as check:
        check(b"", timeout=timeout)
    (seconds,) = asked.seconds
    assert least <= seconds <= most


@pytest.mark.must(39)
def test_with_less_than_the_margin_left_no_time_is_left_and_never_less_than_none() -> None:
    assert patience(MARGIN / 2) == patience(0.0) == 0.0


def test_checks_are_answered_side_by_side(
    tmp_path: Path, serving: Serving, pool: CheckPool
) -> None:
    """Four threads meet inside `decide`; one after the other they never would."""
    together = threading.Barrier(4)

    def meet(message: bytes, seconds: float) -> bytes:
        with pool.waiting():
            together.wait(seconds)
        return message

    serving(tmp_path / "s", meet)
    with client(tmp_path / "s") as check:
        running = [check.future(bytes([n])) for n in range(4)]  # type: ignore[attr-defined]
        assert [one.result() for one in running] == [bytes([n]) for n in range(4)]


def test_a_server_that_ended_can_be_followed_by_another(tmp_path: Path, serving: Serving) -> None:
    path = tmp_path / "s"
    serving(path, echo).stop(5)
    assert not path.exists()
    serving(path, echo)
    with client(path) as check:
        assert check(b"ab") == b"ba"


@pytest.mark.must(37)
def test_one_that_leaves_does_not_take_its_successors_socket_along(
    tmp_path: Path, serving: Serving
) -> None:
    path = tmp_path / "s"
    first = serving(path, echo)
    path.unlink()  # as if it had left already: nobody answers there
    serving(path, lambda *_: b"successor")
    first.stop(5)
    with client(path) as check:
        assert check(b"ab") == b"successor"
