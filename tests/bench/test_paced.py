"""The pace is kept whoever waits: requests that nobody answers hold no other one up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bench.load import run
from bench.paced import Paced, ask
from bench.rows import request

FEW, RATE = 12, 200.0
HELD, QUICK = request("/held", {}), request("/quick", {})


class FakeServer(ThreadingHTTPServer):
    """Answers /held with 503, and only once all FEW requests have come; others at once."""

    daemon_threads = True
    request_queue_size = 256  # nobody who connects is told to try again in a second

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.came = 0
        self.connections = 0
        self.lock = threading.Lock()
        self.all = threading.Event()

    def process_request(self, *args: Any) -> None:
        self.connections += 1
        super().process_request(*args)


class _Page(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.came += 1
            if self.server.came == FEW:
                self.server.all.set()
        held = self.path == "/held"
        told = not held or self.server.all.wait(30)
        self.send_response((503 if held else 200) if told else 500)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_request_is_sent_though_none_is_answered(server: FakeServer) -> None:
    seen = ask(server.server_port, [HELD] * FEW, RATE)
    assert (seen.sent, seen.statuses, seen.waiting) == (FEW, {"503": FEW}, FEW)
    assert server.connections == FEW
    assert seen.held > 0


def test_a_connection_on_which_nobody_waits_is_used_again(server: FakeServer) -> None:
    count = 100
    seen = ask(server.server_port, [QUICK] * count, RATE)
    assert seen.statuses == {"200": count}
    assert server.connections < count


def test_a_process_of_its_own_says_what_it_saw(server: FakeServer) -> None:
    with Paced(server.server_port, [HELD, QUICK] * (FEW // 2), RATE) as paced:
        seen = paced.seen()
    assert seen.statuses == {"200": FEW // 2, "503": FEW // 2}


def test_a_pace_that_breaks_is_an_error_and_no_figure() -> None:
    with Paced(1, [QUICK], RATE) as paced, pytest.raises(RuntimeError, match="at a pace"):
        paced.seen()


def test_the_process_is_gone_after_the_block(server: FakeServer) -> None:
    with Paced(server.server_port, [HELD] * (FEW - 1), RATE) as paced:
        pass
    assert paced._process.returncode is not None


def test_a_load_ends_when_its_time_is_over(server: FakeServer) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield QUICK

    load = run(server.server_port, endless(), 2, 1 << 30, seconds=0.05)
    assert load.failed == 0
    assert load.latencies
    assert run(server.server_port, endless(), 2, 5).latencies[4:]


def test_what_is_sent_comes_from_the_standard_input(server: FakeServer) -> None:
    command = [sys.executable, "-m", "bench.paced", str(server.server_port), str(RATE)]
    told = json.dumps([QUICK.decode()] * 2)
    said = subprocess.run(command, input=told, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout.splitlines()[1])["statuses"] == {"200": 2}
