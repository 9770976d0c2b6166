"""With a real agent and its real sockets: tokens for calls that are not HTTP, by the same rules."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import requests

from tests.e2e.contract_outbound_tools import peek, until
from tests.e2e.entra_sidecar_client import SidecarProblem
from tests.e2e.ourselves_world import TASK_API, TENANT
from tests.e2e.token_world import FRIEND, TokenWorld

pytestmark = pytest.mark.e2e

ADA, ED = "ada@contoso.example", "ed@contoso.example"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenWorld]:
    made = TokenWorld(tmp_path_factory.mktemp("tokens"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def ada(world: TokenWorld) -> str:
    return world.people.user_token(ADA, "api://task-api/access_as_user")


def refusal(call: grpc.Call) -> tuple[grpc.StatusCode, str]:
    return call.code(), dict(call.trailing_metadata())["x-attache-reason"]


# --- a client of Microsoft's sidecar, by its public documentation


@pytest.mark.must(25, 27, 28, 45)
def test_a_client_of_microsofts_sidecar_gets_a_header_on_behalf_of_its_caller(
    world: TokenWorld, ada: str
) -> None:
    header = world.sidecar.authorization_header("database", f"Bearer {ada}")
    claims = peek(header)
    assert (claims["name"], claims["tid"], claims["azp"]) == ("Ada Admin", TENANT, TASK_API)
    record = world.pod.record(path="/AuthorizationHeader/database", decision="allow")
    assert record["destination"] == record["route"] == "database"
    assert (record["direction"], record["credential"]) == ("outbound", "obo:user")
    assert record["subject"] == peek(ada)["oid"]
    asked = world.world.asked("token")
    assert world.sidecar.authorization_header("Database", f"Bearer {ada}") == header
    assert world.world.asked("token") == asked  # from the cache


def test_it_gets_a_header_for_the_application_itself(world: TokenWorld, ada: str) -> None:
    scopes = [("optionsOverride.Scopes", "api://audit/.default")]
    app = [("optionsOverride.RequestAppToken", "true")]
    header = world.sidecar.application_header("broker")
    assert "name" not in peek(header)
    assert world.sidecar.application_header("broker", scopes) == header
    assert world.sidecar.authorization_header("broker", f"Bearer {ada}", app) == header


def test_it_learns_the_claims_of_a_token_that_verifies(world: TokenWorld, ada: str) -> None:
    claims = world.sidecar.validate(f"Bearer {ada}")
    assert claims == peek(ada)
    record = world.pod.record(path="/Validate", decision="allow")
    assert (record["direction"], record["subject"]) == ("inbound", claims["oid"])
    assert world.sidecar.healthy()


@pytest.mark.must(14, 18, 21, 28)
def test_what_it_does_not_get_is_a_problem_with_a_reason(world: TokenWorld, ada: str) -> None:
    sidecar, user = world.sidecar, f"Bearer {ada}"
    forged = f"{user[:-8]}AAAAAAAA"
    agent = [("AgentIdentity", TASK_API)]
    tenant = [("optionsOverride.AcquireTokenOptions.Tenant", "common")]
    for ask, status, reason in (
        (lambda: sidecar.authorization_header("database", ""), 401, "missing_token"),
        (lambda: sidecar.authorization_header("database", forged), 401, "invalid_token"),
        (lambda: sidecar.authorization_header("broker", forged), 401, "invalid_token"),
        (lambda: sidecar.validate(""), 401, "missing_token"),
        (lambda: sidecar.validate(forged), 401, "invalid_token"),
        (lambda: sidecar.application_header("database"), 403, "no_subject"),
        (lambda: sidecar.authorization_header("other", user), 404, "destination_not_allowed"),
        (lambda: sidecar.authorization_header("hidden", user), 404, "destination_not_allowed"),
        (lambda: sidecar.application_header("../../x"), 404, "destination_not_allowed"),
        (lambda: sidecar.application_header("key"), 400, "destination_not_allowed"),
        (lambda: sidecar.application_header("broker", agent), 400, "destination_not_allowed"),
        (
            lambda: sidecar.authorization_header("database", user, tenant),
            400,
            "destination_not_allowed",
        ),
    ):
        with pytest.raises(SidecarProblem) as caught:
            ask()
        problem = caught.value
        assert (problem.status, problem.document["type"]) == (status, f"urn:attache:{reason}")
        assert problem.headers["x-correlation-id"] == problem.document["correlationId"]
        assert ("www-authenticate" in problem.headers) == (status == 401)
        record = world.pod.record(txn=problem.document["correlationId"])
        assert (record["decision"], record["reason"]) == ("deny", reason)


@pytest.mark.must(24, 47)
def test_no_page_in_a_browser_gets_anything(world: TokenWorld) -> None:
    url = f"http://127.0.0.1:{world.port}/AuthorizationHeaderUnauthenticated/broker"
    assert requests.get(url, timeout=10).status_code == 200
    for headers in (
        {"Host": "rebound.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Mode": "navigate"},
    ):
        got = requests.get(url, headers=headers, timeout=10)
        assert got.status_code == 403, headers
        assert "access-control-allow-origin" not in got.headers
    downstream = f"http://127.0.0.1:{world.port}/DownstreamApi/broker"
    got = requests.post(downstream, json={"a": 1}, timeout=10)
    assert (got.status_code, got.headers["connection"]) == (501, "close")
    assert requests.post(url, timeout=10).status_code == 405


# --- gRPC


@pytest.mark.must(25, 28, 29)
def test_what_the_application_received_is_the_link_to_its_caller(
    world: TokenWorld, ada: str
) -> None:
    """Envoy let the request in; the application hands over what it saw, or its tracer does."""
    seen = world.pod.receive(ada).seen
    for headers, metadata in (
        (seen, {}),
        ({"baggage": seen["baggage"]}, {}),
        ({"X-Attache-Context": seen["x-attache-context"]}, {}),
        ({}, {"traceparent": seen["traceparent"], "baggage": seen["baggage"]}),
        ({"authorization": f"Bearer {ada}"}, {}),
        ({}, {"authorization": f"Bearer {ada}"}),
    ):
        got = world.rpc.token("database", headers, metadata)
        assert (got.header, got.value, got.acts_as) == (
            "authorization",
            f"Bearer {got.token}",
            "user",
        )
        assert peek(got.token)["name"] == "Ada Admin"
        assert got.expires_at == peek(got.token)["exp"] or got.expires_at > time.time() + 60
    got = world.rpc.token("database", seen)
    assert got.correlation_id == seen["x-correlation-id"]
    record = world.pod.record(txn=got.correlation_id, direction="outbound")
    assert record["path"] == "/attache.tokens.v1.TokenService/GetToken"
    assert (record["subject"], record["method"]) == (peek(ada)["oid"], "POST")
    assert world.sidecar.authorization_header("database", "", baggage=seen["baggage"])


@pytest.mark.must(28, 29)
def test_carriers_that_disagree_get_nothing(world: TokenWorld, ada: str) -> None:
    other = world.people.user_token(ED, "api://task-api/access_as_user")
    seen = world.pod.receive(ada).seen
    with pytest.raises(grpc.RpcError) as caught:
        world.rpc.token("database", {**seen, "authorization": f"Bearer {other}"})
    wanted = (grpc.StatusCode.PERMISSION_DENIED, "ambiguous_subject")
    assert refusal(caught.value) == wanted


def test_an_application_asks_for_itself_and_for_a_key(world: TokenWorld, ada: str) -> None:
    got = world.rpc.token("broker")
    assert (got.acts_as, "name" in peek(got.token)) == ("app", False)
    key = world.rpc.token("key", as_application=True)
    assert (key.header, key.value, key.token) == ("x-api-key", *["canary-api-key-1"] * 2)
    assert key.expires_at == 0
    shown = world.rpc.validate(f"Bearer {ada}")
    assert (shown.kind, shown.subject, shown.tenant) == ("user", peek(ada)["oid"], TENANT)
    assert json.loads(shown.claims) == peek(ada)


@pytest.mark.must(18, 21, 39)
def test_a_refusal_is_a_status_with_its_reason(world: TokenWorld, ada: str) -> None:
    code = grpc.StatusCode
    seen = world.pod.receive(ada).seen
    for ask, wanted in (
        (lambda: world.rpc.token("database"), (code.PERMISSION_DENIED, "no_subject")),
        (lambda: world.rpc.token("nowhere"), (code.NOT_FOUND, "destination_not_allowed")),
        (lambda: world.rpc.token("hidden"), (code.NOT_FOUND, "destination_not_allowed")),
        (
            lambda: world.rpc.token("database", seen, as_application=True),
            (code.PERMISSION_DENIED, "no_subject"),
        ),
        (lambda: world.rpc.validate("Bearer x.y.z"), (code.UNAUTHENTICATED, "malformed_token")),
        (
            lambda: world.rpc.token("broker", {"authorization": "Bearer a,Bearer b"}),
            (code.UNAUTHENTICATED, "malformed_token"),
        ),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            ask()
        assert refusal(caught.value) == wanted
        assert re.fullmatch(r"\w+: .+ \(correlation id .+\)", caught.value.details())


CONNECT = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[2]))
peer = socket.socket(socket.AF_UNIX)
peer.settimeout(10)
peer.connect(sys.argv[1])
try:
    print(len(peer.recv(100)))  # our server introduces itself to whom it talks
except ConnectionResetError:
    print(0)
"""


