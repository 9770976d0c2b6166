"""How do bytes reach the core, and answers the peer? One epoll thread, and a pool for what waits.

A decision that needs nobody else is made right here, and all answers to what one read brought
leave in one write. One that would block is made again by the pool and comes back by an eventfd.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from agent.envoy.lean.messages import Failed, Status
from agent.envoy.lean.peer import Peer
from agent.envoy.lean.streams import Call
from agent.moment import WouldBlock

log = logging.getLogger("attache.server")

Method = Callable[[bytes, float | None], bytes]
"""A request's message and the seconds that its caller gives it (None: no limit) → the answer.

It may raise `Failed`. Called by the loop itself it may raise `WouldBlock`; it is then called again
by another thread.
"""

Admit = Callable[[socket.socket], bool]
"""Whether the peer of a connection that was just accepted may ask anything."""


@dataclass(frozen=True, slots=True)
class Informed:
    """A method that reads its call's metadata too."""

    run: Callable[[bytes, float | None, Mapping[str, str]], bytes]


def anybody(_connection: socket.socket) -> bool:
    """`Admit` where the socket's mode says it all."""
    return True


_CONNECTIONS = 128  # Envoy opens one for each of its workers
_IN_ALL = 64 << 20  # bytes that all peers together make us hold
_QUEUE = 4096  # calls that wait for a thread, or for somebody, at a time
_TICK = 1.0


