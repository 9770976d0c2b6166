"""With a real agent, Envoy and provider: the credentials that are the application's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.idp.caller import Caller
from demo.idp.faults import Fault
from tests.e2e.contract_outbound_tools import Pod, peek, together, until
from tests.e2e.ourselves_world import ASSIGNED, MACHINE, TASK_API, TENANT, World

pytestmark = pytest.mark.e2e

AUDIT = ["api://audit/.default"]
CREDENTIALS = {
    "by-secret": {"clientCredentials": {"identity": "secret", "scopes": AUDIT}},
    "by-certificate": {"clientCredentials": {"identity": "certificate", "scopes": AUDIT}},
    "by-vouching": {"clientCredentials": {"identity": "vouched", "scopes": AUDIT}},
    "machine": {"managedIdentity": {"scopes": AUDIT}},
    "assigned": {"managedIdentity": {"resource": "api://audit", "clientId": ASSIGNED}},
    "referred": {"managedIdentity": {"resource": "api://audit", "identity": "vouched"}},
    "nobody": {"managedIdentity": {"resource": "api://audit", "clientId": "nobody"}},
    "elsewhere": {"managedIdentity": {"resource": "api://nowhere"}},
    "behalf": {"obo": {"identity": "vouched", "scopes": ["api://notification/.default"]}},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("ourselves"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pod(world: World) -> Pod:
    key = {"secretFile": {"file": str(world.key), "header": "x-api-key"}}
    bearer = {"secretFile": {"file": str(world.key)}}
    entra = {"authority": world.idp.base_url, "caFile": str(world.idp.ca_file)}
    return world.pod(
        [
            *(world.destination(name, credential) for name, credential in CREDENTIALS.items()),
            world.destination("key", key),
            world.destination("bearer", bearer),
        ],
        routes=[{"path": "/**"}],
        issuers=[
            {"name": "e", "entra": entra | {"tenants": [TENANT], "audiences": [TASK_API]}},
        ],
    )


@pytest.mark.parametrize(
    ("name", "client"),
    [
        ("by-secret", TASK_API),
        ("by-certificate", TASK_API),
        ("by-vouching", TASK_API),
        ("machine", MACHINE),
        ("assigned", ASSIGNED),
        ("referred", ASSIGNED),
    ],
)
def test_the_destination_gets_our_own_token(pod: Pod, name: str, client: str) -> None:
    got = pod.call(f"{name}.shop", {"authorization": "Basic YTpi", "x-auth-subject": "forged"})
    claims = peek(got.bearer)
    assert (claims.get("azp") or claims["appid"], claims["tid"]) == (client, TENANT)
    assert "x-auth-subject" not in got.seen
    kind = next(iter(CREDENTIALS[name]))
    record = pod.record(destination=name, decision="allow")
    assert record["credential"] == f"{kind}:app"


def test_a_managed_identity_vouches_for_us_on_behalf_of_a_user(world: World, pod: Pod) -> None:
    with Caller(world.idp) as people:
        token = people.user_token("ada@contoso.example", "api://task-api/access_as_user")
    seen = pod.receive(token).seen
    claims = peek(pod.call("behalf.shop", {"baggage": seen["baggage"]}).bearer)
    assert claims["azp"] == TASK_API
    assert claims["name"] == "Ada Admin"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "has no managed identity 'nobody' (invalid_request). Assign it, or correct"),
        ("elsewhere", "does not know the resource 'api://nowhere'"),
    ],
)
def test_an_identity_that_is_not_ours_is_a_503_and_a_sentence(
    pod: Pod, name: str, said: str
) -> None:
    assert pod.call(f"{name}.shop").denial == (503, "credential_error")
    until(lambda: said in pod.logged(), "the log says what to do")


@pytest.mark.must(41)
def test_a_thousand_calls_ask_the_platform_once(world: World) -> None:
    """Each on a connection of its own, as many at once as one machine of two cores bears."""
    pod = world.pod([world.destination("cold", {"managedIdentity": {"resource": "api://audit"}})])
    world.idp.fault(Fault("latency", "imds", milliseconds=1000, count=1))
    before = world.asked("imds")
    jobs = [lambda: [pod.call("cold.shop").status for _ in range(10)]] * 100
    statuses = [status for batch in together(jobs) for status in batch]
    assert statuses == [200] * 1000
    assert world.asked("imds") == before + 1


@pytest.mark.must(38)
def test_trouble_at_the_platform_is_a_503_that_passes(world: World) -> None:
    credential = {"managedIdentity": {"resource": "api://audit"}}
    pod = world.pod([world.destination("shaken", credential)])
    world.idp.fault(Fault("throttle", "imds", count=1, retry_after=1))
    got = pod.call("shaken.shop")
    assert got.denial == (503, "rate_limited")
    assert int(got.headers["retry-after"]) >= 1
    until(lambda: pod.call("shaken.shop").status == 200, "the token comes")
    world.idp.fault(Fault("html_error", "imds", count=None))
    assert [pod.call("shaken.shop").status for _ in range(5)] == [200] * 5
    world.idp.clear_faults()


def test_a_key_is_sent_in_its_header_and_follows_its_file(world: World, pod: Pod) -> None:
    got = pod.call("key.shop", {"authorization": "Basic YTpi", "x-api-key": "theirs"})
    assert got.seen["x-api-key"] == "canary-api-key-1"
    assert "authorization" not in got.seen
    assert pod.call("bearer.shop").bearer == "canary-api-key-1"
    fresh = world.key.with_name("fresh")
    fresh.write_text("canary-api-key-2")
    fresh.rename(world.key)
    until(
        lambda: pod.call("key.shop").seen["x-api-key"] == "canary-api-key-2",
        "the new key is in use",
    )
    world.key.unlink()
    until(lambda: "The last key serves" in pod.logged(), "the missing file is noticed")
    assert pod.call("key.shop").seen["x-api-key"] == "canary-api-key-2"
    world.key.write_text("canary-api-key-3")
    until(lambda: pod.call("key.shop").seen["x-api-key"] == "canary-api-key-3", "it is back")


@pytest.mark.must(45)
def test_no_credential_is_in_what_the_agent_wrote(world: World, pod: Pod) -> None:
    token = pod.call("machine.shop").bearer
    written = pod.logged() + (pod.folder / "audit.jsonl").read_text()
    status = str(pod.admin_json("/status"))
    for secret in ("canary-api-key", "demo-secret", token, token.split(".")[2]):
        assert secret not in written + status
