"""`delivery: sds` with a real agent, Envoy and provider: no call for each request, and no gap."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from demo.idp.faults import Fault
from tests.e2e.contract_outbound_tools import LIMIT, Got, Pod, ask, peek, until
from tests.e2e.ourselves_world import MACHINE, TASK_API, World

pytestmark = pytest.mark.e2e

AUDIT = ["api://audit/.default"]
TOKEN = {"clientCredentials": {"identity": "secret", "scopes": AUDIT}}
LIFE = 16  # seconds that a token lives; renewed after 13 to 14


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("sds"), LIFE)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pod(world: World) -> Pod:
    key = {"secretFile": {"file": str(world.key), "header": "x-api-key"}}
    return world.pod(
        [
            world.destination("token", TOKEN, delivery="sds"),
            world.destination("machine", {"managedIdentity": {"scopes": AUDIT}}, delivery="sds"),
            world.destination("key", key, delivery="sds"),
            world.destination("checked", TOKEN),
        ],
        listeners={"outbound": {"accessLog": str(world.folder / "access.jsonl")}},
    )


def injecting(pod: Pod, *names: str) -> bool:
    """Whether Envoy injects these destinations' credentials, and has taken all of it."""
    xds = pod.admin_json("/status")["xds"]
    return bool(xds["in_step"] and set(names) <= set(xds["pushed"]))


@pytest.fixture
def ready(pod: Pod) -> Pod:
    until(lambda: injecting(pod, "token", "machine", "key"), "everything is pushed")
    return pod


class Load:
    """Four callers that never pause; what came of each call is counted."""

    def __init__(self, pod: Pod, host: str) -> None:
        self.statuses: Counter[int | str] = Counter()
        self.tokens: Counter[str] = Counter()
        self._pod, self._host = pod, host
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                got = ask(self._pod.outbound, "/", self._host, {})
            except (OSError, http.client.HTTPException) as error:
                self.statuses[repr(error)] += 1
                continue
            self.statuses[got.status] += 1
            if got.status == 200:
                self.tokens[got.bearer] += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(LIMIT)


def test_envoy_asks_nobody_about_these_calls(ready: Pod) -> None:
    for name in ("token", "machine", "key"):
        got = [ready.call(f"{name}.shop", {"authorization": "Basic YTpi"}) for _ in range(30)]
        assert {each.status for each in got} == {200}
        assert all(each.headers["x-correlation-id"] for each in got)
    ready.call("checked.shop")
    ready.record(destination="checked")  # what came before it would be written, too
    for name in ("token", "machine", "key"):
        assert ready.audit(destination=name) == []


def test_the_credential_is_the_one_that_a_check_would_have_given(ready: Pod) -> None:
    claims = peek(ready.call("token.shop").bearer)
    assert claims["azp"] == TASK_API
    assert peek(ready.call("machine.shop").bearer)["azp"] == MACHINE
    seen = ready.call("key.shop", {"authorization": "Basic YTpi", "x-api-key": "theirs"}).seen
    assert seen["x-api-key"] == ready_key(ready)
    assert "authorization" not in seen


def ready_key(pod: Pod) -> str:
    """What stands in the key's file."""
    (file,) = (
        destination["credential"]["secretFile"]["file"]
        for destination in pod.config["destinations"]
        if destination["name"] == "key"
    )
    return Path(file).read_text().strip()


@pytest.mark.must(29)
def test_nothing_of_the_caller_leaves_the_pod(ready: Pod) -> None:
    seen = ready.receive().seen  # what the application sees, and relays as it is
    relayed = {
        name: value
        for name, value in seen.items()
        if name.startswith("x-") or name in ("baggage", "tracestate", "traceparent")
    }
    assert "attache" in relayed["baggage"]
    forged = {"x-auth-subject": "someone", "x-auth_subject": "someone", "x_auth_kind": "user"}
    out = ready.call("token.shop", relayed | forged).seen
    assert not {name for name in out if name.replace("_", "-").startswith("x-auth-")}
    assert not {"baggage", "tracestate", "x-attache-context"} & out.keys()
    assert out["x-correlation-id"] == seen["x-correlation-id"]
    assert out["traceparent"] == seen["traceparent"]
    handle = relayed["baggage"].partition("attache=")[2].partition(",")[0]
    assert handle not in str(out)