class Loop:
    """Serves *methods* (by gRPC path) on the listening socket *listener*, in a thread of its own.

    What would block runs on *pool*. *prepare* is called first by the thread: from then on, whatever
    would make it wait should raise `WouldBlock`. *name* is the socket's in the configuration.
    """

    THREAD = "checks"

    def __init__(
        self,
        listener: socket.socket,
        methods: Mapping[str, Method | Informed],
        pool: Executor,
        prepare: Callable[[], None] = lambda: None,
        admit: Admit = anybody,
        name: str = "agent.socket",
    ) -> None:
        self._listener = listener
        self._methods = dict(methods)
        self._pool = pool
        self._prepare = prepare
        self._admit = admit
        self._name = name
        self._epoll = select.epoll()
        self._peers: dict[int, Peer] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._finished: deque[tuple[Peer, int, bytes | Failed | None]] = deque()
        self._elsewhere = 0  # calls that the pool has
        self._held = 0  # bytes, for all peers
        self._leaving = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.THREAD, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Take no more connections, answer what is under way for up to *grace* seconds, end."""
        self._leaving = True
        self._ring()
        if not self._stopped.wait(grace):
            log.warning("some decisions were still under way after %.0f s", grace)
            self._stopped.set()
            self._ring()
        self._thread.join(5)

    def _run(self) -> None:
        try:
            self._prepare()
            next_tick = time.monotonic() + _TICK
            while not self._stopped.is_set():
                for number, events in self._epoll.poll(_TICK):
                    self._event(number, events)
                if self._finished:
                    self._deliver()
                now = time.monotonic()
                if now >= next_tick:
                    next_tick = now + _TICK
                    self._tick(now)
                if self._leaving and self._left():
                    break
        finally:
            self._stopped.set()
            for peer in list(self._peers.values()):
                self._close(peer)
            self._epoll.close()
            os.close(self._wake)

    def _event(self, number: int, events: int) -> None:
        if number == self._wake:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            return
        peer = self._peers.get(number)
        if peer is None:
            if not self._leaving and number == self._listener.fileno():
                self._accept()
            return
        try:
            self._serve(peer, events)
        except Exception:
            # a mistake of ours must not end everybody else's decisions
            log.exception("a connection to %s was ended. This is a bug: report it", self._name)
            self._close(peer)

    def _serve(self, peer: Peer, events: int) -> None:
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            data = peer.read()
            if data:
                for call in peer.connection.receive(data):
                    self._call(peer, call)
            elif data is not None:
                self._close(peer)
                return
        self._write(peer)

    def _call(self, peer: Peer, call: Call) -> None:
        method = self._methods.get(call.path)
        if method is None:
            peer.connection.fail(call.stream, Status.UNIMPLEMENTED, "there is no such method")
            return
        try:
            answer = _ask(method, call, call.seconds)
        except WouldBlock:
            self._hand_over(peer, call, method)
        except Failed as failed:
            peer.connection.fail(call.stream, failed.status, str(failed), failed.metadata)
        except Exception:
            log.exception("a call failed. This is a bug: report it")
            peer.connection.fail(call.stream, Status.UNKNOWN, "the call failed")
        else:
            peer.connection.answer(call.stream, answer)

    def _hand_over(self, peer: Peer, call: Call, method: Method | Informed) -> None:
        if self._elsewhere >= _QUEUE:
            peer.connection.fail(call.stream, Status.UNAVAILABLE, "too many decisions wait")
            return
        ends = None if call.seconds is None else time.monotonic() + call.seconds

        def run() -> None:
            answer: bytes | Failed | None = None
            try:
                if peer.connection.wants(call.stream):  # else it was cancelled in the queue
                    left = None if ends is None else max(0.0, ends - time.monotonic())
                    answer = _ask(method, call, left)
            except Failed as failed:
                answer = failed
            except Exception:
                log.exception("a call failed. This is a bug: report it")
            finally:
                self._finished.append((peer, call.stream, answer))
                self._ring()

        try:
            self._pool.submit(run)
        except RuntimeError:  # it is closed: the agent stops
            peer.connection.fail(call.stream, Status.UNAVAILABLE, "the agent is stopping")
        else:
            self._elsewhere += 1

    def _deliver(self) -> None:
        """Give the answers that the pool has made to whom they are due."""
        touched = set()
        while self._finished:
            peer, stream, answer = self._finished.popleft()
            self._elsewhere -= 1
            if answer is None:
                peer.connection.fail(stream, Status.UNKNOWN, "the call failed")
            elif isinstance(answer, Failed):
                peer.connection.fail(stream, answer.status, str(answer), answer.metadata)
            else:
                peer.connection.answer(stream, answer)
            touched.add(peer)
        for peer in touched:
            if self._peers.get(peer.socket.fileno()) is peer:
                self._write(peer)

    def _write(self, peer: Peer) -> None:
        """Send what there is; what the socket does not take waits for it."""
        if not peer.write():
            self._close(peer)
            return
        held = peer.connection.held + len(peer.unsent)
        self._held += held - peer.held
        peer.held = held
        if self._held > _IN_ALL:
            self._relieve()
        wanted = select.EPOLLIN | (select.EPOLLOUT if peer.unsent else 0)
        if wanted != peer.registered and self._peers.get(peer.socket.fileno()) is peer:
            self._epoll.modify(peer.socket, wanted)
            peer.registered = wanted

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            if not self._admit(accepted):
                accepted.close()
                continue
            if len(self._peers) >= _CONNECTIONS:
                log.error(
                    "more than %d connections to %s; the newest is refused. See who opens so many",
                    _CONNECTIONS,
                    self._name,
                )
                accepted.close()
                return
            accepted.setblocking(False)
            peer = self._meet(accepted)
            self._peers[accepted.fileno()] = peer
            self._epoll.register(accepted, peer.registered)
            self._write(peer)

    def _meet(self, accepted: socket.socket) -> Peer:
        return Peer(accepted, time.monotonic())

    def _close(self, peer: Peer) -> None:
        number = peer.socket.fileno()
        if self._peers.get(number) is peer:
            del self._peers[number]
            self._held -= peer.held
            with contextlib.suppress(OSError):
                self._epoll.unregister(peer.socket)
            peer.socket.close()

    def _relieve(self) -> None:
        """All together hold too much: whoever holds most ends."""
        heaviest = max(self._peers.values(), key=lambda peer: peer.held)
        log.error("connections to %s hold too much; the one with most was ended", self._name)
        self._close(heaviest)

    def _tick(self, now: float) -> None:
        for peer in list(self._peers.values()):
            if not peer.tick(now):
                self._close(peer)

    def _left(self) -> bool:
        """Say goodbye to everybody, once; whether nobody is there any more."""
        if self._listener.fileno() >= 0:
            self._accept()  # who is connected already has asked us, and nobody else would answer
            self._epoll.unregister(self._listener)
            self._listener.close()
            for peer in list(self._peers.values()):
                peer.connection.leave()
                self._write(peer)
        return not self._peers

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # the loop has ended, and its eventfd with it
            os.eventfd_write(self._wake, 1)


def _ask(method: Method | Informed, call: Call, seconds: float | None) -> bytes:
    if isinstance(method, Informed):
        return method.run(call.message, seconds, call.metadata)
    return method(call.message, seconds)
