"""Throw broken HTTP/2 at the lean transport's core for so many seconds: `make fuzz SECONDS=600`.

What a real Envoy said is taken apart into frames, changed by chance, and said to a `Connection`.
What must hold: nothing is raised; only whole frames come back, and nothing after a goodbye by
error; what is held is bounded; what was said on a stream that chance left alone is answered as if
nothing had happened, unless the connection ended; and memory levels off.
"""

from __future__ import annotations

import argparse
import secrets
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from agent.envoy.lean.connection import Connection
from agent.envoy.lean.messages import Status
from vectors.fuzz import Broken, rss_mb

RECORDED = Path(__file__).parent / "recorded"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9

_HELD = 16 << 20  # bytes that one connection may hold, whatever it hears
_WITH_TABLE = 3  # streams that Envoy may open before it has read our SETTINGS
_REST = 2_000  # conversations after which memory is looked at


@dataclass(frozen=True)
class Frame:
    """One frame as it is said. `length` lies about its payload where it is set."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    length: int | None = None

    def bytes(self) -> bytes:
        """As it goes over the wire."""
        size = len(self.payload) if self.length is None else self.length
        head = struct.pack(">L", size)[1:] + struct.pack(">BBL", self.kind, self.flags, self.stream)
        return head + self.payload


def split(data: bytes) -> Iterator[Frame]:
    """The whole frames in *data*."""
    at = 0
    while at + 9 <= len(data):
        size = int.from_bytes(data[at : at + 3])
        kind, flags, stream = struct.unpack_from(">BBL", data, at + 3)
        at += 9 + size
        if at <= len(data):
            yield Frame(kind, flags, stream, data[at - size : at])


def conversations() -> list[list[Frame]]:
    """What a real Envoy said: to a server without a header table, and to one with it."""
    files = [RECORDED / f"envoy-to-{transport}.bin" for transport in ("lean", "grpcio")]
    return [list(split(file.read_bytes().removeprefix(PREFACE))) for file in files]


def bent(random: Random, frame: Frame) -> Frame:
    """*frame*, another one by chance, on the same stream."""
    payload = bytearray(frame.payload)
    match random.randrange(7):
        case 0:  # a bit here and there
            for _ in range(random.randint(1, 4)):
                if payload:
                    payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
        case 1:
            return replace(frame, flags=frame.flags ^ 1 << random.randrange(8))
        case 2:
            return replace(frame, kind=random.choice((*range(12), 0xFA)))
        case 3:
            del payload[random.randint(0, len(payload)) :]
        case 4:
            payload += random.randbytes(random.choice((1, 4, 100, 20_000)))
        case 5:
            at = random.randint(0, len(payload))
            payload[at:at] = random.randbytes(random.randint(1, 9))
        case _:
            payload = bytearray(random.randbytes(random.choice((0, 4, 5, 6, 8, 40))))
    return replace(frame, payload=bytes(payload))


def _flip(random: Random, frames: list[Frame]) -> None:
    at = random.randrange(len(frames))
    frames[at] = bent(random, frames[at])


def _drop(random: Random, frames: list[Frame]) -> None:
    del frames[random.randrange(len(frames))]


def _again(random: Random, frames: list[Frame]) -> None:
    times = random.choice((1, 1, 2, 300))
    frames[(at := random.randrange(len(frames))) : at] = [random.choice(frames)] * times


def _swap(random: Random, frames: list[Frame]) -> None:
    one, other = random.randrange(len(frames)), random.randrange(len(frames))
    frames[one], frames[other] = frames[other], frames[one]


def _elsewhere(random: Random, frames: list[Frame]) -> None:
    at = random.randrange(len(frames))
    stream = random.choice((0, 1, 2, 3, 2**31 - 1, frames[at].stream + 2, random.getrandbits(32)))
    frames[at] = replace(frames[at], stream=stream)


def _lie(random: Random, frames: list[Frame]) -> None:
    at = random.randrange(len(frames))
    frames[at] = replace(frames[at], length=random.choice((0, 1, 16_384, 16_385, 2**24 - 1)))


_CHANGES: tuple[Callable[[Random, list[Frame]], None], ...] = (
    *(_flip, _flip, _flip),
    *(_drop, _again, _swap, _elsewhere, _lie),
)


@dataclass
class Frames:
    """One run; *seed* makes all of its chance."""

    seed: int
    done: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self._recorded = conversations()
        plain = PREFACE + b"".join(frame.bytes() for frame in self._recorded[0])
        self._right = {call.stream: call.message for call in Connection().receive(plain)}

    def one(self) -> None:
        """Have one conversation, and look whether everything held."""
        said, right = self.conversation()
        try:
            self._listen(said, right)
        except Broken:
            raise
        except Exception as error:
            raise self._broken(f"it raised {error!r}", said) from error
        self.done += 1

    def conversation(self) -> tuple[bytes, dict[int, bytes]]:
        """What is said, and the messages by stream that must come in unless it ends first."""
        random = self.random
        which = random.randrange(len(self._recorded))
        frames = list(self._recorded[which])
        if which == 0 and random.random() < 0.8:
            # Beyond the first, which still had a table: there one block changes another's meaning
            streams = sorted({frame.stream for frame in frames if frame.kind == HEADERS})
            victim = random.choice(streams[_WITH_TABLE:])
            frames = self._against(victim, frames)
            others = {n: message for n, message in self._right.items() if n != victim}
            return PREFACE + b"".join(frame.bytes() for frame in frames), others
        for _ in range(random.choice((1, 1, 2, 5, 20))):
            if frames:
                random.choice(_CHANGES)(random, frames)
        said = PREFACE + b"".join(frame.bytes() for frame in frames)
        return said[: random.randint(0, len(said))] if random.random() < 0.1 else said, {}

    def _against(self, victim: int, frames: list[Frame]) -> list[Frame]:
        """*frames*, but those of stream *victim* changed."""
        changed: list[Frame] = []
        for frame in frames:
            if frame.stream != victim or self.random.random() < 0.3:
                changed.append(frame)
                continue
            changed.extend([bent(self.random, frame)] * self.random.choice((0, 1, 1, 1, 2)))
        return changed

    def _listen(self, said: bytes, right: dict[int, bytes]) -> None:
        random, connection = self.random, Connection()
        heard: dict[int, bytes] = {}
        waiting: list[int] = []
        back = bytearray()
        at = 0
        while at < len(said):
            size = random.choice((1, 9, 100, 5_000, len(said)))
            for call in connection.receive(said[at : at + size]):
                if call.stream in heard:
                    raise self._broken(f"stream {call.stream} called twice", said)
                heard[call.stream] = call.message
                waiting.append(call.stream)
            at += size
            self._react(connection, waiting)
            back += connection.outgoing()
            if connection.held > _HELD:
                raise self._broken(f"{connection.held} bytes are held", said)
        for stream in waiting:
            connection.answer(stream, b"")
        back += connection.outgoing()
        self._judge(bytes(back), connection, said)
        harmed = [n for n, message in right.items() if heard.get(n) != message]
        if harmed and not connection.closing:
            raise self._broken(f"the streams {harmed} were harmed by another", said)
        self.outcomes["ended" if connection.closing else "went on"] += 1
        self.outcomes["calls"] += len(heard)

    def _react(self, connection: Connection, waiting: list[int]) -> None:
        """What a server does meanwhile, in whatever order."""
        random = self.random
        while waiting and random.random() < 0.7:
            stream = waiting.pop(random.randrange(len(waiting)))
            if random.random() < 0.9:
                connection.answer(stream, bytes(random.choice((0, 10, 3_000, 70_000))))
            else:
                connection.fail(stream, Status.UNAVAILABLE, "by chance")
        if random.random() < 0.05:
            connection.tick()

    def _judge(self, back: bytes, connection: Connection, said: bytes) -> None:
        """Only whole frames came back, no stream was answered twice, an error was the last word."""
        frames = list(split(back))
        if b"".join(frame.bytes() for frame in frames) != back:
            raise self._broken("what came back are not whole frames", said)
        ended: set[int] = set()
        for number, frame in enumerate(frames):
            if frame.kind in (DATA, HEADERS):
                if frame.stream in ended:
                    raise self._broken(f"stream {frame.stream} went on after its end", said)
                if frame.flags & 1:
                    ended.add(frame.stream)
            elif frame.kind == GOAWAY and frame.payload[4:] != bytes(4):
                if number + 1 != len(frames) or not connection.closing:
                    raise self._broken("something came after a goodbye by error", said)
                self.outcomes[f"goaway {frame.payload[7]}"] += 1
            elif frame.kind == RST:
                self.outcomes[f"reset {frame.payload[3]}"] += 1

    def _broken(self, why: str, said: bytes) -> Broken:
        return Broken(f"{why}; seed {self.seed}, conversation {self.done}: {said.hex()}")


def main() -> int:
    """Run until the time is over, or something breaks."""
    parser = argparse.ArgumentParser(prog="frames", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None, help="to see a failure again")
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    fuzz, memory = Frames(seed), []
    end = time.monotonic() + options.seconds
    try:
        while time.monotonic() < end:
            fuzz.one()
            if fuzz.done % _REST == 0:
                memory.append(rss_mb())
                print(f"{fuzz.done} conversations, {memory[-1]:.0f} MB", flush=True)
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    print(f"{fuzz.done} conversations: {dict(fuzz.outcomes.most_common())}")
    half = len(memory) // 2
    if half > 2 and memory[-1] > memory[half] * 1.2:
        print(f"memory grew in the second half: {memory[half]:.0f} to {memory[-1]:.0f} MB")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