@pytest.mark.must(24)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
def test_the_kernels_word_on_who_connects_decides(world: TokenWorld) -> None:
    place = Path(world.socket)
    assert stat.S_IMODE(place.stat().st_mode) == 0o660
    place.parent.chmod(0o711)

    def greeted(uid: int, group: int) -> str:
        command = [sys.executable, "-c", CONNECT, world.socket, str(uid), str(group)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    assert int(greeted(0, 0)) > 0
    assert int(greeted(FRIEND, 0)) > 0
    assert greeted(65_534, 0) == "0"  # the file's mode lets them in, the list does not
    assert "PermissionError" in greeted(65_534, 65_534)
    until(lambda: "a process of user 65534 connected" in world.pod.logged(), "it is said")


@pytest.mark.must(45, 46)
def test_no_token_is_in_what_the_agent_wrote(world: TokenWorld, ada: str) -> None:
    got = world.rpc.token("database", {"authorization": f"Bearer {ada}"})
    with contextlib.suppress(SidecarProblem):
        world.sidecar.authorization_header("database", "Bearer canary.canary.canary")
    written = world.pod.logged() + (world.pod.folder / "audit.jsonl").read_text()
    written += str(world.pod.admin_json("/status"))
    written += requests.get(f"http://127.0.0.1:{world.pod.admin}/metrics", timeout=10).text
    for secret in (got.token, got.token.split(".")[2], ada.split(".")[2], "canary"):
        assert secret not in written


def test_what_is_handed_out_is_taken_over_live(world: TokenWorld) -> None:
    file, before = world.pod.file, world.pod.file.read_text()
    config = json.loads(before)
    assert not _handed(world, "hidden")
    config["tokenService"]["destinations"] += ["hidden"]
    file.write_text(json.dumps(config))
    until(lambda: _handed(world, "hidden"), "the new destination")
    assert _handed(world, "broker")
    file.write_text(before)
    until(lambda: not _handed(world, "hidden"), "the old ones")


def _handed(world: TokenWorld, name: str) -> bool:
    try:
        return bool(world.rpc.token(name).token)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - every other is a fault
        return False
