"""A short run of `make fuzz`'s frames; that it would notice; and a live loop under them."""

from __future__ import annotations

import contextlib
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from agent.envoy.lean.connection import Connection
from agent.envoy.lean.loop import Loop
from agent.envoy.lean.talks import TalkingConnection
from agent.envoy.unix import listen
from vectors.frames import Frames, split
from vectors.fuzz import Broken

ONCE_THE_SAME = 8


@pytest.mark.must(17, 42)
@pytest.mark.parametrize("seed", [ONCE_THE_SAME, secrets.randbits(32)], ids=["the same", "new"])
def test_broken_frames_break_nothing(seed: int) -> None:
    print(f"python -m vectors.frames --seed {seed}")
    fuzz = Frames(seed)
    several(fuzz)
    assert fuzz.outcomes["went on"] > 50
    assert fuzz.outcomes["ended"] > 50
    assert {"goaway 1", "goaway 6", "goaway 9", "reset 1"} <= fuzz.outcomes.keys()


def several(fuzz: Frames) -> None:
    for _ in range(400):
        fuzz.one()


#  a mistake that somebody could make, and what the fuzzer says of it
MISTAKES = [
    ("_head", ValueError("an error of the library"), "it raised"),
    ("_lose", None, "harmed|held"),
]


@pytest.mark.parametrize(("method", "error", "said"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_it_would_notice(
    monkeypatch: pytest.MonkeyPatch, method: str, error: Exception | None, said: str
) -> None:
    right = getattr(Connection, method)

    def wrong(connection: Connection, *arguments: object) -> None:
        if error is not None:
            raise error
        right(connection, *arguments)
        connection._intake.held += 9 << 20  # as if what it held were never given back

    fuzz = Frames(ONCE_THE_SAME)
    monkeypatch.setattr(Connection, method, wrong)
    with pytest.raises(Broken, match=said):
        several(fuzz)


@pytest.mark.must(17, 42)
def test_broken_frames_break_no_stream_that_goes_on_either() -> None:
    fuzz = Frames(secrets.randbits(32))
    print(f"seed {fuzz.seed}")
    heard = 0
    for _ in range(200):
        connection = TalkingConnection("/envoy.service.auth.v3.Authorization/Check")
        said = fuzz.conversation()[0]
        cut = fuzz.random.randint(1, 20_000)
        for at in range(0, len(said), cut):
            assert connection.receive(said[at : at + cut]) == []  # whatever it is, no call is unary
            for stream, message in connection.heard:
                if message is None:
                    connection.end(stream)
                else:
                    connection.say(stream, message)
            heard += len(connection.heard)
            connection.heard = []
            list(split(connection.outgoing()))
        assert connection.held < 16 << 20
    assert heard > 200


def test_beside_broken_connections_a_client_is_answered_as_ever(tmp_path: Path) -> None:
    fuzz = Frames(ONCE_THE_SAME)
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        method = "/envoy.service.auth.v3.Authorization/Check"
        loop = Loop(listen(tmp_path / "s"), {method: lambda message, _seconds: message[::-1]}, pool)
        loop.start()
        stack.callback(loop.stop, 5)
        channel = stack.enter_context(grpc.insecure_channel(f"unix:{tmp_path / 's'}"))
        check = channel.unary_unary(method)
        for n in range(100):
            with socket.socket(socket.AF_UNIX) as one, contextlib.suppress(OSError):
                one.settimeout(10)
                one.connect(str(tmp_path / "s"))
                one.sendall(fuzz.conversation()[0])
            message = b"call %d" % n
            assert check(message, timeout=10) == message[::-1]
