"""Does an Entra identity keep a login, by the v2.0 endpoints of Entra? At the local provider."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.identities import Identity
from agent.config.stored_tokens import StoredToken
from agent.credentials.oauth import OAuthClient
from agent.credentials.stored.assembly import identity_of, rotator_of, rules_of, vault_of
from agent.credentials.stored.login import Server, server_of
from agent.credentials.stored.record import Record
from agent.credentials.stored.rotator import Surroundings
from agent.credentials.stored.steps import Have
from demo.idp import IdentityProvider, jose, loading
from demo.idp.caller import Caller

DIRECTORY = Path(__file__).parents[3] / "demo" / "directory.yaml"
TENANT = "11111111-1111-4111-8111-111111111111"
CLIENT = "a0000000-0000-4000-8000-000000000001"
SCOPES = ["api://notification/Notify.Send", "offline_access"]


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    made = IdentityProvider(loading.load(DIRECTORY.read_text(), "directory.yaml")).start()
    yield made
    made.stop()


def test_a_login_at_entra_is_rotated_and_a_used_token_is_no_doubt(
    idp: IdentityProvider, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("demo-secret-of-task-api")
    (tmp_path / "key").write_text(base64.b64encode(os.urandom(32)).decode())
    entra = {
        "tenant": TENANT,
        "clientId": CLIENT,
        "authority": idp.base_url,
        "caFile": str(idp.ca_file),
        "secretFile": str(tmp_path / "secret"),
    }
    identity = Identity.model_validate({"name": "us", "entra": entra})
    store = {"file": {"path": str(tmp_path / "crm"), "keyFile": str(tmp_path / "key")}}
    token = StoredToken.model_validate(
        {"name": "crm", "identity": "us", "scopes": SCOPES, "store": store}
    )
    rules = rules_of(token, identity)
    assert rules.reusable
    client = OAuthClient("us", identity_of(identity))
    document = client.document(10.0)
    assert isinstance(document, dict)
    server = server_of(token, document)
    assert isinstance(server, Server)
    assert server.authorize.startswith(f"{idp.base_url}/{TENANT}/oauth2/v2.0/authorize")

    with Caller(idp) as caller:
        signed_in = caller.sign_in("ada@contoso.example", " ".join(SCOPES), "task-api").json()
    now = time.time()
    first = Record(rules.authority, rules.client, signed_in["refresh_token"], now, now)
    vault = vault_of(token, time.time, time.monotonic)
    vault.replace(first)
    around = Surroundings(time.time, time.sleep, lambda: 0.5, lambda: secrets.token_urlsafe(8))
    outcome = rotator_of(token, identity, client, vault, around).token()
    assert isinstance(outcome, Have), outcome
    parsed = jose.parse(outcome.access.value)
    assert parsed
    assert parsed.claims["scp"] == "Notify.Send"
    assert outcome.record.token != first.token
    client.close()