def test_a_call_without_ids_gets_one(ready: Pod) -> None:
    out = ready.call("token.shop", {"x-request-id": "their-own"}).seen
    assert out["x-correlation-id"] == out["x-request-id"] == "their-own"
    assert ready.call("token.shop").seen["x-correlation-id"]


def test_envoys_access_log_tells_of_the_calls_and_of_no_credential(
    world: World, ready: Pod
) -> None:
    got = ready.call("token.shop", {"x-correlation-id": "txn-logged"}, path="/y?key=query-canary")

    def line() -> dict[str, object] | None:
        lines = (world.folder / "access.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return next((row for row in found if row.get("txn") == "txn-logged"), None)

    row = until(line, "the line is written")  # Envoy writes every ten seconds
    assert (row["direction"], row["method"], row["path"], row["status"], row["cluster"]) == (
        *("outbound", "GET", "/y", 200, "pushed_token"),
    )
    written = (world.folder / "access.jsonl").read_text()
    assert not [secret for secret in ("query-canary", got.bearer) if secret in written]


@pytest.mark.must(36, 38)
def test_a_token_is_replaced_under_load_without_a_failed_call(ready: Pod) -> None:
    with Load(ready, "token.shop") as load:
        until(lambda: len(load.tokens) >= 2, "a second token is in use")
    assert set(load.statuses) == {200}
    assert ready.audit(destination="token") == []


def test_a_key_follows_its_file(world: World, ready: Pod) -> None:
    world.key.with_name("fresh").write_text("canary-api-key-2")
    with Load(ready, "key.shop") as load:
        world.key.with_name("fresh").rename(world.key)
        until(
            lambda: ready.call("key.shop").seen["x-api-key"] == "canary-api-key-2",
            "the new key is in use",
        )
    assert set(load.statuses) == {200}


@pytest.mark.must(37)
def test_a_killed_agent_and_its_successor_fail_no_call(ready: Pod) -> None:
    with Load(ready, "token.shop") as load:
        ready.agent.kill()
        ready.agent.wait()
        before = sum(load.statuses.values())
        until(lambda: sum(load.statuses.values()) > before + 100, "calls pass without an agent")
        ready.start_agent()
        until(lambda: injecting(ready, "token", "machine", "key"), "the successor pushes")
    assert set(load.statuses) == {200}


@pytest.mark.must(45)
def test_nobody_shows_the_credential(ready: Pod) -> None:
    token = ready.call("token.shop").bearer
    dump = requests.get(f"http://127.0.0.1:{ready.envoy_admin}/config_dump", timeout=LIMIT).text
    assert "credential_token" in dump
    written = ready.logged() + (ready.folder / "envoy.log").read_text() + dump
    written += str(ready.admin_json("/status"))
    for secret in (token, token.split(".")[2], "canary-api-key"):
        assert secret not in written


def test_what_needs_ads_is_refused_as_one_file(ready: Pod) -> None:
    attache = str(Path(sys.executable).with_name("attache"))
    made = subprocess.run(
        [attache, "envoy", "static", "--config", str(ready.file)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert made.returncode == 1
    assert "destination 'token' has delivery: sds" in made.stderr
    assert made.stdout == ""


@pytest.mark.must(36, 40)
def test_without_a_valid_token_the_agent_is_asked_and_says_why(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A cold start with the provider down, its recovery, an outage beyond the token's end."""
    world = World(tmp_path_factory.mktemp("short"), lifetime=5)
    try:
        world.idp.fault(Fault("html_error", "token"))
        pod = world.pod([world.destination("token", TOKEN, delivery="sds")])
        assert pod.call("token.shop").denial == (503, "issuer_unavailable")
        world.idp.clear_faults()
        until(lambda: pod.call("token.shop").status == 200, "it recovers by itself")
        until(lambda: injecting(pod, "token"), "the token is pushed")
        world.idp.fault(Fault("html_error", "token"))
        answers: list[Got] = []

        def denied() -> bool:
            answers.append(pod.call("token.shop"))
            return answers[-1].status != 200

        until(denied, "the token has expired")
        assert answers[-1].denial == (503, "issuer_unavailable")
        assert {each.status for each in answers} == {200, 503}  # never Envoy's bare 401
        assert "Envoy asks the agent for each call again" in pod.logged()
        world.idp.clear_faults()
        until(lambda: pod.call("token.shop").status == 200, "it recovers again")
        until(lambda: injecting(pod, "token"), "the token is pushed again")
    finally:
        world.stop()
