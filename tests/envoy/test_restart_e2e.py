"""A successor takes the socket while its predecessor still answers: no request notices.

Envoy is told to try nothing twice here, so that what saves the requests is the transport: two-step
GOAWAY (RFC 9113 §6.8), and a socket that the one who leaves does not take along.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from agent.envoy.pool import CheckPool
from agent.envoy.server import Server, serve_checks
from bench import envoys
from bench.process import envoy, free_port, listening
from demo.load import Load

pytestmark = pytest.mark.e2e

ALLOW = b"\x0a\x00\x1a\x00"  # CheckResponse: status OK, an ok_response that changes nothing
TRIES = int(os.environ.get("ATTACHE_RESTARTS", "5"))


@pytest.fixture
def asking(envoy_binary: str, place: Path) -> Iterator[int]:
    """The port of an Envoy that asks at `place/s`, once for each request."""
    application, port = free_port(), free_port()
    with ExitStack() as stack:
        for config, at in (
            (envoys.application(application), application),
            (envoys.noop(port, application, place / "s"), port),
        ):
            process = stack.enter_context(envoy(Path(envoy_binary), config, place, f"envoy-{at}"))
            process.wait_until(lambda at=at: listening(at), "Envoy")  # type: ignore[misc]
        yield port


@pytest.mark.must(37)
def test_a_successor_takes_over_under_load_and_no_request_fails(asking: int, place: Path) -> None:
    """grpcio's server loses some here, which Envoy's retries would mend (agent_cluster.py)."""
    path, asked = place / "s", [0]
    pool = CheckPool(4, 8)

    def serve(number: int) -> Server:
        def decide(message: bytes, seconds: float) -> bytes:
            asked[0] = number
            with pool.waiting():  # a miss: some are always under way
                threading.Event().wait(min(seconds, 0.005))
            return ALLOW

        return serve_checks("lean", path, decide, pool)

    server = serve(0)
    url = f"http://127.0.0.1:{asking}/api"
    requests.get(url, timeout=10).raise_for_status()
    with Load(lambda session: session.get(url, timeout=30), threads=8) as load:
        for number in range(1, TRIES + 1):
            path.unlink()  # the successor starts although the predecessor still answers
            successor = serve(number)
            server.stop(10)
            server = successor
            load.more(60)
            assert asked == [number]
    server.stop(1)
    pool.shutdown()
    assert set(load.statuses) == {200}, (load.statuses, load.examples)
    assert load.total > TRIES * 60
