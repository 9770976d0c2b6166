"""Who speaks with whom on streams that go on? The loop, for one method of that kind.

Nothing is decided on its thread: what is heard goes to a `Listener`, which answers from a thread of
its own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from agent.envoy.lean.loop import Loop
from agent.envoy.lean.messages import Failed
from agent.envoy.lean.peer import Peer
from agent.envoy.lean.talks import TalkingConnection

_UNSENT = 64 << 20  # bytes that a peer leaves unread: a large configuration is sent in one go


class Listener(Protocol):
    """Who hears what a peer says on one stream. Neither method may wait for anybody."""

    def hear(self, message: bytes) -> None:
        """Take the next message."""

    def over(self) -> None:
        """The peer says no more. Called once."""


class Line:
    """Our side of one stream, for any thread. What is said after its end is not heard."""

    def __init__(self, peer: Peer, stream: int, send: Callable[[Peer, int, Said], None]) -> None:
        self._peer = peer
        self._stream = stream
        self._send = send

    def say(self, message: bytes) -> None:
        """Send *message*."""
        self._send(self._peer, self._stream, message)

    def end(self, why: Failed | None = None) -> None:
        """End the stream: well, or because of *why*."""
        self._send(self._peer, self._stream, why)


Said = bytes | Failed | None
Answer = Callable[[Line], Listener]
"""Somebody began a stream: who listens? Called by the loop's thread at the first message."""


class TalkLoop(Loop):
    """Serves the method at *path* on *listener*: *answer* is called for each stream."""

    THREAD = "ads"

    def __init__(self, listener: socket.socket, path: str, answer: Answer, name: str) -> None:
        super().__init__(listener, {}, Executor(), name=name)  # no call is unary: it gets none
        self._path = path
        self._answer = answer
        self._listeners: dict[Peer, dict[int, Listener]] = {}

    def _meet(self, accepted: socket.socket) -> Peer:
        return Peer(accepted, time.monotonic(), TalkingConnection(self._path), _UNSENT)

    def _serve(self, peer: Peer, events: int) -> None:
        super()._serve(peer, events)
        self._hear(peer)

    def _hear(self, peer: Peer) -> None:
        connection = peer.connection
        assert isinstance(connection, TalkingConnection)
        if self._peers.get(peer.socket.fileno()) is not peer:
            return  # it was closed, and its listeners know
        heard, connection.heard = connection.heard, []
        listeners = self._listeners.setdefault(peer, {})
        for stream, message in heard:
            if message is None:
                if listener := listeners.pop(stream, None):
                    listener.over()
                else:  # it ended before anything was said
                    self._send(peer, stream, None)
                continue
            if stream not in listeners:
                listeners[stream] = self._answer(Line(peer, stream, self._send))
            listeners[stream].hear(message)
        if not listeners:
            del self._listeners[peer]

    def _send(self, peer: Peer, stream: int, said: Said) -> None:
        self._finished.append((peer, stream, said))
        self._ring()

    def _deliver(self) -> None:
        touched = set()
        while self._finished:
            peer, stream, said = self._finished.popleft()
            connection = peer.connection
            assert isinstance(connection, TalkingConnection)
            if said is None:
                connection.end(stream)
            elif isinstance(said, Failed):
                connection.fail(stream, said.status, str(said), said.metadata)
            else:
                connection.say(stream, said)
            touched.add(peer)
        for peer in touched:
            if self._peers.get(peer.socket.fileno()) is peer:
                self._write(peer)
                self._hear(peer)

    def _close(self, peer: Peer) -> None:
        super()._close(peer)
        for listener in self._listeners.pop(peer, {}).values():
            listener.over()
