"""The ADS protocol, request by request, without a socket."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.envoy.snapshot import CLUSTER, LISTENER, ROUTE, SECRET, Resources, Snapshot
from agent.envoy.stream import Conversation, Memory, Turn, sentence

NOW = 1_000.0
LINGER = 10.0
KIND = {"cds": CLUSTER, "lds": LISTENER, "rds": ROUTE, "sds": SECRET}
MESSAGE = {
    CLUSTER: lambda name, mark: cluster_pb2.Cluster(name=name, alt_stat_name=mark),
    LISTENER: lambda name, mark: listener_pb2.Listener(name=name, stat_prefix=mark),
    ROUTE: lambda name, mark: route_pb2.RouteConfiguration(name=name, internal_only_headers=[mark]),
    SECRET: lambda name, mark: secret_pb2.Secret(
        name=name, generic_secret={"secret": {"inline_string": mark}}
    ),
}


def snapshot(**kinds: str) -> Snapshot:
    """A snapshot whose resources are written `name` or `name=mark`."""
    types = {}
    for short, type_url in KIND.items():
        parts = [part.partition("=") for part in kinds.get(short, "").split()]
        messages = [MESSAGE[type_url](name, mark) for name, _, mark in parts]
        types[type_url] = Resources.pack(messages)
    return Snapshot(MappingProxyType(types))


class FakeEnvoy:
    """Speaks to one conversation the way Envoy does, and remembers what it holds."""

    def __init__(self, memory: Memory | None = None, linger: float = LINGER) -> None:
        self.conversation = Conversation(memory or Memory(), linger)
        self.pending: list[Any] = []
        self.versions: dict[str, str] = {}
        self.names: dict[str, list[str]] = {}

    def request(self, short: str, now: float = NOW, nonce: str = "", error: str = "") -> Turn:
        request = discovery_pb2.DiscoveryRequest(
            type_url=KIND[short],
            version_info=self.versions.get(short, ""),
            resource_names=self.names.get(short, []),
            response_nonce=nonce,
        )
        if error:
            request.error_detail.message = error
        return self.take(self.conversation.receive(request, now))

    def publish(self, content: Snapshot, now: float = NOW) -> Turn:
        return self.take(self.conversation.publish(content, now))

    def take(self, turn: Turn) -> Turn:
        self.pending.extend(turn.responses)
        return turn

    def subscribe(self, short: str, *names: str) -> Turn:
        self.names[short] = list(names)
        return self.request(short)

    def answer(self, now: float = NOW, error: str = "") -> str:
        """ACK (or NACK) the oldest response; return what it brought, as `cds:a,b`."""
        response = self.pending.pop(0)
        short = next(short for short, url in KIND.items() if url == response.type_url)
        if not error:
            self.versions[short] = response.version_info
        self.request(short, now, response.nonce, error)
        return show(response)

    def settle(self, now: float = NOW) -> list[str]:
        """ACK everything that comes, and return it in its order."""
        seen = []
        while self.pending:
            seen.append(self.answer(now))
        return seen

    def start(self, content: Snapshot) -> list[str]:
        """Subscribe to all types in Envoy's order."""
        self.publish(content)
        seen = []
        for short, names in (("cds", ()), ("lds", ()), ("rds", ("inbound", "outbound"))):
            self.subscribe(short, *names)
            seen += self.settle()
        return seen


def show(response: Any) -> str:
    short = next(short for short, url in KIND.items() if url == response.type_url)
    names = []
    for packed in response.resources:
        message = MESSAGE[response.type_url]("", "")
        packed.Unpack(message)
        names.append(message.name)
    return f"{short}:{','.join(names)}"


ONE = snapshot(cds="a b", lds="inbound outbound", rds="inbound=1 outbound=1")


def test_a_new_envoy_gets_each_type_once_in_the_order_of_its_questions():
    envoy = FakeEnvoy()
    assert envoy.start(ONE) == ["cds:a,b", "lds:inbound,outbound", "rds:inbound,outbound"]
    assert envoy.conversation.in_step(ONE)


