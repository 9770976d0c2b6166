"""An issuer without discovery: its keys are a mounted file, or a document at a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.fetch import Fetcher
from agent.identity.principal import Verified

NOW = 1_800_000_000.0
ISS = "https://kubernetes.default.svc.cluster.local"
CLAIMS = {"iss": ISS, "aud": "orders", "sub": "alice", "client_id": "spa", "exp": NOW + 300_000}
PACE = 2  # seconds between two looks at a file


@pytest.fixture
def mounted(build: Any, ring: Any, tmp_path: Path) -> Any:
    file = tmp_path / "jwks.json"
    file.write_bytes(ring.jwks("rsa"))
    oidc = {"issuer": ISS, "audiences": ["orders"], "jwks": {"file": str(file)}}
    return file, build(Fetcher(), {"name": "cluster", "oidc": oidc})


def look(world: Any, settled: Any) -> dict[str, Any]:
    """Let the time pass until the file has been looked at again."""
    (source,) = world.trust._sources.values()
    attempts = source.attempts
    world.clock.now += PACE
    world.trust._refresher.wake()
    settled(lambda: source.attempts > attempts)
    return dict(world.trust.status()[0])


def test_no_discovery_is_needed(mounted: Any, ring: Any) -> None:
    file, world = mounted
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS)), Verified)
    (row,) = world.trust.status()
    assert (row["source"], row["issuer"], row["keys"]) == (str(file), ISS, ["rsa"])


@pytest.mark.must(33, 35)
def test_a_new_key_in_the_file_is_used_and_a_removed_one_is_not(
    mounted: Any, ring: Any, settled: Any
) -> None:
    file, world = mounted
    old = ring.mint("rsa", CLAIMS)
    assert isinstance(world.verify(old), Verified)
    file.write_bytes(ring.jwks("rsa-b"))
    look(world, settled)
    assert isinstance(world.verify(ring.mint("rsa-b", CLAIMS)), Verified)
    found = world.verify(old)  # although it is in the cache
    assert isinstance(found, Denial)
    assert found.reason is Reason.UNKNOWN_KEY


@pytest.mark.must(35)
@pytest.mark.parametrize(
    "content", [None, b"", b"<html>", b'{"keys":[]}', b'{"keys":[', b'{"keys":{}}'], ids=str
)
def test_a_file_that_vanished_or_broke_keeps_the_last_good_keys_for_a_day(
    mounted: Any, ring: Any, settled: Any, content: bytes | None
) -> None:
    file, world = mounted
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    row = look(world, settled)
    assert (row["failures"], row["usable"]) == (1, True)
    assert str(file) in row["error"] or "keys" in row["error"]
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS)), Verified)
    world.clock.now = NOW + 86_400
    found = world.verify(ring.mint("rsa", CLAIMS))
    assert isinstance(found, Denial)
    assert found.reason is Reason.ISSUER_UNAVAILABLE
    file.write_bytes(ring.jwks("rsa"))
    look(world, settled)
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS)), Verified)


@pytest.mark.must(5, 35)
@pytest.mark.parametrize("kid", [None, "", "other"])
def test_one_key_alone_is_no_default_key(mounted: Any, ring: Any, kid: str | None) -> None:
    _, world = mounted
    found = world.verify(ring.mint("rsa", CLAIMS, kid=kid))
    assert isinstance(found, Denial)
    assert found.reason is Reason.UNKNOWN_KEY


def test_keys_at_a_url_with_a_ca_of_their_own(build: Any, site: Any, ring: Any) -> None:
    site.answers["/openid/v1/jwks"] = ring.jwks("rsa")
    jwks = {"url": f"{site.origin}/openid/v1/jwks", "caFile": str(site.ca_file)}
    entry = {"name": "cluster", "oidc": {"issuer": ISS, "audiences": ["orders"], "jwks": jwks}}
    world = build(Fetcher(), entry)
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS)), Verified)
    assert set(site.asked) == {"/openid/v1/jwks"}


@pytest.mark.parametrize("issuer", ["kubernetes/serviceaccount", "urn:example:issuer"])
def test_an_issuer_that_is_not_asked_for_keys_may_have_any_name(
    build: Any, web: Any, ring: Any, tmp_path: Path, issuer: str
) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(ring.jwks("rsa"))
    oidc = {"issuer": issuer, "audiences": ["orders"], "jwks": {"file": str(file)}}
    world = build(web, {"name": "legacy", "oidc": oidc})
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS | {"iss": issuer})), Verified)
