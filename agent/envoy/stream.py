"""What does one Envoy get next on its ADS stream?

The state-of-the-world variant of xDS, without a socket: requests go in, responses come out.
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol has the rules cited here.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from envoy.service.discovery.v3 import discovery_pb2

from agent.envoy.snapshot import (
    CLUSTER,
    KINDS,
    LISTENER,
    NOTHING,
    ROUTE,
    SECRET,
    Resources,
    Snapshot,
)

# "Make before break": what is referred to goes before what refers to it.
ORDER = (CLUSTER, SECRET, LISTENER, ROUTE)
# Only these two are asked for without names, which means all of them.
WILDCARD = frozenset({CLUSTER, LISTENER})
_REMEMBERED = 16
# A request chooses its route before the agent is asked and its cluster's connection after, so a
# cluster outlives the last route to it by more than a Check may take (20 s). Else: 503 [M].
LINGER = 22.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A NACK: Envoy did not take all of it. `reason` is Envoy's own text, `at` in UTC seconds."""

    type_url: str
    version: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Turn:
    """What follows from one event: responses to send, and what an operator should know."""

    responses: tuple[discovery_pb2.DiscoveryResponse, ...] = ()
    refusal: Refusal | None = None
    unknown: tuple[str, ...] = ()


class Memory:
    """What outlives a stream, so that it is known what a returning Envoy holds.

    The cluster sets that were sent lately, by version; and in `unsure` the types whose version
    does not tell all, because an answer was a NACK or is missing.
    """

    def __init__(self) -> None:
        self._sets: OrderedDict[str, Resources] = OrderedDict()
        self.unsure: set[str] = set()

    def keep(self, resources: Resources) -> None:
        """Remember *resources*, and forget the oldest beyond the bound."""
        self._sets[resources.version] = resources
        self._sets.move_to_end(resources.version)
        while len(self._sets) > _REMEMBERED:
            self._sets.popitem(last=False)

    def recall(self, version: str) -> Resources:
        """Return what *version* was; where nobody knows, a set of that version without content."""
        return self._sets.get(version) or Resources(version, NOTHING.items)


@dataclass(slots=True)
class Topic:
    """One type's part of the conversation.

    `sent` is what went out last, under `nonce`; `held` is what Envoy said it took; `flight` is
    what it has not answered, by nonce, oldest first; `refused`: it has taken nothing since a NACK.
    """

    asked: bool = False
    names: frozenset[str] = frozenset()
    known: set[str] = field(default_factory=set)
    sent: Resources | None = None
    held: Resources | None = None
    nonce: str = ""
    flight: dict[str, Resources] = field(default_factory=dict)
    refused: bool = False

    @property
    def sure(self) -> bool:
        """Whether Envoy has `held` and nothing else.

        A NACK is no proof of that: Envoy applies what is good in a response that it refuses, and
        removes what is not in it (CdsApiHelper::onConfigUpdate).
        """
        return not self.flight and not self.refused

    def answer(self, request: discovery_pb2.DiscoveryRequest) -> None:
        """Note Envoy's answer to something in flight.

        Envoy works in order, but does not answer for clusters while some are warming: then one
        answer is for all before it too, and may carry the error of one that was replaced.
        """
        passed = []
        while request.response_nonce in self.flight:
            passed.append(self.flight.pop(next(iter(self.flight))))
        last = passed[-1]
        older_error = len(passed) > 1 and request.version_info == last.version
        self.refused = request.HasField("error_detail") and not older_error
        if not self.refused:
            self.held = last


