"""The assembly: reload, readiness, status, and a whole run over real TLS."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.fetch import Fetcher
from agent.identity.principal import Verified
from agent.identity.trust import Trust

ISS, OTHER = "https://op.example", "https://other.example"
NOW = 1_800_000_000.0
CLAIMS = {"iss": ISS, "aud": "orders", "sub": "alice", "exp": NOW + 300}


def oidc(issuer: str, name: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "oidc": {"issuer": issuer, "audiences": ["orders"]} | members}


def later(trust: Trust, settled: Any, reached: Any) -> None:
    """Have the refresher look at the clock that the test moved, and wait for what comes of it."""
    trust._refresher.wake()
    settled(reached)


@pytest.fixture
def op(web: Any, ring: Any) -> Any:
    web.publish(ISS, ISS, ring.jwks("rsa"))
    web.publish(OTHER, OTHER, ring.jwks("rsa-b"))
    return web


def reload(world: Any, config: Any) -> Trust:
    return Trust.build(config, world.clock, world.web, world.trust)


class Instant:
    now, deadline = NOW, 30.0


def test_a_reload_keeps_the_keys_of_issuers_that_did_not_change(
    build: Any, op: Any, ring: Any, configure: Any
) -> None:
    world = build(op, oidc(ISS, "op"))
    fetched = list(op.fetched)
    after = reload(world, configure(oidc(ISS, "renamed", audiences=["billing"])))
    assert after.missing() == []
    assert op.fetched == fetched
    found = after.verify(ring.mint("rsa", CLAIMS | {"aud": "billing"}), Instant())
    assert isinstance(found, Verified)
    assert found.principal.issuer_name == "renamed"


@pytest.mark.must(15)
def test_a_reload_forgets_every_verified_token(
    build: Any, op: Any, ring: Any, configure: Any
) -> None:
    world = build(op, oidc(ISS, "op"))
    token = ring.mint("rsa", CLAIMS)
    assert isinstance(world.verify(token), Verified)
    after = reload(world, configure(oidc(ISS, "op", audiences=["billing"])))
    found = after.verify(token, Instant())
    assert isinstance(found, Denial)
    assert found.reason is Reason.WRONG_AUDIENCE
    assert isinstance(world.verify(token), Verified)  # until the swap the old one answers


@pytest.mark.parametrize(
    "change", [{"algorithms": ["PS256"]}, {"caFile": "/ca.pem"}, {"issuer": OTHER}], ids=str
)
def test_a_reload_trusts_no_old_keys_under_new_rules(
    build: Any, op: Any, configure: Any, change: dict[str, Any]
) -> None:
    world = build(op, oidc(ISS, "op"))
    entry = oidc(ISS, "op")
    entry["oidc"] |= change
    after = reload(world, configure(entry))
    assert len(after.missing()) == 1


def test_a_reload_waits_for_the_keys_of_new_issuers(
    build: Any, op: Any, ring: Any, configure: Any
) -> None:
    world = build(op, oidc(ISS, "op"))
    after = reload(world, configure(oidc(ISS, "op"), oidc(OTHER, "other")))
    assert [sentence.split(":")[0] for sentence in after.missing()] == ["issuer 'other'"]
    after.start()
    try:
        assert after.wait_ready(30)
        found = after.verify(ring.mint("rsa-b", CLAIMS | {"iss": OTHER}), Instant())
        assert isinstance(found, Verified)
    finally:
        after.stop()


def test_the_old_trust_may_stop_while_the_new_one_uses_its_keys(
    build: Any, op: Any, ring: Any, configure: Any, settled: Any
) -> None:
    world = build(op, oidc(ISS, "op"))
    after = reload(world, configure(oidc(ISS, "op")))
    after.start()
    try:
        world.trust.stop()
        op.documents[f"{ISS}/keys"] = ring.jwks("rsa", "ec256")
        assert isinstance(after.verify(ring.mint("ec256", CLAIMS), Instant()), Verified)
    finally:
        after.stop()


@pytest.mark.must(40, 44)
def test_what_is_missing_is_said_with_its_reason_and_ends_by_itself(
    build: Any, op: Any, ring: Any, settled: Any
) -> None:
    documents = dict(op.documents)
    op.documents.clear()
    world = build(op, oidc(ISS, "op"), ready=False)
    settled(lambda: "404" in str(world.trust.missing()))
    (sentence,) = world.trust.missing()
    assert sentence.startswith("issuer 'op': no keys (")
    assert not world.trust.wait_ready(0)
    op.documents.update(documents)
    world.clock.now += 300
    assert world.trust.wait_ready(30)
    assert world.trust.missing() == []


def test_a_configuration_without_issuers_is_ready_and_trusts_nobody(
    build: Any, web: Any, ring: Any
) -> None:
    world = build(web)
    found = world.verify(ring.mint("rsa", CLAIMS))
    assert isinstance(found, Denial)
    assert found.reason is Reason.UNTRUSTED_ISSUER


@pytest.mark.must(44)
def test_status_tells_documents_ages_and_errors(
    build: Any, op: Any, ring: Any, settled: Any
) -> None:
    op.documents[f"{ISS}/keys"] = ring.jwks("rsa", ring.jwk("rsa-small"))
    world = build(op, oidc(ISS, "op"))
    world.clock.now += 120
    (row,) = world.trust.status()
    assert row["name"] == "op"
    assert row["kind"] == "oidc"
    assert row["issuer"] == ISS
    assert row["keys"] == ["rsa"]
    assert "1024 bits" in row["refused"][0]
    assert (row["ageSeconds"], row["usable"], row["error"]) == (120, True, None)
    assert json.dumps(row)
    op.documents.clear()
    world.clock.now += 3600
    later(world.trust, settled, lambda: world.trust.status()[0]["failures"] == 1)
    (row,) = world.trust.status()
    assert "404" in row["error"]
    assert row["keys"] == ["rsa"]
    assert row["ageSeconds"] == 3720


@pytest.mark.must(7)
def test_the_skew_is_the_operators(build: Any, op: Any, ring: Any) -> None:
    world = build(op, oidc(ISS, "op"), clockSkew="5s")
    token = ring.mint("rsa", CLAIMS)
    assert isinstance(world.verify(token, NOW + 304.9), Verified)
    assert isinstance(world.verify(token, NOW + 305), Denial)


FAULTS: dict[str, Any] = {
    "html": b"<html>Sign in</html>",
    "empty": b"",
    "two mebibytes": b"x" * 2 * 1024 * 1024,
    "another issuer": b'{"issuer":"https://evil.example","jwks_uri":"https://evil.example/k"}',
}


def redirect(handler: Any) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.end_headers()


@pytest.mark.must(32, 35, 38)
@pytest.mark.parametrize("fault", [*FAULTS, "redirect", "hang"])
def test_over_real_tls_a_fault_keeps_the_last_good_keys_and_heals(
    site: Any, ring: Any, configure: Any, settled: Any, fault: str
) -> None:
    discovery = "/.well-known/openid-configuration"
    good = json.dumps({"issuer": site.origin, "jwks_uri": f"{site.origin}/keys"}).encode()
    site.answers |= {discovery: good, "/keys": ring.jwks("rsa")}
    bad = FAULTS.get(fault) or {
        "redirect": redirect,
        "hang": lambda handler: site.released.wait(),
    }.get(fault, b"")
    now = [NOW]
    config = configure(oidc(site.origin, "op", caFile=str(site.ca_file)))
    trust = Trust.build(config, lambda: now[0], Fetcher(read=0.2))
    trust.start()
    try:
        assert trust.wait_ready(30), trust.missing()
        site.answers[discovery] = bad
        now[0] += 3600
        later(trust, settled, lambda: trust.status()[0]["failures"] == 1)
        assert "/elsewhere" not in site.asked
        token = ring.mint("rsa", CLAIMS | {"iss": site.origin})
        assert isinstance(trust.verify(token, Instant()), Verified)
        site.answers |= {discovery: good, "/keys": ring.jwks("rsa", "rsa-b")}
        now[0] += 300
        later(trust, settled, lambda: trust.status()[0]["keys"] == ["rsa", "rsa-b"])
        assert trust.status()[0]["error"] is None
    finally:
        trust.stop()


@pytest.mark.must(38)
def test_over_real_tls_an_issuer_that_hangs_delays_no_other(
    site: Any, ring: Any, configure: Any
) -> None:
    held = threading.Event()
    for name in ("a", "b"):
        issuer = f"{site.origin}/{name}"
        said = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        site.answers[f"/{name}/.well-known/openid-configuration"] = json.dumps(said).encode()
        site.answers[f"/{name}/keys"] = ring.jwks("rsa")

    def hang(handler: Any) -> None:
        held.set()
        site.released.wait()

    site.answers["/a/keys"] = hang
    ca = str(site.ca_file)
    config = configure(
        oidc(f"{site.origin}/a", "a", caFile=ca), oidc(f"{site.origin}/b", "b", caFile=ca)
    )
    trust = Trust.build(config, lambda: NOW, Fetcher(read=60, total=60))
    trust.start()
    try:
        assert held.wait(30)
        token = ring.mint("rsa", CLAIMS | {"iss": f"{site.origin}/b"})
        while not isinstance(trust.verify(token, Instant()), Verified):
            assert not trust.wait_ready(0.01)
        denied = trust.verify(ring.mint("rsa", CLAIMS | {"iss": f"{site.origin}/a"}), Instant())
        assert isinstance(denied, Denial)
        assert denied.reason is Reason.ISSUER_UNAVAILABLE
    finally:
        site.released.set()
        trust.stop()


@pytest.mark.must(45)
def test_nothing_that_is_logged_or_shown_holds_a_token(
    build: Any, op: Any, ring: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    world = build(op, oidc(ISS, "op"))
    tokens = [ring.mint("rsa", CLAIMS), ring.mint("rsa-b", CLAIMS, kid="rsa")]
    for token in tokens:
        world.verify(token)
    shown = caplog.text + json.dumps(world.trust.status()) + str(world.trust.missing())
    for token in tokens:
        for part in token.split("."):
            assert part not in shown


def test_a_file_of_keys_is_enough(
    build: Any, web: Any, ring: Any, settled: Any, tmp_path: Path
) -> None:
    file = tmp_path / "jwks.json"
    internal = {
        "trustDomain": "shop.internal",
        "issuers": [ISS],
        "audience": "task-api",
        "jwks": {"file": str(file)},
    }
    world = build(web, {"name": "mesh", "internal": internal}, ready=False)
    settled(lambda: world.trust.status()[0]["failures"] == 1)
    assert not world.trust.wait_ready(0)
    file.write_bytes(ring.jwks(ring.jwk("ec256", workload="w")))
    world.clock.now += 2
    assert world.trust.wait_ready(30)
    (row,) = world.trust.status()
    assert (row["source"], row["keys"]) == (str(file), ["ec256"])
