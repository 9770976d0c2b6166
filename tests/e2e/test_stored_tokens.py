"""A person logs in once; calls, restarts and kills go on with what was stored. All real."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from agent.config.loading import load
from agent.credentials.stored.assembly import vault_of
from agent.credentials.stored.steps import Seen
from tests.e2e.contract_outbound_tools import Echo, Pod, together, until
from tests.e2e.peers.oidc_provider import SECRET, OidcProvider
from tests.e2e.stored_world import (
    RESOURCE,
    Login,
    Relay,
    browse,
    configuration,
    key_file,
    life,
    provider,
    signed_in,
    type_code,
    write,
)

pytestmark = [pytest.mark.e2e, pytest.mark.must(31)]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    made = provider(tmp_path_factory.mktemp("peer") / "provider")
    yield made
    made.stop()


class Shop:
    """One pod whose destination needs the stored login, and a relay before the provider."""

    def __init__(self, folder: Path, peer: OidcProvider) -> None:
        self.peer, self.relay, self.echo = peer, Relay(peer), Echo("crm")
        self.store = folder / "crm.token"
        place = {"file": {"path": str(self.store), "keyFile": str(key_file(folder))}}
        self.config = configuration(
            peer,
            place,
            f"127.0.0.1:{self.echo.port}",
            oauth={"issuer": None, "tokenUrl": self.relay.url},
            login={
                "authorizeUrl": f"{peer.issuer}/auth",
                "deviceUrl": f"{peer.issuer}/device/auth",
                "parameters": {"prompt": "consent"},
            },
        )
        self.pod = Pod(folder / "pod", self.config)

    def restart(self) -> None:
        """Kill the agent, so that nothing is in its memory, and start it again."""
        self.pod.agent.kill()
        self.pod.agent.wait()
        self.pod.start_agent()
        until(self._ready, "the agent is back")

    def _ready(self) -> bool:
        with suppress(OSError):
            return bool(self.pod.admin_json("/readyz")["ready"])
        return False

    def served(self) -> str:
        """The bearer of a call, as soon as one succeeds."""
        return str(until(lambda: (g := self.pod.call("crm.shop")).status == 200 and g.bearer, "a"))

    def use_up(self) -> None:
        """Take the access token out of the store: whoever wants one has to rotate."""
        config = load(self.pod.file)
        vault = vault_of(config.stored_tokens[0], time.time, time.monotonic)
        seen = vault.look("")
        assert isinstance(seen, Seen)
        assert seen.record is not None
        vault.replace(replace(seen.record, access=None))
        self.relay.sent.clear()

    def call_in_vain(self) -> None:
        """A call that is the agent's last; Envoy would wait for an answer longer than we do."""
        threading.Thread(target=lambda: self.pod.call("crm.shop"), daemon=True).start()
        self.pod.agent.wait(30)

    def die_unheard(self) -> None:
        self.kill_once()
        raise ConnectionError("the request of the dead goes no further")

    def kill_once(self) -> None:
        self.relay.before = self.relay.after = lambda: None
        self.pod.agent.kill()
        self.pod.agent.wait()

    def stop(self) -> None:
        for part in (self.pod, self.echo, self.relay):
            part.stop()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, peer: OidcProvider) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("shop"), peer)
    yield made
    made.stop()


def test_before_anybody_logged_in_the_agent_serves_and_says_who_is_needed(shop: Shop) -> None:
    assert shop.pod.call("crm.shop").denial == (503, "credential_error")
    ready = shop.pod.admin_json("/readyz")
    assert ready["ready"]
    assert "run 'attache login crm'" in " ".join(ready["degraded"])
    assert life(shop.pod)["state"] == "missing"


