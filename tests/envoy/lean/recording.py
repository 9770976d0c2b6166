"""What does a real Envoy say to its ext_authz server? `python -m tests.envoy.lean.recording`.

Writes what Envoy sent on each connection to `vectors/recorded`, one file for each transport: told
that there is no header table Envoy writes other blocks than with one. The requests are made up;
nothing in the files is secret.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.envoy.pool import CheckPool
from agent.envoy.server import Transport, serve_checks
from agent.envoy.unix import listen
from bench import envoys
from bench.process import envoy, free_port, listening, require_envoy

FOLDER = Path(__file__).parents[3] / "vectors" / "recorded"
PATIENCE = 30.0
ALLOW = b"\x0a\x00\x1a\x00"  # CheckResponse: status OK, an ok_response that changes nothing


class Tap:
    """Listens at *path*, passes everything on to *behind*, and keeps what the client said."""

    def __init__(self, path: Path, behind: Path) -> None:
        self._behind = behind
        self._listener = listen(path)
        self.said: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                front, _ = self._listener.accept()
                back = socket.socket(socket.AF_UNIX)
                back.connect(str(self._behind))
                said = bytearray()
                self.said.append(said)
                for source, sink, kept in ((front, back, said), (back, front, bytearray())):
                    copy = threading.Thread(target=_copy, args=(source, sink, kept), daemon=True)
                    copy.start()


def _copy(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            kept += data
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def tapped(
    transport: Transport, folder: Path, asked: threading.Event, slow: threading.Event
) -> Iterator[tuple[Tap, int]]:
    """A tap before our server of this *transport*, and the port of an Envoy that asks through it.

    A request whose path has `slow` in it sets *asked*, and is answered when *slow* is set.
    """
    with ExitStack() as stack:
        pool = CheckPool(4, 8)
        stack.callback(pool.shutdown)

        def decide(message: bytes, _seconds: float) -> bytes:
            if b"/slow" in message:
                with pool.waiting():
                    asked.set()
                    slow.wait(PATIENCE)
            return ALLOW

        server = serve_checks(transport, folder / "real.sock", decide, pool)
        stack.callback(server.stop, 2)
        stack.callback(slow.set)
        tap = Tap(folder / "tap.sock", folder / "real.sock")
        stack.callback(tap.close)
        application, port = free_port(), free_port()
        binary = require_envoy()
        for config, at in (
            (envoys.application(application), application),
            (envoys.noop(port, application, folder / "tap.sock"), port),
        ):
            process = stack.enter_context(envoy(binary, config, folder, f"envoy-{at}"))
            process.wait_until(lambda at=at: listening(at), "Envoy")  # type: ignore[misc]
        yield tap, port


def ask(
    port: int, path: str = "/api", *headers: str, leave: threading.Event | None = None
) -> bytes:
    """One request; the client goes away as soon as *leave* is set, before it is answered."""
    lines = (f"GET {path} HTTP/1.1", "host: a.test", "connection: close", *headers)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if leave:
            assert leave.wait(PATIENCE), "Envoy has not asked"
            return b""
        answer = b""
        while data := connection.recv(65_536):
            answer += data
        return answer


def record(transport: Transport, folder: Path) -> list[bytes]:
    """What Envoy says for requests that are small and large, alike and not, and one cancelled."""
    asked, slow = threading.Event(), threading.Event()
    with tapped(transport, folder, asked, slow) as (tap, port):
        for n in range(6):
            assert b" 200 " in ask(port, f"/api/{n}", f"x-team: {'blue' if n % 2 else 'red'}")
        trace = "traceparent: 00-{:032x}-00000000000000{:02x}-01"
        for n in (1, 2, 3):
            assert b" 200 " in ask(port, "/traced", trace.format(n, n))
        for size in (1_000, 15_000, 40_000):
            assert b" 200 " in ask(port, "/large", f"x-large: {'y' * size}")
        ask(port, "/slow", leave=asked)
        many = [threading.Thread(target=ask, args=(port, f"/many/{n}")) for n in range(12)]
        for one in many:
            one.start()
        for one in many:
            one.join(PATIENCE)
        slow.set()
        assert b" 200 " in ask(port, "/last")
        return [bytes(said) for said in tap.said]


def main() -> None:
    """Write one file for each transport: the longest conversation that was had."""
    FOLDER.mkdir(exist_ok=True)
    transports: tuple[Transport, ...] = ("lean", "grpcio")
    for transport in transports:
        with tempfile.TemporaryDirectory(prefix="tap-") as folder:
            conversations = record(transport, Path(folder))
        file = FOLDER / f"envoy-to-{transport}.bin"
        file.write_bytes(max(conversations, key=len))
        print(f"{file}: {file.stat().st_size} bytes of {len(conversations)} connections")


if __name__ == "__main__":
    main()