class Conversation:
    """The state of one stream. Not thread-safe: one caller at a time. Times are UTC seconds."""

    def __init__(self, memory: Memory, linger: float = LINGER) -> None:
        self.topics = {type_url: Topic() for type_url in ORDER}
        self._memory = memory
        self._linger = linger
        self._settled_at: float | None = None
        self._snapshot: Snapshot | None = None
        self._nonces = 0
        self._returning = False

    def publish(self, snapshot: Snapshot, now: float) -> Turn:
        """Take *snapshot* as what Envoy should hold from now on."""
        self._snapshot = snapshot
        return Turn(self._due(now))

    def wake(self, now: float) -> Turn:
        """Do what is due only because time has passed."""
        return Turn(self._due(now))

    @property
    def wake_at(self) -> float | None:
        """When `wake` has something to do, if nothing else happens before."""
        sent = self.topics[CLUSTER].sent
        if self._settled_at is None or not sent or sent.version == self._target(CLUSTER).version:
            return None
        return self._settled_at + self._linger

    def receive(self, request: discovery_pb2.DiscoveryRequest, now: float) -> Turn:
        """Take Envoy's *request*: a subscription, an ACK, a NACK, or asking once more."""
        topic = self.topics.get(request.type_url)
        if topic is None:
            return Turn(unknown=(request.type_url,))
        refusal = None
        if not topic.asked:
            self._subscribe(topic, request)
        elif request.response_nonce in topic.flight:
            answered = topic.flight[request.response_nonce]
            topic.answer(request)
            if topic.flight:
                return Turn()  # a newer response has replaced this one; the answer to that decides
            if topic.refused:
                error = request.error_detail.message
                refusal = Refusal(request.type_url, answered.version, error, now)
            else:
                self._memory.unsure.discard(request.type_url)
        elif request.response_nonce != topic.nonce or request.HasField("error_detail"):
            return Turn()  # it comes again with the answer to what is in flight, or is old news
        else:
            topic.sent = None  # a second request under one nonce: Envoy subscribes anew
        topic.names = frozenset(request.resource_names)
        unknown = self._unknown(request.type_url, topic)
        return Turn(self._due(now), refusal, unknown)

    def in_step(self, snapshot: Snapshot | None) -> bool:
        """Whether Envoy has taken everything of *snapshot* that it asked for."""
        if snapshot is None or snapshot is not self._snapshot or not self.topics[LISTENER].asked:
            return False
        return all(
            topic.sure and topic.held is not None and topic.held.includes(target)
            for type_url, topic in self.topics.items()
            if topic.asked and (target := self._target(type_url)).items
        )

    def _subscribe(self, topic: Topic, request: discovery_pb2.DiscoveryRequest) -> None:
        """Open a topic. An Envoy that returns says what it holds, and that is not sent again.

        Unless it may hold more than its version says: then all is sent, so that we can be sure.
        """
        topic.asked = True
        if request.version_info:
            self._returning = True
            topic.held = self._memory.recall(request.version_info)
            topic.refused = request.type_url in self._memory.unsure
            topic.sent = None if topic.refused else topic.held

    def _unknown(self, type_url: str, topic: Topic) -> tuple[str, ...]:
        """Return names that nobody configured; they are never taken for "everything"."""
        if self._snapshot is None or self._everything(type_url, topic):
            return ()
        topic.known.update(self._snapshot.types[type_url].items)
        missing = topic.names - topic.known - self._snapshot.awaited
        topic.known |= missing  # said once
        return tuple(sorted(missing))

    def _due(self, now: float) -> tuple[discovery_pb2.DiscoveryResponse, ...]:
        if self._snapshot is None:
            return ()
        self._memory.keep(self._snapshot.types[CLUSTER])
        responses = []
        for type_url in ORDER:
            topic = self.topics[type_url]
            wanted = self._wanted(type_url, topic, now) if topic.asked else None
            if wanted and (topic.sent is None or topic.sent.version != wanted.version):
                responses.append(self._send(type_url, topic, wanted))
        return tuple(responses)

    def _wanted(self, type_url: str, topic: Topic, now: float) -> Resources | None:
        """Return what Envoy should be sent now, or None while its turn has not come."""
        target = self._target(type_url)
        if type_url == CLUSTER:
            gone = self._old_clusters_may_go(now)
            return target if gone or topic.held is None else target.over(topic.held)
        if not target.items and type_url not in WILDCARD:
            return None
        if type_url in (LISTENER, ROUTE) and topic.held and not self._clusters_are_there():
            return None  # an ACK of clusters comes when they are warm: only then lead to them
        return target

    def _old_clusters_may_go(self, now: float) -> bool:
        """Whether no request can be on its way to a cluster that only old routes lead to."""
        if not self._settled():
            self._settled_at = None
            return False
        if self._settled_at is None:
            self._settled_at = now
        return now >= self._settled_at + self._linger

    def _settled(self) -> bool:
        """Whether the listeners and routes that Envoy holds are the new ones."""
        for type_url in (LISTENER, ROUTE):
            topic, target = self.topics[type_url], self._target(type_url)
            if not topic.asked:
                if self._returning:
                    return False  # it has some, and will say which in a moment
            elif target.items and not (
                topic.sure and topic.held and topic.held.version == target.version
            ):
                return False
        return True

    def _clusters_are_there(self) -> bool:
        topic = self.topics[CLUSTER]
        if not topic.asked:
            return not self._returning
        held = topic.held if topic.sure else None
        return held is not None and held.includes(self._target(CLUSTER))

    def _target(self, type_url: str) -> Resources:
        """Return what the snapshot has for this Envoy's names.

        Its version covers just that, so a returning Envoy that asks for more holds an older one.
        """
        if self._snapshot is None:
            return NOTHING
        resources, topic = self._snapshot.types[type_url], self.topics[type_url]
        return resources if self._everything(type_url, topic) else resources.only(topic.names)

    @staticmethod
    def _everything(type_url: str, topic: Topic) -> bool:
        return type_url in WILDCARD and (not topic.names or "*" in topic.names)

    def _send(
        self, type_url: str, topic: Topic, resources: Resources
    ) -> discovery_pb2.DiscoveryResponse:
        self._nonces += 1
        topic.nonce, topic.sent = str(self._nonces), resources
        topic.flight[topic.nonce] = resources
        self._memory.unsure.add(type_url)
        topic.known.update(resources.items)
        if type_url == CLUSTER:
            self._memory.keep(resources)
        return discovery_pb2.DiscoveryResponse(
            version_info=resources.version,
            resources=list(resources.items.values()),
            type_url=type_url,
            nonce=topic.nonce,
        )


def sentence(refusal: Refusal) -> str:
    """Return what a NACK means, for the log and the status page."""
    return (
        f"Envoy refused our {KINDS[refusal.type_url]} (version {refusal.version}) and keeps the "
        f"former ones. It says: {refusal.reason}"
    )