def test_nothing_is_sent_before_there_is_a_snapshot_and_everything_asked_for_after():
    envoy = FakeEnvoy()
    assert envoy.subscribe("cds").responses == ()
    assert not envoy.conversation.in_step(None)
    envoy.publish(ONE)
    assert envoy.settle() == ["cds:a,b"]


def test_the_same_content_is_not_sent_again():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    same = snapshot(cds="b a", lds="outbound inbound", rds="outbound=1 inbound=1")
    assert envoy.publish(same).responses == ()
    assert envoy.conversation.in_step(same)


def test_what_changed_comes_and_nothing_else():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(snapshot(cds="a b", lds="inbound outbound", rds="inbound=1 outbound=2"))
    assert envoy.settle() == ["rds:inbound,outbound"]


TWO = snapshot(cds="b c", lds="inbound=2 outbound", rds="inbound=1 outbound=2")


def test_clusters_are_made_before_routes_lead_to_them_and_broken_after_the_last_request():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(TWO)
    assert [show(response) for response in envoy.pending] == ["cds:a,b,c"]
    assert not envoy.conversation.in_step(TWO)
    assert envoy.answer() == "cds:a,b,c"
    assert envoy.settle(NOW + 1) == ["lds:inbound,outbound", "rds:inbound,outbound"]
    assert envoy.conversation.in_step(TWO)
    assert envoy.conversation.wake_at == NOW + 1 + LINGER
    assert envoy.conversation.wake(NOW + LINGER).responses == ()
    envoy.take(envoy.conversation.wake(NOW + 1 + LINGER))
    assert envoy.conversation.wake_at is None  # though Envoy has not answered: no busy loop
    assert envoy.settle() == ["cds:b,c"]
    assert envoy.conversation.wake_at is None


def test_nobody_waits_for_a_time_that_has_passed_when_envoy_refuses_to_let_clusters_go():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(TWO)
    envoy.settle()
    envoy.take(envoy.conversation.wake(NOW + LINGER))
    assert envoy.answer(NOW + LINGER, error="no") == "cds:b,c"
    assert envoy.conversation.wake_at is None
    assert envoy.conversation.wake(NOW + 2 * LINGER).responses == ()


@pytest.mark.parametrize("refused", ["lds", "rds"])
def test_old_clusters_stay_while_envoy_refuses_the_new_listeners_or_routes(refused):
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(TWO)
    envoy.answer()
    while envoy.pending:
        error = "no" if show(envoy.pending[0]).startswith(refused) else ""
        envoy.answer(error=error)
    assert envoy.conversation.wake_at is None
    assert envoy.conversation.wake(NOW + 1_000).responses == ()


def test_listeners_and_routes_wait_while_envoy_refuses_the_clusters():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(TWO)
    envoy.answer(error="bad cluster")
    assert envoy.pending == []
    envoy.publish(snapshot(cds="b d", lds="inbound=2 outbound", rds="inbound=1 outbound=2"))
    assert envoy.settle() == ["cds:a,b,d", "lds:inbound,outbound", "rds:inbound,outbound"]


def test_a_cluster_that_a_new_envoy_refuses_does_not_keep_it_from_the_rest():
    envoy = FakeEnvoy()
    envoy.publish(ONE)
    envoy.subscribe("cds")
    envoy.answer(error="bad cluster")
    envoy.subscribe("lds")
    assert envoy.settle() == ["lds:inbound,outbound"]


def test_changes_that_overtake_each_other_never_take_a_cluster_from_a_route_in_use():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    for number, clusters in enumerate(("c", "d", "e")):
        changed = snapshot(cds=clusters, lds="inbound outbound", rds=f"outbound={number} inbound")
        envoy.publish(changed)
        assert {"a", "b"} <= set(show(envoy.pending[-1]).removeprefix("cds:").split(","))
    envoy.pending = envoy.pending[-1:]  # Envoy answers what came last
    assert envoy.settle()[0] == "cds:a,b,e"
    envoy.take(envoy.conversation.wake(NOW + LINGER))
    assert envoy.settle() == ["cds:e"]


