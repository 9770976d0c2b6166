"""One stored token, its provider, and processes that rotate it whenever they are asked to."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from agent.config.loading import load
from agent.credentials.stored.assembly import rules_of, vault_of
from agent.credentials.stored.record import Record
from agent.credentials.stored.steps import Seen
from bench.rotating import Rotating
from tests.e2e.peers.oidc_provider import OidcProvider
from tests.e2e.stored_world import RESOURCE, Relay, key_file


class Bench:
    """One token in one store, and processes that rotate it at once whenever they are asked to."""

    def __init__(
        self, folder: Path, peer: OidcProvider, place: dict[str, Any], **more: Any
    ) -> None:
        self.peer, self.relay = peer, Relay(peer)
        store = {kind: {"keyFile": str(key_file(folder)), **rest} for kind, rest in place.items()}
        url = peer.token_url if more.pop("direct", False) else self.relay.url
        oauth = {"tokenUrl": url, "clientId": "web", "authMethod": "none"}
        oauth |= {"caFile": str(peer.ca_file)}
        token = {"name": "crm", "identity": "crm", "store": store, "idleLifetime": "20ms"}
        self.file = folder / "bench.yaml"
        self.file.write_text(
            json.dumps(
                {
                    "workload": {"name": "task-api", "namespace": "shop"},
                    "listeners": {"outbound": {"port": 15001}},
                    "identities": [{"name": "crm", "oauth": oauth}],
                    "storedTokens": [token | more],
                }
            )
        )
        config = load(self.file)
        self.token = config.stored_tokens[0]
        self.rules = rules_of(self.token, config.identities[0])
        self.vault = vault_of(self.token, time.time, time.monotonic)
        self.log_in()

    def log_in(self) -> None:
        tokens = self.peer.sign_in("alice", resource=RESOURCE, offline=True)
        now = time.time()
        record = Record(self.rules.authority, self.rules.client, tokens["refresh_token"], now, now)
        self.vault.replace(record)
        self.relay.sent.clear()
        self.relay.reused()

    def run(self, **how: Any) -> tuple[int, str]:
        """Rotate in a process of its own: how it ended, and what it said last."""
        code, said = Rotating(self.file, **how).end()
        return code, said[-1] if said else ""

    @property
    def record(self) -> Record:
        seen = self.vault.look("")
        self.vault.release()
        assert isinstance(seen, Seen)
        assert seen.record is not None
        return seen.record