def test_a_login_at_the_browser_is_used_within_seconds(shop: Shop) -> None:
    said = signed_in(shop.peer, shop.pod.file)
    got = until(lambda: (g := shop.pod.call("crm.shop")).status == 200 and g, "the login serves")
    told = shop.peer.introspect(got.bearer)
    assert (told["active"], told["sub"], told["aud"]) == (True, "alice", RESOURCE)
    record = shop.pod.record(destination="crm", decision="allow")
    assert record["credential"] == "refreshToken:app"
    stored = shop.store.read_bytes()
    for secret in (SECRET, got.bearer):
        assert secret not in said
        assert secret.encode() not in stored
    assert shop.relay.sent == []  # the login's own access token serves first


def test_a_restart_rotates_nothing(shop: Shop) -> None:
    before = shop.pod.call("crm.shop").bearer
    shop.restart()
    assert shop.served() == before
    assert shop.relay.sent == []


@pytest.mark.must(41)
def test_a_crowd_of_calls_is_one_rotation(shop: Shop) -> None:
    shop.use_up()
    shop.restart()
    calls = [lambda: shop.pod.call("crm.shop").bearer] * 16
    bearers = set(together(calls))
    assert (len(bearers), len(shop.relay.sent)) == (1, 1)
    assert shop.peer.introspect(bearers.pop())["active"]


def test_an_agent_that_is_killed_before_the_provider_saw_the_token_goes_on(shop: Shop) -> None:
    shop.use_up()
    shop.restart()
    shop.relay.before = shop.die_unheard
    shop.call_in_vain()
    shop.pod.start_agent()
    until(lambda: life(shop.pod)["state"] == "live" and len(shop.relay.sent) == 2, "it goes on")
    assert shop.served()


def test_an_agent_that_is_killed_with_the_answer_on_its_way_says_who_is_needed(shop: Shop) -> None:
    shop.use_up()
    shop.restart()
    shop.relay.after = shop.kill_once
    shop.call_in_vain()
    shop.pod.start_agent()
    until(lambda: life(shop.pod)["state"] == "refused", "this provider revokes on reuse")
    assert len(shop.relay.sent) == 2
    for _ in range(20):
        assert shop.pod.call("crm.shop").denial == (503, "credential_error")
    assert len(shop.relay.sent) == 2  # no storm
    assert "run 'attache login crm'" in " ".join(shop.pod.admin_json("/readyz")["degraded"])
    assert shop.pod.admin_json("/readyz")["ready"]
    metrics = shop.pod._admin("/metrics").text
    assert 'attache_stored_token_state{state="refused",token="crm"} 1.0' in metrics
    signed_in(shop.peer, shop.pod.file)
    assert shop.served()
    until(lambda: life(shop.pod)["state"] == "live", "only a login ends that")


def test_a_login_by_a_code_on_another_machine(shop: Shop, tmp_path: Path) -> None:
    config = write(tmp_path, shop.config)
    login = Login(config, "--device")
    page = login.told(r"Open (https://\S+)")
    code = login.told(r"^\s+([A-Z-]+)$")
    type_code(shop.peer, page, code, "bob")
    assert login.end() == 0, login.said
    assert "kept in file" in login.said


def test_a_strangers_answer_does_not_end_the_login(shop: Shop, tmp_path: Path) -> None:
    config = write(tmp_path, shop.config)
    login = Login(config)
    url = login.told(r"^\s+(https://\S+)")
    redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    for query in ("code=x&state=guess", "error=access_denied", "", "code=a&code=b&state=s"):
        assert requests.get(f"{redirect}?{query}", timeout=5).status_code == 400
    foreign = requests.get(f"{redirect}?code=x", headers={"Host": "evil.example"}, timeout=5)
    assert foreign.status_code == 404
    browse(shop.peer, url)
    assert login.end() == 0, login.said


def test_nothing_secret_was_written_anywhere(shop: Shop) -> None:
    written = shop.pod.logged() + (shop.pod.folder / "audit.jsonl").read_text()
    written += json.dumps(shop.pod.admin_json("/status"))
    bearer = shop.pod.call("crm.shop").bearer
    for secret in (SECRET, bearer):
        assert secret not in written