def test_routes_wait_while_clusters_that_they_need_are_on_their_way_out_and_back():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(snapshot(cds="a", lds="inbound outbound", rds="inbound=1 outbound=3"))
    envoy.settle()
    envoy.take(envoy.conversation.wake(NOW + LINGER))
    envoy.publish(ONE)
    assert [show(response) for response in envoy.pending] == ["cds:a", "cds:a,b"]
    envoy.answer()
    assert [show(response) for response in envoy.pending] == ["cds:a,b"]
    assert envoy.settle() == ["cds:a,b", "rds:inbound,outbound"]


def test_after_a_refusal_routes_wait_until_envoy_has_said_which_clusters_it_has():
    """A refused response may still have removed what is not in it."""
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(snapshot(cds="a", lds="inbound outbound", rds="inbound=1 outbound=3"))
    envoy.settle()
    envoy.take(envoy.conversation.wake(NOW + LINGER))
    assert envoy.answer(NOW + LINGER, error="no") == "cds:a"
    envoy.publish(ONE)
    assert [show(response) for response in envoy.pending] == ["cds:a,b"]
    assert envoy.settle() == ["cds:a,b", "rds:inbound,outbound"]
    assert envoy.conversation.in_step(ONE)


def test_clusters_stay_when_envoy_took_routes_that_were_replaced_and_refused_what_replaced_them():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(TWO)
    envoy.answer()
    envoy.publish(ONE)
    while envoy.pending:
        newest = len(envoy.pending) == 1
        envoy.answer(error="no" if newest else "")
    assert envoy.conversation.wake_at is None
    assert envoy.conversation.wake(NOW + 1_000).responses == ()


def test_after_a_refusal_old_clusters_stay_until_envoy_has_said_which_routes_it_has():
    """A refused response may still have brought one of its routes."""
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(snapshot(cds="b c", lds="inbound outbound", rds="inbound=bad outbound=2"))
    envoy.answer()
    assert envoy.answer(error="inbound is bad") == "rds:inbound,outbound"
    envoy.publish(ONE)
    assert [show(response) for response in envoy.pending] == ["rds:inbound,outbound"]
    assert envoy.conversation.wake_at is None
    envoy.settle(NOW + 1)
    assert envoy.conversation.wake_at == NOW + 1 + LINGER


def test_one_answer_may_be_for_all_before_it_and_carry_the_error_of_one_that_was_replaced():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(snapshot(cds="a b c", lds="inbound outbound", rds="inbound=1 outbound=2"))
    envoy.publish(snapshot(cds="a b d", lds="inbound outbound", rds="inbound=1 outbound=2"))
    newest = envoy.pending[-1]
    envoy.pending, envoy.versions["cds"] = [], newest.version_info
    assert envoy.request("cds", nonce=newest.nonce, error="c is bad").refusal is None
    assert envoy.settle() == ["rds:inbound,outbound"]


def test_a_refusal_is_reported_once_and_not_sent_again():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    bad = snapshot(cds="a b", lds="inbound outbound", rds="inbound=bad outbound")
    envoy.publish(bad)
    nonce = envoy.pending.pop().nonce
    turn = envoy.request("rds", NOW + 5, nonce, error="duplicate domain")
    refusal = turn.refusal
    assert refusal is not None
    assert (refusal.version, refusal.at) == (bad.types[ROUTE].version, NOW + 5)
    assert sentence(refusal).endswith("It says: duplicate domain")
    assert turn.responses == ()
    assert envoy.publish(bad).responses == ()
    envoy.publish(ONE)
    assert envoy.settle() == ["rds:inbound,outbound"]
    assert envoy.conversation.in_step(ONE)


def test_an_answer_to_an_older_response_changes_nothing():
    envoy = FakeEnvoy()
    envoy.start(ONE)
    envoy.publish(snapshot(cds="a b", lds="inbound outbound", rds="inbound=2 outbound"))
    envoy.publish(snapshot(cds="a b", lds="inbound outbound", rds="inbound=3 outbound"))
    older, newer = envoy.pending
    envoy.pending = []
    for _ in range(2):
        turn = envoy.request("rds", nonce=older.nonce, error="too late")
        assert (turn.refusal, turn.responses) == (None, ())
    assert envoy.request("rds", nonce=newer.nonce).responses == ()


