"""Does each destination get its credential, from an authorization server of our own?"""

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.contract_outbound_sts import (
    CLAIMS,
    CLIENT,
    HOME,
    OTHER,
    Signing,
)
from tests.e2e.contract_outbound_tools import Got, peek, together, until
from tests.e2e.contract_outbound_world import CREDENTIALS, TROUBLES, World, pick

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("judge")
    Signing(folder / "keys", "judge/front")
    made = World(folder)
    yield made
    made.stop()


def challenge(got: Got) -> dict[str, str]:
    return dict(re.findall(r'([a-z_]+)="([^"]*)"', got.headers["www-authenticate"]))


# Destinations


@pytest.mark.must(25)
@pytest.mark.parametrize("absolute", [False, True], ids=["host", "proxy"])
@pytest.mark.parametrize(
    ("host", "by"),
    [
        ("nothing.shop:8100", "nothing"),
        ("NOTHING.Shop:8100", "nothing"),
        ("log.alias", "log"),
        ("log.alias:80", "log"),
        ("secure.shop", "secure"),
        ("log.shop", ""),
        ("log.shop:80", ""),
        ("log.alias:8100", ""),
        ("xlog.alias", ""),
        ("log.alias.evil.test", ""),
        ("unknown.shop", ""),
    ],
)
def test_a_call_goes_to_the_destination_that_its_host_names(
    world: World, host: str, by: str, absolute: bool
) -> None:
    got = world.front.call(host, {"authorization": "Basic YTpi"}, absolute=absolute)
    if not by:
        assert got.denial == (403, "destination_not_allowed")
        return
    assert got.by == by
    assert got.seen.get("authorization", "") != "Basic YTpi"
    assert got.seen["x-correlation-id"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", got.seen["traceparent"])


@pytest.mark.must(25)
def test_the_absolute_form_wins_over_a_forged_host(world: World) -> None:
    got = world.front.call("nothing.shop:8100", {"host": "log.alias"}, absolute=True)
    assert got.by == "nothing"
    assert "authorization" not in got.seen


@pytest.mark.parametrize("host", ["absent.shop", "distrusted.shop"])
def test_a_destination_that_is_not_there_is_a_plain_503(world: World, host: str) -> None:
    assert world.front.call(host).status in (502, 503)


# Credentials


def test_each_destination_gets_its_own_credential(world: World) -> None:
    token = world.sts.issue("u-1", tid=OTHER)
    seen = world.front.receive(token, x_correlation_id="txn-each").seen
    got = {
        name: world.front.call(f"{name}.shop:8100", pick(seen, "baggage")) for name in CREDENTIALS
    }
    assert "authorization" not in got["nothing"].seen
    assert got["suite"].bearer == got["suite-any"].bearer == token
    claims = peek(got["behalf"].bearer)
    assert (claims["oid"], claims["tid"], claims["aud"]) == ("u-1", OTHER, "api://behalf")
    claims = peek(got["log"].bearer)
    assert (claims["tid"], claims["aud"], claims["idtyp"]) == (HOME, "api://log", "app")
    assert got["basic"].bearer == "opaque-basic-a.b-"
    assert got["post"].bearer == "opaque-post-c-urn.x"
    assert got["refused"].denial == (503, "credential_error")
    for name in ("minted", "minted-any"):
        claims = peek(got[name].bearer)
        assert (claims["tid"], claims["txn"], claims["client_id"]) == (
            OTHER,
            "txn-each",
            "judge/front",
        )
        assert claims["idtyp"] == "user"
    assert peek(got["minted"].bearer)["name"] == "Name u-1"
    assert peek(got["minted-app"].bearer)["sub"] == "judge/front"
    for answer in got.values():
        if answer.status == 200:
            assert answer.seen["x-correlation-id"] == "txn-each"


# caller → what each destination answers it
CALLERS = {
    "nobody": {
        "suite": "no_subject",
        "suite-any": "no_subject",
        "minted": "no_subject",
        "minted-app": "app",
        "minted-any": "app",
        "behalf": "no_subject",
        "log": "app",
    },
    "application": {
        "suite": "user_required",
        "suite-any": "own",
        "minted": "user_required",
        "minted-app": "app",
        "minted-any": "app",
        "behalf": "user_required",
        "log": "app",
    },
}


@pytest.mark.must(28)
@pytest.mark.parametrize("caller", CALLERS)
def test_without_a_user_only_what_needs_none_is_sent(world: World, caller: str) -> None:
    token = world.sts.issue("app-1", app=True)
    seen = world.front.receive(token).seen if caller == "application" else {}
    for name, wanted in CALLERS[caller].items():
        got = world.front.call(f"{name}.shop:8100", pick(seen, "x-attache-context"))
        if wanted == "own":
            assert got.bearer == token
        elif wanted == "app":
            assert peek(got.bearer)["idtyp"] == "app", name
        else:
            assert got.denial == (403, wanted), name


@pytest.mark.must(28, 45)
@pytest.mark.parametrize(
    ("destination", "caller", "credential"),
    [
        ("minted-any", "nobody", "internal:app"),
        ("minted-any", "application", "internal:app"),
        ("minted-any", "user", "internal:user"),
        ("suite-any", "application", "forward:app"),
        ("suite-any", "user", "forward:user"),
        ("minted", "user", "internal:user"),
        ("minted-app", "user", "internal:app"),
        ("minted", "nobody", None),
        ("minted", "application", None),
        ("suite", "application", None),
        ("behalf", "application", None),
    ],
)
def test_either_becomes_the_application_only_where_written_and_the_record_says_so(
    world: World, destination: str, caller: str, credential: str | None
) -> None:
    carried = {}
    if caller != "nobody":
        token = world.sts.issue(f"either-{caller}", app=caller == "application")
        carried = pick(world.front.receive(token).seen, "x-attache-context")
    got = world.front.call(f"{destination}.shop:8100", carried)
    correlation = got.headers.get("x-correlation-id") or got.seen["x-correlation-id"]
    record = world.front.record(txn=correlation, destination=destination)
    assert record["decision"] == ("allow" if credential else "deny")
    if credential:
        assert record["credential"] == credential
        assert record["kind"] == ("user" if caller == "user" else "app")


@pytest.mark.parametrize("name", TROUBLES)
def test_an_error_of_the_token_endpoint_becomes_an_answer_to_act_on(
    world: World, name: str
) -> None:
    _, status, reason = TROUBLES[name]
    seen = world.front.receive(world.sts.issue("u-err")).seen
    got = world.front.call(f"{name}.trouble", pick(seen, "baggage"))
    assert got.denial == (status, reason)
    assert got.headers["content-type"] == "application/problem+json"
    assert got.body["correlationId"] == seen["x-correlation-id"]
    if name == "mfa":
        said = challenge(got)
        assert said["error"] == "insufficient_claims"
        assert json.loads(base64.b64decode(said["claims"])) == json.loads(CLAIMS)
        assert said["client_id"] == CLIENT
        assert said["authorization_uri"].startswith("https://")
    elif status != 401:
        assert "www-authenticate" not in got.headers
    if name == "consent":
        assert "api://consent/.default" in json.dumps(got.body)
    if name == "throttled":
        assert 1 <= int(got.headers["retry-after"]) <= 17
    if name == "secret":
        said = until(lambda: "Rotate the secret" in world.front.logged(), "a sentence in the log")
        assert said


@pytest.mark.must(38, 39)
def test_a_server_that_hangs_is_answered_in_time_and_delays_no_other(world: World) -> None:
    seen = world.front.receive(world.sts.issue("u-hang", tid=OTHER)).seen
    carried = pick(seen, "baggage")
    results: list[Got] = []
    calls = [
        threading.Thread(target=lambda: results.append(world.front.call("hang.trouble", carried)))
        for _ in range(8)
    ]
    for call in calls:
        call.start()
    until(lambda: any("api://hang/" in a["scope"] for a in world.sts.asked), "it was asked")
    assert world.front.call("behalf.alias", carried).status == 200
    assert world.front.call("basic.alias", carried).status == 200
    assert all(call.is_alive() for call in calls), "the others waited for the one that hangs"
    for call in calls:
        call.join()
    assert {got.status for got in results} == {503}
    assert {got.denial[1] for got in results} <= {"deadline", "issuer_unavailable"}


@pytest.mark.must(27, 41)
@pytest.mark.parametrize(("people", "each"), [(4, 50), (120, 1)])
def test_many_misses_of_a_user_make_one_request_and_users_are_never_mixed(
    world: World, people: int, each: int
) -> None:
    users = [f"crowd-{people}-{n}" for n in range(people)]
    carried = {
        user: pick(world.front.receive(world.sts.issue(user)).seen, "x-attache-context")
        for user in users
    }
    world.sts.gate.clear()
    opened = threading.Timer(0.5, world.sts.gate.set)
    opened.start()
    calls = [
        lambda user=user: (user, world.front.call("crowd.trouble", carried[user]))
        for _ in range(each)
        for user in users
    ]
    for user, got in together(calls):
        assert peek(got.bearer)["oid"] == user
    opened.join()
    asked = [peek(a["assertion"])["oid"] for a in world.sts.asked if "api://crowd/" in a["scope"]]
    assert sorted(oid for oid in asked if oid in carried) == sorted(users)


def test_a_secret_that_was_rotated_on_disk_is_used_without_a_restart(world: World) -> None:
    def call() -> Got:
        seen = world.front.receive(world.sts.issue(uuid.uuid4().hex)).seen
        return world.front.call("rotated.trouble", pick(seen, "baggage"))

    assert call().status == 200
    world.sts.secret = "second-secret"
    assert call().denial == (503, "credential_error")
    world.secret.write_text("second-secret")
    until(lambda: call().status == 200, "the new secret is used")
