"""How does Envoy get its configuration from us, and what has it taken of it?"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from queue import Empty, SimpleQueue

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError

from agent.envoy.snapshot import KINDS, Snapshot
from agent.envoy.stream import LINGER, Conversation, Memory, Refusal, Topic, Turn, sentence

log = logging.getLogger("attache.ads")

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD = "StreamAggregatedResources"
STOPPING = "the agent is stopping"
# Each stream holds a thread. One Envoy has one; a second is its successor.
STREAMS = 4
_UNHEARD = 1024  # requests that may wait; Envoy sends one for each answer


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


class Stream:
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

    def hear(self, message: bytes) -> None:
        """Queue a request of Envoy's; the stream ends at what is none, and at too many."""
        try:
            request = discovery_pb2.DiscoveryRequest.FromString(message)
        except DecodeError:
            log.error("what came on an ADS stream is no DiscoveryRequest: it is closed")  # noqa: TRY400
            self.over()
            return
        if self.events.qsize() > _UNHEARD:
            self.over()
        else:
            self.events.put(request)

    def over(self) -> None:
        """The stream ends: whoever serves it is to leave."""
        self.events.put(_Event.END)


class Ads:
    """The aggregated discovery service; `clock` gives UTC seconds, `on_refusal` hears of NACKs.

    Only the state-of-the-world method exists; the transport answers Delta with UNIMPLEMENTED.
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
        self._streams: list[Stream] = []
        self._closed = False
        self._refused: dict[str, Refusal] = {}
        self._refusals = dict.fromkeys(KINDS, 0)

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
                stream.over()

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

    def enter(self) -> Stream | None:
        """Begin a stream, which somebody must `converse` on; None where none is taken any more."""
        stream = Stream(Conversation(self._memory, self._linger))
        with self._lock:
            if self._closed:
                return None
            while len(self._streams) >= self._bound:
                log.warning("more than %d ADS streams: the oldest is closed", self._bound)
                self._streams.pop(0).over()
            self._streams.append(stream)
            stream.events.put(_Event.PUBLISHED)
            return stream

    def converse(self, stream: Stream) -> Iterator[bytes]:
        """Each DiscoveryResponse that is due on *stream*, until it is over. Waits in between."""
        try:
            while True:
                event = stream.next(self._clock())
                if event is _Event.END:
                    return
                with self._lock:
                    turn = self._turn(stream.conversation, event)
                for response in turn.responses:
                    yield response.SerializeToString()
        finally:
            with self._lock:
                if stream in self._streams:
                    self._streams.remove(stream)

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