def returning(old: FakeEnvoy, memory: Memory, content: Snapshot) -> tuple[FakeEnvoy, list[str]]:
    """The same Envoy on a new stream: it asks for all at once and says what it holds."""
    envoy = FakeEnvoy(memory)
    envoy.versions, envoy.names = dict(old.versions), dict(old.names)
    envoy.publish(content)
    for short in ("cds", "lds", "rds"):
        envoy.request(short)
    return envoy, envoy.settle()


def test_a_returning_envoy_is_not_sent_what_it_holds():
    first = FakeEnvoy()
    first.start(ONE)
    again, seen = returning(first, Memory(), ONE)  # and our process is a new one
    assert seen == []
    assert again.conversation.in_step(ONE)
    again.publish(TWO)
    assert again.settle()[0] == "cds:a,b,c"


def test_a_returning_envoy_keeps_its_clusters_until_its_routes_are_new():
    memory = Memory()
    first = FakeEnvoy(memory)
    first.start(ONE)
    again, seen = returning(first, memory, TWO)
    assert seen == ["cds:a,b,c", "lds:inbound,outbound", "rds:inbound,outbound"]
    again.take(again.conversation.wake(NOW + LINGER))
    assert again.settle() == ["cds:b,c"]


def test_a_returning_envoy_that_refused_something_is_sent_all_of_that_type():
    """It may have taken a part, which its version does not tell."""
    memory = Memory()
    first = FakeEnvoy(memory)
    first.start(ONE)
    first.publish(snapshot(cds="a b", lds="inbound outbound", rds="inbound=bad outbound=2"))
    assert first.answer(error="no") == "rds:inbound,outbound"
    again, seen = returning(first, memory, ONE)
    assert seen == ["rds:inbound,outbound"]
    assert again.conversation.in_step(ONE)
    assert returning(again, memory, ONE)[1] == []


def test_a_change_while_both_were_away_still_arrives_in_order():
    first = FakeEnvoy()
    first.start(ONE)
    _, seen = returning(first, Memory(), TWO)
    assert seen == ["cds:b,c", "lds:inbound,outbound", "rds:inbound,outbound"]


def test_a_returning_envoy_that_asks_for_more_is_answered():
    first = FakeEnvoy()
    first.start(ONE)
    partial = FakeEnvoy()
    partial.publish(ONE)
    partial.subscribe("rds", "inbound")
    assert partial.settle() == ["rds:inbound"]
    first.versions["rds"] = partial.versions["rds"]  # it holds less than it now asks for
    _, seen = returning(first, Memory(), ONE)
    assert seen == ["rds:inbound,outbound"]


def test_new_names_are_answered_and_asking_again_under_one_nonce_too():
    envoy = FakeEnvoy()
    envoy.publish(ONE)
    envoy.subscribe("rds", "inbound")
    nonce = envoy.pending[0].nonce
    assert envoy.settle() == ["rds:inbound"]
    envoy.names["rds"] = ["inbound", "outbound"]
    envoy.request("rds", nonce=nonce)
    nonce = envoy.pending[0].nonce
    assert envoy.settle() == ["rds:inbound,outbound"]
    envoy.request("rds", nonce=nonce)
    assert envoy.settle() == ["rds:inbound,outbound"]


@pytest.mark.parametrize("short", ["rds", "sds"])
@pytest.mark.parametrize("names", [(), ("*",), ("stranger",)])
@pytest.mark.must(36)
def test_an_unknown_name_is_said_once_and_is_not_a_wildcard(short, names):
    envoy = FakeEnvoy()
    envoy.publish(snapshot(cds="a", rds="inbound", sds="authority"))
    turn = envoy.subscribe(short, *names)
    assert (turn.unknown, turn.responses) == (names, ())
    assert envoy.request(short).unknown == ()


@pytest.mark.must(36)
def test_secrets_come_by_name_at_once_and_never_empty():
    envoy = FakeEnvoy()
    envoy.publish(snapshot(cds="a", sds="one two"))
    envoy.subscribe("sds", "two", "stranger")
    assert [show(response) for response in envoy.pending] == ["sds:two"]
    envoy.settle()
    assert envoy.publish(snapshot(cds="a")).responses == ()


