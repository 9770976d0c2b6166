"""How does Envoy get its configuration from us, and what has it taken of it?"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from queue import Empty, SimpleQueue

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from agent.envoy.snapshot import KINDS, Snapshot
from agent.envoy.stream import LINGER, Conversation, Memory, Refusal, Topic, Turn, sentence

log = logging.getLogger("attache.ads")

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
# Each stream holds a thread of the server. One Envoy has one; a second is its successor.
STREAMS = 4


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One type, as the newest stream has it: the version sent last, and the one Envoy took."""

    kind: str
    sent: str
    accepted: str
    refusals: int
    last_refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Status:
    """How far Envoy is. `in_step`: it holds everything of the snapshot published last."""

    streams: int
    in_step: bool
    types: tuple[TypeStatus, ...]


class _Event(Enum):
    """What wakes a stream besides Envoy's requests."""

    PUBLISHED = auto()
    TIME = auto()
    END = auto()


class _Stream:
    """One connected Envoy: its conversation, and the queue of what happens to it."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.events: SimpleQueue[discovery_pb2.DiscoveryRequest | _Event] = SimpleQueue()

    def next(self, now: float) -> discovery_pb2.DiscoveryRequest | _Event:
        """Return the next event; time itself is one, where the conversation waits for it."""
        wake_at = self.conversation.wake_at
        try:
            return self.events.get(timeout=None if wake_at is None else max(0.0, wake_at - now))
        except Empty:
            return _Event.TIME

    def listen(self, requests: Iterator[discovery_pb2.DiscoveryRequest]) -> None:
        """Queue Envoy's requests until its side of the stream ends."""
        with contextlib.suppress(grpc.RpcError, ValueError):  # grpcio's words for a broken stream
            for request in requests:
                self.events.put(request)
        self.events.put(_Event.END)


class Ads:
    """The aggregated discovery service; `clock` gives UTC seconds, `on_refusal` hears of NACKs.

    Only the state-of-the-world method exists; gRPC itself answers Delta with UNIMPLEMENTED.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        streams: int = STREAMS,
        linger: float = LINGER,
        on_refusal: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._bound = streams
        self._linger = linger
        self._on_refusal = on_refusal
        self._lock = threading.Lock()
        self._memory = Memory()
        self._snapshot: Snapshot | None = None
        self._streams: list[_Stream] = []
        self._closed = False
        self._refused: dict[str, Refusal] = {}
        self._refusals = dict.fromkeys(KINDS, 0)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a grpc.Server needs to serve us."""
        method = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DiscoveryResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamAggregatedResources": method})

    def publish(self, snapshot: Snapshot) -> None:
        """Bring every connected Envoy, and all who come later, to *snapshot*."""
        with self._lock:
            self._snapshot = snapshot
            for stream in self._streams:
                stream.events.put(_Event.PUBLISHED)

    def close(self) -> None:
        """End all streams at once and take no more; call it before the server's own stop."""
        with self._lock:
            self._closed = True
            for stream in self._streams:
                stream.events.put(_Event.END)

    def status(self) -> Status:
        """Return what the newest stream's Envoy has been sent and has taken."""
        with self._lock:
            newest = self._streams[-1].conversation if self._streams else None
            types = tuple(self._type_status(type_url, newest) for type_url in KINDS)
            in_step = newest is not None and newest.in_step(self._snapshot)
            return Status(len(self._streams), in_step, types)

    def _type_status(self, type_url: str, newest: Conversation | None) -> TypeStatus:
        topic = newest.topics[type_url] if newest else Topic()
        return TypeStatus(
            KINDS[type_url],
            topic.sent.version if topic.sent else "",
            topic.held.version if topic.held else "",
            self._refusals[type_url],
            self._refused.get(type_url),
        )

    def _serve(
        self,
        requests: Iterator[discovery_pb2.DiscoveryRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[discovery_pb2.DiscoveryResponse]:
        stream = _Stream(Conversation(self._memory, self._linger))
        if not self._enter(stream):
            context.abort(grpc.StatusCode.UNAVAILABLE, "the agent is stopping")
        try:
            if context.add_callback(lambda: stream.events.put(_Event.END)):
                threading.Thread(
                    target=stream.listen, args=(requests,), name="ads-reader", daemon=True
                ).start()
                yield from self._converse(stream)
        finally:
            self._leave(stream)

    def _converse(self, stream: _Stream) -> Iterator[discovery_pb2.DiscoveryResponse]:
        while True:
            event = stream.next(self._clock())
            if event is _Event.END:
                return
            with self._lock:
                turn = self._turn(stream.conversation, event)
            yield from turn.responses

    def _turn(
        self, conversation: Conversation, event: discovery_pb2.DiscoveryRequest | _Event
    ) -> Turn:
        if isinstance(event, _Event):
            if event is _Event.PUBLISHED and self._snapshot:
                return conversation.publish(self._snapshot, self._clock())
            return conversation.wake(self._clock())
        turn = conversation.receive(event, self._clock())
        if turn.refusal:
            self._refused[turn.refusal.type_url] = turn.refusal
            self._refusals[turn.refusal.type_url] += 1
            self._on_refusal(KINDS[turn.refusal.type_url])
            log.error("%s", sentence(turn.refusal))
        if turn.unknown:
            kind = KINDS.get(event.type_url, event.type_url)
            log.warning(
                "Envoy asks for %s that are not configured: %s. It gets none; is another "
                "control plane's configuration in its bootstrap?",
                kind,
                ", ".join(turn.unknown),
            )
        return turn

    def _enter(self, stream: _Stream) -> bool:
        with self._lock:
            if self._closed:
                return False
            while len(self._streams) >= self._bound:
                log.warning("more than %d ADS streams: the oldest is closed", self._bound)
                self._streams.pop(0).events.put(_Event.END)
            self._streams.append(stream)
            stream.events.put(_Event.PUBLISHED)
            return True

    def _leave(self, stream: _Stream) -> None:
        with self._lock:
            if stream in self._streams:
                self._streams.remove(stream)