def test_a_type_that_we_do_not_have_is_named_and_not_answered():
    request = discovery_pb2.DiscoveryRequest(type_url="type.googleapis.com/other")
    conversation = Conversation(Memory())
    conversation.publish(ONE, NOW)
    turn = conversation.receive(request, NOW)
    assert (turn.unknown, turn.responses) == (("type.googleapis.com/other",), ())


def test_the_memory_of_cluster_sets_is_bounded():
    memory = Memory()
    sets = [Resources.pack([cluster_pb2.Cluster(name=str(number))]) for number in range(100)]
    for one in sets:
        memory.keep(one)
    assert dict(memory.recall(sets[0].version).items) == {}
    assert memory.recall(sets[-1].version) == sets[-1]


OPERATIONS = st.lists(
    st.one_of(
        st.sampled_from(["take", "take", "refuse", "take part", "time", "reconnect"]),
        st.sampled_from([frozenset("ab"), frozenset("bc"), frozenset("cd")]),
    ),
    min_size=10,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(OPERATIONS)
# Clusters go and come back before Envoy has answered, and it refuses only their coming back.
@example(
    [
        *(frozenset("bc"), "take", "take", frozenset("ab"), "take", "time"),
        *(frozenset("bc"), "take", "refuse", "take"),
    ]
)
# Routes come and are taken back before Envoy has answered, and it refuses only the latter.
@example(
    [
        *(frozenset("ab"), "take", frozenset("bc"), "take", frozenset("ab")),
        *("take", "refuse", "time", "time", "take"),
    ]
)
# Envoy takes a part of routes that it refuses, and then refuses those that take them back.
@example(
    [
        *(frozenset("ab"), "take", frozenset("bc"), "take", "take part", frozenset("ab")),
        *("time", "time", "refuse", "take", "take"),
    ]
)
def test_whatever_happens_no_route_that_envoy_holds_leads_to_a_cluster_that_it_lacks(operations):
    """Envoy works through all responses in order, and answers each, be it replaced or not.

    What it refuses it has taken not at all, or in part: as bad a part as can be.
    """
    memory, now = Memory(), NOW
    envoy = FakeEnvoy(memory)
    content = ONE
    envoy.start(content)
    clusters, led_to = set("ab"), set("ab")

    for operation in operations:
        if isinstance(operation, frozenset):
            names = " ".join(sorted(operation))
            routes = f"inbound outbound={''.join(sorted(operation))}"
            content = snapshot(cds=names, lds="inbound outbound", rds=routes)
            envoy.publish(content, now)
        elif operation == "time":
            now += LINGER
            envoy.take(envoy.conversation.wake(now))
        elif operation == "reconnect":
            versions, names = envoy.versions, envoy.names
            envoy = FakeEnvoy(memory)
            envoy.versions, envoy.names = versions, names
            envoy.publish(content, now)
            for short in ("cds", "lds", "rds"):
                envoy.request(short, now)
        elif envoy.pending:
            response = envoy.pending[0]
            if operation != "refuse" and response.type_url == CLUSTER:
                come = set(show(response).removeprefix("cds:").split(","))
                clusters = come if operation == "take" else clusters & come
            elif operation != "refuse" and response.type_url == ROUTE:
                led_to = set(route(response, "outbound").internal_only_headers[0])
            envoy.answer(now, error="" if operation == "take" else "no")
        assert led_to <= clusters
        wake_at = envoy.conversation.wake_at
        assert wake_at is None or wake_at > now

    final = snapshot(cds="z", lds="inbound outbound", rds="inbound outbound=z")
    envoy.publish(final, now)
    envoy.settle(now)
    assert envoy.conversation.in_step(final)
    envoy.take(envoy.conversation.wake(now + LINGER))
    envoy.settle(now + LINGER)
    assert envoy.versions["cds"] == final.types[CLUSTER].version


def route(response: Any, name: str) -> Any:
    for packed in response.resources:
        message = route_pb2.RouteConfiguration()
        packed.Unpack(message)
        if message.name == name:
            return message
    raise AssertionError(f"{name} is not in the response")
